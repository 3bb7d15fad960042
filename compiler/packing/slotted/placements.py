"""Layouts worth trying for a tensor: images on grids with gaps, and vectors with their axes in some order.

An image grid is a raster of slots, ``rows`` x ``pitch``, that holds a pixel of a channel every ``gaps`` rows and
columns; other channels fill the gaps (multiplexed packing: Lee, Lee, Kim, Kim, No and Kang, "Low-complexity deep
convolutional neural networks on fully homomorphic encryption using multiplexed parallel convolutions", ICML 2022,
section 4). A strided convolution leaves its pixels where they are and widens the gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from enclair.compiler.ir.slot_layouts import Digit, SlotAxis, Slotted
from enclair.compiler.packing.slotted.maps import LinearMap, Matrix, Shape


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least ``least``."""
    return 1 << max(0, least - 1).bit_length()


@dataclass(frozen=True, slots=True)
class Grid:
    """A raster of ``rows`` x ``pitch`` slots with a pixel of each channel every ``gaps`` rows and columns."""

    rows: int
    pitch: int
    gaps: tuple[int, int]

    @property
    def block(self) -> int:
        """Slots of one raster."""
        return self.rows * self.pitch

    def strided(self, strides: tuple[int, int]) -> Grid:
        """The raster of a result whose pixels are every so many pixels of this one's."""
        return replace(self, gaps=(self.gaps[0] * strides[0], self.gaps[1] * strides[1]))

    def layout(self, shape: Shape, slots: int) -> Slotted | None:
        """Images [N, C, H, W] (or [N, C, W]) on this raster, images of a batch in neighbouring slots."""
        batch, channels, height, width = as_image(shape)
        wide = power_of_two(batch)
        if self.gaps[0] * height > self.rows or self.gaps[1] * width > self.pitch or wide * self.pitch > slots:
            return None
        channel, row = self._digits(channels, height, slots // wide)
        if channel is None:
            return None
        spread = [
            SlotAxis(batch, channels * height * width, ((batch, 1, 0),)),
            SlotAxis(channels, height * width, tuple((n, s * wide, c) for n, s, c in channel)),
            SlotAxis(height, width, tuple((n, s * wide, c) for n, s, c in row)),
            SlotAxis(width, 1, ((width, self.gaps[1] * wide, 0),)),
        ]
        used = prod(n for n, s, _ in channel if s >= self.block) * self.block * wide
        return Slotted(shape, tuple(a for a in spread if a.extent > 1), 0, min(slots, power_of_two(used)), slots)

    def _digits(self, channels: int, height: int, slots: int) -> tuple[list[Digit] | None, list[Digit]]:
        """Digits of the channels and of the rows."""
        gap_rows, gap_columns = self.gaps
        inside = [(gap_rows, self.pitch, 0), (gap_columns, 1, 0)]
        blocks = -(-channels // (gap_rows * gap_columns))
        if self.block <= slots:
            together = min(slots // self.block, blocks)
            above = [(-(-blocks // together), 0, 1), (together, self.block, 0)]
            return above + inside, [(height, gap_rows * self.pitch, 0)]
        rows = slots // self.pitch
        if rows % gap_rows:
            return None, []
        parts = -(-gap_rows * height // rows)
        return [(blocks, 0, parts), *inside], [(parts, 0, 1), (rows // gap_rows, gap_rows * self.pitch, 0)]


def as_image(shape: Shape) -> tuple[int, int, int, int]:
    """[N, C, H, W] of a tensor of rank 3 or 4."""
    n, c, h, w = shape if len(shape) == 4 else (shape[0], shape[1], 1, shape[2])
    return n, c, h, w


def is_image(shape: Shape) -> bool:
    """Whether a tensor may be images or signals."""
    return len(shape) in {3, 4}


def fresh_grids(shape: Shape) -> Iterator[Grid]:
    """Rasters without gaps: as wide as the image, and padded to powers of two."""
    _, _, height, width = as_image(shape)
    yield Grid(height, width, (1, 1))
    yield Grid(power_of_two(height), power_of_two(width), (1, 1))
    yield Grid(height, power_of_two(width), (1, 1))


def vector_layouts(shape: Shape, slots: int) -> Iterator[Slotted]:
    """All axes in C order, and the last axis as the most significant; extents padded to powers of two or not."""
    axes = [axis for axis, extent in enumerate(shape) if extent > 1]
    orders = [tuple(axes)]
    if len(axes) > 1:
        orders += [(axes[-1], *axes[:-1]), (*axes[1:], axes[0])]
    for order in dict.fromkeys(orders):
        for padded in (True, False):
            if (layout := ordered(shape, order, slots, padded=padded)) is not None:
                yield layout


def ordered(shape: Shape, order: tuple[int, ...], slots: int, *, padded: bool) -> Slotted | None:
    """Axes in order of significance; the most significant goes on over several ciphertexts."""
    axes, step = [], 1
    for axis in reversed(order[1:]):
        axes.append(SlotAxis(shape[axis], prod(shape[axis + 1 :]), ((shape[axis], step, 0),)))
        step *= power_of_two(shape[axis]) if padded else shape[axis]
    if step > slots:
        return None
    if not order:
        return Slotted(shape, (), 0, 1, slots)
    first, each = order[0], slots // step
    extent = shape[first]
    digits: tuple[Digit, ...] = ((extent, step, 0),)
    if extent > each:
        each = power_of_two(each + 1) // 2
        digits = ((-(-extent // each), 0, 1), (each, step, 0))
    axes.append(SlotAxis(extent, prod(shape[first + 1 :]), digits))
    return Slotted(shape, tuple(reversed(axes)), 0, min(slots, power_of_two(min(extent, each) * step)), slots)


def strides_of(map_: LinearMap) -> tuple[int, int] | None:
    """By how many input pixels the outputs of a map on images are apart, along rows and columns; None if it varies."""
    if len(map_.split_in) not in {3, 4}:
        return None
    found = [stride_of(factor) for factor in map_.terms[0][2:]]
    if any(stride is None for stride in found):
        return None
    rows, columns = (1, found[0]) if len(found) == 1 else found
    return (rows or 1, columns or 1)


def stride_of(factor: Matrix) -> int | None:
    """The usual distance of the first columns of neighbouring rows."""
    if factor.shape[0] == 1:
        return factor.shape[1] if factor.nnz == factor.shape[1] else 1
    filled = np.flatnonzero(np.diff(factor.indptr))
    first = factor.indices[factor.indptr[filled]]
    steps = np.diff(first) / np.maximum(1, np.diff(filled)) if filled.size > 1 else np.ones(1)
    stride = float(np.median(steps))
    return int(stride) if stride >= 1 and stride == int(stride) else None
