"""Linear maps between layouts as generalised diagonals: which rotations of which ciphertexts, times what.

Positions are sums along the axes at which the map factors, so terms are found factor by factor: a convolution is never
multiplied out. Where the result repeats with a shorter period than the argument, a diagonal is folded: its entries go
to whichever copy of the result brings them to a rotation below the shorter period, and the copies are added up
afterwards by rotations by the period and its doubles (hybrid packing: Juvekar, Vaikuntanathan and Chandrakasan,
"GAZELLE", USENIX Security 2018, section 4.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.slot_layouts import Positions, Skewed, Slotted
from enclair.compiler.packing.slotted.maps import LinearMap, Matrix, meeting

Reals: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.int64]
Source: TypeAlias = Slotted | Skewed

MOST_VECTOR_BYTES = 1 << 28
"""Diagonals that together take more are written as masks times weights, several to a diagonal."""


@dataclass(frozen=True, slots=True)
class Periods:
    """How rotations reduce: modulo ``modulus``; entries go to slots modulo ``tile``, which repeats.

    Args:
        source: period of the argument.
        target: period of the result.
        skew: slots by which each copy of the argument is rotated further; 0 for none.
        slots: of a ciphertext.
    """

    source: int
    target: int
    skew: int
    slots: int

    @property
    def folded(self) -> bool:
        """Whether copies of the result must be added up."""
        return self.target < self.width

    @property
    def width(self) -> int:
        """The period that the argument has for certain."""
        return self.slots if self.skew else self.source

    @property
    def modulus(self) -> int:
        """Rotations are below it."""
        return self.skew or min(self.source, self.target)

    @property
    def tile(self) -> int:
        """Plaintexts repeat with this period."""
        return max(self.width, self.target)

    @property
    def sums(self) -> tuple[int, ...]:
        """Rotations that add up the copies, each once, in order."""
        steps, step = [], self.target
        while step < self.width:
            steps.append(step)
            step *= 2
        return tuple(steps)

    def place(self, slots: Numbers, rotation: int) -> Numbers:
        """Where the entries of a diagonal go: ``slots`` of the result, read ``rotation`` (below ``source``) further."""
        if not self.folded:
            return slots % self.target
        small = rotation % self.modulus
        copy = (rotation % self.target) // self.skew if self.skew else 0
        read = copy * self.source + (slots + rotation - copy * self.skew) % self.source
        return (read - small) % self.tile


def periods(source: Source, target: Slotted) -> Periods | None:
    """How rotations between two layouts reduce; None where copies could not be added up."""
    base = source.base if isinstance(source, Skewed) else source
    found = Periods(base.period, target.period, source.shift if isinstance(source, Skewed) else 0, target.slots)
    ratio = found.width // target.period if found.folded else 1
    fits = ratio & (ratio - 1) == 0 and (not found.folded or found.width % target.period == 0)
    fits = fits and (found.folded or target.period % base.period == 0)
    if found.skew:
        fits = fits and _skew_fits(found)
    return found if fits else None


def _skew_fits(found: Periods) -> bool:
    """Whether the copies of the argument meet all diagonals: period, result and skew divide each other as they must."""
    copies = found.slots // found.source
    return (
        found.folded
        and found.target <= found.source
        and found.source % found.target == 0
        and found.target % found.skew == 0
        and found.target // found.skew <= copies
    )


@dataclass(frozen=True, slots=True)
class Keys:
    """The terms of a transform without their plaintexts: each (row, column, rotation) once."""

    rows: Numbers
    cols: Numbers
    rotations: Numbers


@dataclass(frozen=True, slots=True)
class Diagonals:
    """The tables of a ``LinearTransform``; a term's plaintext is weights[t] * vectors[which[t]]."""

    rows: Numbers
    cols: Numbers
    rotations: Numbers
    which: Numbers
    weights: Reals
    vectors: Reals


@dataclass(frozen=True, slots=True)
class _Entries:
    """Nonzeros of a factor, by where they lead: ciphertexts, rotation (below the source's period), slot, weight."""

    rows: Numbers
    cols: Numbers
    rotations: Numbers
    slots: Numbers
    weights: Reals


@dataclass(frozen=True, slots=True)
class _Group:
    """The entries of a factor on one diagonal; ``pattern`` numbers their slots and weights over the first weight."""

    row: int
    col: int
    rotation: int
    slots: Numbers
    shares: Reals
    scale: float
    pattern: int


