"""How rotations between layouts with periods reduce, and where entries of a diagonal go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.slot_layouts import Skewed, Slotted

Numbers: TypeAlias = NDArray[np.int64]
Source: TypeAlias = Slotted | Skewed


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
