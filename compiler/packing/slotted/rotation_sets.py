"""Which rotations a linear map takes between two layouts: sets of numbers modulo a period, as bits of integers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.slot_layouts import Positions
from enclair.compiler.packing.slotted.maps import Matrix
from enclair.compiler.packing.slotted.periods import Numbers

Reals: TypeAlias = NDArray[np.float64]
Sets: TypeAlias = dict[tuple[int, int], int]
"""For each (row, column) a set of rotations, as the bits of an integer."""
_RADIX = 1 << 20
"""Above every rotation."""
_MOST_CIPHERS = 1 << 20
"""Above every number of a ciphertext."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Nonzeros of a factor, by where they lead: ciphertexts, rotation (below the source's period), slot, weight."""

    rows: Numbers
    cols: Numbers
    rotations: Numbers
    slots: Numbers
    weights: Reals

    def codes(self) -> Numbers:
        """Row, column and rotation as one number."""
        return (self.rows * _MOST_CIPHERS + self.cols) * _RADIX + self.rotations


def entries_of(factor: Matrix, source: Positions, target: Positions, period: int) -> Entries:
    """The nonzeros of a factor between positions along its axis."""
    rows, cols = np.repeat(np.arange(factor.shape[0]), np.diff(factor.indptr)), factor.indices.astype(np.int64)
    slots = target[1][rows]
    return Entries(target[0][rows], source[0][cols], (source[1][cols] - slots) % period, slots, factor.data)


def combined(a: Sets, b: Sets, period: int) -> Sets:
    """All sums of a place and rotation of each."""
    joined: Sets = {}
    for (row, col), mine in a.items():
        for (more_row, more_col), theirs in b.items():
            at = (row + more_row, col + more_col)
            joined[at] = joined.get(at, 0) | sums_of(mine, theirs, period)
    return joined


def sets_of(entries: Entries, period: int) -> Sets:
    """The rotations of a factor's entries for each (row, column)."""
    codes = np.unique(entries.codes())
    places, rotations = np.divmod(codes, _RADIX)
    starts = np.flatnonzero(np.diff(places, prepend=-1)).tolist()
    found = {}
    for start, stop in pairwise([*starts, codes.size]):
        place = divmod(int(places[start]), _MOST_CIPHERS)
        found[place] = bits_of(rotations[start:stop], period)
    return found


def full_sets(source: Positions, target: Positions, period: int) -> Sets:
    """The rotations from every position of a source to every position of a target."""
    reads = {int(c): bits_of(source[1][source[0] == c] % period, period) for c in np.unique(source[0])}
    writes = {int(c): bits_of(-target[1][target[0] == c] % period, period) for c in np.unique(target[0])}
    return {(row, col): sums_of(a, b, period) for row, b in writes.items() for col, a in reads.items()}


def bits_of(numbers: Numbers, period: int) -> int:
    """A set of numbers below the period."""
    flags = np.zeros(period, dtype=np.uint8)
    flags[numbers] = 1
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def members(bits: int) -> Numbers:
    """The numbers of a set, ascending."""
    raw = np.frombuffer(bits.to_bytes(bits.bit_length() // 8 + 1, "little"), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(raw, bitorder="little"))


def sums_of(a: int, b: int, period: int) -> int:
    """All sums of members of two sets, modulo the period."""
    few, many = (a, b) if a.bit_count() <= b.bit_count() else (b, a)
    total = 0
    for step in members(few).tolist():
        total |= many << step
    return reduced(total, 2 * period, period)


def reduced(bits: int, extent: int, modulus: int) -> int:
    """A set of numbers below ``extent``, modulo a number that divides it."""
    total, mask = 0, (1 << modulus) - 1
    for start in range(0, extent, modulus):
        total |= (bits >> start) & mask
    return total