@dataclass(frozen=True, slots=True)
class _Split:
    """A map with factors that meet the axes of both layouts."""

    map: LinearMap
    source: list[Positions]
    target: list[Positions]


def _split(map_: LinearMap, source: Slotted, target: Slotted) -> _Split:
    """Multiply factors out until both layouts are sums along them."""
    for candidate in _coarser(map_):
        along_in, along_out = source.along(candidate.split_in), target.along(candidate.split_out)
        if along_in is not None and along_out is not None:
            return _Split(candidate, along_in, along_out)
    raise ValueError(f"no layout of {map_.shape_in} to {map_.shape_out}")


def _coarser(map_: LinearMap) -> Iterator[LinearMap]:
    """The map, then with ever more of its last factors merged."""
    yield map_
    factors = len(map_.split_in)
    for size in range(2, factors):
        yield map_.merged([*[1] * (factors - size), size])
        yield map_.merged([size, *[1] * (factors - size)])
    if factors > 1:
        yield map_.flat()


def _entries(factor: Matrix, source: Positions, target: Positions, period: int) -> _Entries:
    rows, cols = np.repeat(np.arange(factor.shape[0]), np.diff(factor.indptr)), factor.indices.astype(np.int64)
    slots = target[1][rows]
    return _Entries(target[0][rows], source[0][cols], (source[1][cols] - slots) % period, slots, factor.data)


@dataclass(slots=True)
class Transform:
    """A linear map between two layouts, as diagonals.

    Args:
        map: of tensors.
        source: layout of the argument.
        target: layout of the result.
    """

    map: LinearMap
    source: Source
    target: Slotted
    periods: Periods
    _parts: _Split = field(init=False)

    def __post_init__(self) -> None:
        base = self.source.base if isinstance(self.source, Skewed) else self.source
        self._parts = _split(self.map, base.viewed(self.map.shape_in), self.target.viewed(self.map.shape_out))

    def keys(self) -> Keys:
        """Every (row, column, rotation) that has a term, sorted."""
        period = self.periods.source
        found = [np.unique(self._encoded_term(term)) for term in self._parts.map.terms]
        rest, residue = np.divmod(np.unique(np.concatenate(found)), _RADIX)
        rows, cols = np.divmod(rest, _RADIX >> 8)
        small = residue % period % self.periods.modulus
        keys = np.unique(np.stack([rows, cols, small]), axis=1)
        return Keys(keys[0], keys[1], keys[2])

    def _encoded_term(self, term: tuple[Matrix, ...]) -> Numbers:
        """Sums over factors of (row, column, rotation) as one number each."""
        total = np.zeros(1, dtype=np.int64)
        for factor, source, target in zip(term, self._parts.source, self._parts.target, strict=True):
            entries = _entries(factor, source, target, self.periods.source)
            codes = np.unique((entries.rows * (_RADIX >> 8) + entries.cols) * _RADIX + entries.rotations)
            total = np.unique(np.add.outer(total, codes).reshape(-1))
            head, residue = np.divmod(total, _RADIX)
            total = np.unique(head * _RADIX + residue % self.periods.source)
        return total

    def diagonals(self) -> Diagonals:
        """The tables, rows first; an empty map has one zero term."""
        return _Collector(self).collect()


_RADIX = 1 << 28
"""Above every sum of rotations; ciphertexts are numbered below its 256th part."""


