"""Sums over windows by rotations alone: no plaintext, no level.

A pool whose windows lie side by side, or a sum over a whole axis, adds up slots at fixed distances. Rotations do so in
all slots at once; in slots that hold no element of the result they leave sums of other windows, which nothing may read
but a linear map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from enclair.compiler.ir.slot_layouts import Positions, SlotAxis, Slotted
from enclair.compiler.packing.slotted.maps import LinearMap, Matrix
from enclair.compiler.packing.slotted.placements import stride_of


@dataclass(frozen=True, slots=True)
class WindowSums:
    """Where the sums are, and for each axis the rotations whose results are added.

    ``doubled`` axes add a rotation of the sum so far, one after another; others add rotations of one value.
    """

    layout: Slotted
    doubled: tuple[int, ...]
    added: tuple[tuple[int, ...], ...]

    @property
    def rotations(self) -> int:
        """How many there are."""
        return len(self.doubled) + sum(map(len, self.added))


def window_sums(map_: LinearMap, source: Slotted) -> WindowSums | None:
    """The sums of a map with one term of zeros and ones; None where positions are not at fixed distances."""
    if len(map_.terms) != 1 or (layout := _in_place(map_, source)) is None:
        return None
    reads, writes = source.along(map_.split_in), layout.along(map_.split_out)
    if reads is None or writes is None:
        return None
    doubled: list[int] = []
    added: list[tuple[int, ...]] = []
    for factor, read, write in zip(map_.terms[0], reads, writes, strict=True):
        distances = _distances(factor, read, write)
        if distances is None:
            return None
        if (steps := _doubles(distances)) is not None:
            doubled += steps
        else:
            added.append(distances[1:])
    return WindowSums(layout, tuple(doubled), tuple(added))


def _in_place(map_: LinearMap, source: Slotted) -> Slotted | None:
    """The layout in which each result is where the first element of its window is."""
    refined = source.refined(map_.split_in)
    if refined is None:
        return None
    axes: list[SlotAxis] = []
    inner_in = inner_out = 1
    for factor in reversed(map_.terms[0]):
        group = [axis for axis in refined if inner_in <= axis.element < inner_in * factor.shape[1]]
        moved = [replace(axis, element=axis.element // inner_in * inner_out) for axis in group]
        strided = moved if factor.shape[0] == factor.shape[1] else _strided(moved, factor)
        if strided is None:
            return None
        axes += strided
        inner_in, inner_out = inner_in * factor.shape[1], inner_out * factor.shape[0]
    return Slotted(map_.shape_out, tuple(axes), source.offset, source.period, source.slots)


def _strided(axes: list[SlotAxis], factor: Matrix) -> list[SlotAxis] | None:
    """Every so many positions of an axis."""
    stride, extent = stride_of(factor), factor.shape[0]
    if extent == 1:
        return []
    if len(axes) != 1 or stride is None:
        return None
    (axis,) = axes
    *above, (steps, slots, ciphers) = axis.digits
    if not above:
        return [replace(axis, extent=extent, digits=((extent, slots * stride, ciphers * stride),))]
    if steps % stride:
        return None
    return [replace(axis, extent=extent, digits=(*above, (steps // stride, slots * stride, ciphers * stride)))]


def _distances(factor: Matrix, read: Positions, write: Positions) -> tuple[int, ...] | None:
    """From each result to what it adds, in slots: the same for all results, starting with 0."""
    counts = np.diff(factor.indptr)
    if counts.min(initial=1) < 1 or np.unique(counts).size != 1 or not np.all(factor.data == 1):
        return None
    columns = np.sort(factor.indices.reshape(factor.shape[0], -1), axis=1)
    apart = read[1][columns] - write[1][:, None]
    same = np.all(read[0][columns] == write[0][:, None]) and np.all(apart == apart[0]) and apart[0, 0] == 0
    if not same or np.any(apart[0] < 0):
        return None
    return tuple(apart[0].tolist())


def _doubles(distances: tuple[int, ...]) -> list[int] | None:
    """Rotations each of which doubles the sum so far; None where the distances are not multiples of one, or too many.

    Of n distances, n must be a power of two.
    """
    count = len(distances)
    step = distances[1] if count > 1 else 0
    if count & (count - 1) or any(distance != number * step for number, distance in enumerate(distances)):
        return None
    return [step << k for k in range(count.bit_length() - 1)]
