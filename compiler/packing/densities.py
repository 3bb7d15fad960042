"""How dense the pixels of values are: values that are joined share one grid of tiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from enclair.compiler.errors import PackingError

Density: TypeAlias = tuple[Fraction, Fraction]
"""Pixels of a value, along rows and columns, where a value of density 1 has one."""


@dataclass(slots=True)
class Densities:
    """Densities by name. Values that nothing joins yet are in different parts, each known up to a factor."""

    known: dict[str, Density]
    part: dict[str, str] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """A value in a part of its own, unless it is known."""
        if name not in self.known:
            self.known[name] = (Fraction(1), Fraction(1))
            self.part[name] = name

    def link(self, out: str, args: list[str], ratio: Density) -> None:
        """A node makes ``out`` of ``args``, with ``ratio`` pixels for each of theirs.

        Raises:
            PackingError: the arguments are in one part already, with other densities.
        """
        for arg in args:
            self.add(arg)
        first = args[0]
        for arg in args[1:]:
            self._join(out, arg, first)
        rows, columns = self.known[first]
        self.known[out], self.part[out] = (rows * ratio[0], columns * ratio[1]), self.part[first]

    def _join(self, out: str, arg: str, first: str) -> None:
        (rows, columns), (other_rows, other_columns) = self.known[first], self.known[arg]
        if self.part[arg] == self.part[first] and self.known[arg] != self.known[first]:
            raise PackingError(out, "joins values whose pixels are not equally dense: their tiles do not match")
        members = [name for name, part in self.part.items() if part == self.part[arg]]
        for name in members:
            d = self.known[name]
            self.known[name] = (d[0] * rows / other_rows, d[1] * columns / other_columns)
            self.part[name] = self.part[first]