class _Collector:
    """Gathers weights and patterns by diagonal, and writes every distinct plaintext once."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform
        self.periods = transform.periods
        self.patterns: dict[tuple[bytes, bytes], int] = {}
        self.vectors: dict[tuple[int, ...], int] = {}
        self.made: list[Reals] = []
        self.contributions: dict[tuple[int, int, int], list[tuple[float, int]]] = {}

    def collect(self) -> Diagonals:
        parts = self.transform._parts  # noqa: SLF001 the two are one unit
        masks = self._memory() > MOST_VECTOR_BYTES
        for term in parts.map.terms:
            factors = [
                self._groups(_entries(*args, self.periods.source), single=masks and number == self._widest(term))
                for number, args in enumerate(zip(term, parts.source, parts.target, strict=True))
            ]
            for combination in product(*factors):
                self._add(combination)
        return self._tables(masks)

    def _memory(self) -> int:
        """Bytes of one vector for each diagonal whose plaintext may be its own."""
        keys = self.transform.keys()
        widest = max(
            (self._widest_groups(term) for term in self.transform._parts.map.terms), default=0  # noqa: SLF001
        )
        return 0 if widest == 0 else keys.rows.size * self.periods.slots * 8

    def _widest_groups(self, term: tuple[Matrix, ...]) -> int:
        """How many entries share a diagonal of the factor with the most nonzeros, beyond one."""
        parts = self.transform._parts  # noqa: SLF001
        at = self._widest(term)
        entries = _entries(term[at], parts.source[at], parts.target[at], self.periods.source)
        codes = (entries.rows * (_RADIX >> 8) + entries.cols) * _RADIX + entries.rotations
        return codes.size - np.unique(codes).size

    def _widest(self, term: tuple[Matrix, ...]) -> int:
        """The factor with the most nonzeros: that of the channels."""
        return int(np.argmax([factor.nnz for factor in term]))

    def _groups(self, entries: _Entries, *, single: bool) -> list[_Group]:
        codes = (entries.rows * (_RADIX >> 8) + entries.cols) * _RADIX + entries.rotations
        order = np.argsort(codes, kind="stable")
        ends = np.arange(1, codes.size) if single else np.flatnonzero(np.diff(codes[order])) + 1
        return [self._group(entries, chosen) for chosen in np.split(order, ends) if chosen.size]

    def _group(self, entries: _Entries, chosen: Numbers) -> _Group:
        first = chosen[0]
        scale = float(entries.weights[first])
        slots, shares = entries.slots[chosen], entries.weights[chosen] / scale
        pattern = self.patterns.setdefault((slots.tobytes(), shares.tobytes()), len(self.patterns))
        at = int(entries.rows[first]), int(entries.cols[first]), int(entries.rotations[first])
        return _Group(*at, slots, shares, scale, pattern)

    def _add(self, groups: tuple[_Group, ...]) -> None:
        rotation = sum(group.rotation for group in groups) % self.periods.source
        key = (sum(g.row for g in groups), sum(g.col for g in groups), rotation % self.periods.modulus)
        patterns = (*(group.pattern for group in groups), rotation if self.periods.folded else 0)
        if (number := self.vectors.get(patterns)) is None:
            number = self.vectors[patterns] = len(self.made)
            self.made.append(self._vector(groups, rotation))
        self.contributions.setdefault(key, []).append((prod(group.scale for group in groups), number))

    def _vector(self, groups: tuple[_Group, ...], rotation: int) -> Reals:
        """One period of a plaintext."""
        slots, shares = np.zeros(1, dtype=np.int64), np.ones(1)
        for group in groups:
            slots = np.add.outer(slots, group.slots).reshape(-1)
            shares = np.multiply.outer(shares, group.shares).reshape(-1)
        vector = np.zeros(self.periods.tile)
        vector[self.periods.place(slots, rotation)] = shares
        return vector

    def _tables(self, masks: bool) -> Diagonals:
        terms: list[tuple[int, int, int, int, float]] = []
        distinct: dict[bytes, int] = {}
        vectors: list[Reals] = []
        for (row, col, rotation), parts in sorted(self.contributions.items()):
            summed = parts if masks or len(parts) == 1 else [(1.0, -1)]
            for weight, number in summed:
                vector = self.made[number] if number >= 0 else sum(w * self.made[n] for w, n in parts)
                vector = np.asarray(vector)
                where = distinct.setdefault(vector.tobytes(), len(vectors))
                if where == len(vectors):
                    vectors.append(vector)
                terms.append((row, col, rotation, where, weight))
        return self._written(terms or [(0, 0, 0, 0, 0.0)], vectors or [np.zeros(self.periods.tile)])

    def _written(self, terms: list[tuple[int, int, int, int, float]], vectors: list[Reals]) -> Diagonals:
        rows, cols, rotations, which, weights = zip(*terms, strict=True)
        integers = (np.array(column, dtype=np.int64) for column in (rows, cols, rotations, which))
        whole = np.tile(np.stack(vectors), self.periods.slots // self.periods.tile)
        return Diagonals(*integers, np.array(weights), whole)
