"""Layouts of the operands of matrix products, and how the products are summed.

The product of matrices (..., i, k) and (..., k, j) is made of tensors (k, ..., i, j), to which both operands are
spread: one product of ciphertexts, summed over k. The inner axis goes over ciphertexts, which are added, and over the
most significant slots of a period, which rotations add up; the sum then repeats with the shorter period.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np

from enclair.compiler.ir.slot_layouts import Digit, SlotAxis, Slotted
from enclair.compiler.packing.slotted.maps import LinearMap, Shape
from enclair.compiler.packing.slotted.periods import Numbers
from enclair.compiler.packing.slotted.placements import ordered
from enclair.compiler.packing.slotted.steps import ProductStep


@dataclass(frozen=True, slots=True)
class Summed:
    """How a product in a layout is summed over its first axis: over ciphertexts, then by rotations."""

    layout: Slotted
    ciphers: int
    rotations: tuple[int, ...]


def stacked_layouts(shape: Shape, slots: int) -> Iterator[Slotted]:
    """Layouts of (k, ...) with some powers of two of the first axis within a ciphertext, the rest over several."""
    rest = tuple(axis for axis, extent in enumerate(shape) if extent > 1 and axis)
    for order in dict.fromkeys((rest, rest[::-1])):
        inner = ordered(shape, order, slots, padded=True)
        if inner is None:
            continue
        together, most = 1, slots // inner.period
        while together <= most and (together == 1 or inner.count == 1):
            digits = ((-(-shape[0] // together), 0, inner.count), (together, inner.period, 0))
            first = SlotAxis(shape[0], prod(shape[1:]), digits)
            yield replace(inner, axes=(first, *inner.axes), period=together * inner.period)
            if together >= shape[0]:
                break
            together *= 2


@dataclass(frozen=True, slots=True)
class SpreadAxes:
    """Where the axes of an operand (k, ..., i, j), spread from a value, lie in that value's layout.

    ``axes[a]`` are digits along axis a of the operand; None for one along which the value is copied.
    """

    axes: tuple[tuple[Digit, ...] | None, ...]
    offset: int
    layout: Slotted


def spread_axes(map_: LinearMap, source: Slotted) -> SpreadAxes | None:
    """The axes of an operand in its source's layout; None where the map is no spreading, or digits are irregular."""
    factor = map_.flat().terms[0][0]
    if factor.nnz != factor.shape[0] or not np.all(np.diff(factor.indptr) == 1) or not np.all(factor.data == 1):
        return None
    chosen = factor.indices.reshape(map_.shape_out)
    ciphers, slots = source.viewed(map_.shape_in).positions()
    found: list[tuple[Digit, ...] | None] = []
    for axis, extent in enumerate(map_.shape_out):
        line = np.moveaxis(chosen, axis, 0).reshape(extent, -1)[:, 0]
        if extent > 1 and np.all(line == line[0]):
            found.append(None)
            continue
        digits = _regular(ciphers[line] - ciphers[line[0]], slots[line] - slots[line[0]])
        if digits is None:
            return None
        found.append(digits)
    start = chosen.reshape(-1)[0]
    return None if ciphers[start] else SpreadAxes(tuple(found), int(slots[start]), source)


def _regular(ciphers: Numbers, slots: Numbers) -> tuple[Digit, ...] | None:
    """The digits of steps that are equally far apart, in slots or in ciphertexts."""
    if ciphers.size == 1:
        return ()
    digit = (ciphers.size, int(slots[1]), int(ciphers[1]))
    steps = np.arange(ciphers.size)
    regular = np.array_equal(steps * digit[1], slots) and np.array_equal(steps * digit[2], ciphers)
    return (digit,) if regular else None


def kept_layouts(shape: Shape, left: SpreadAxes, right: SpreadAxes) -> Iterator[Slotted]:
    """Layouts of both operands in which axes stay where they are in one source or the other.

    An axis along which one source is copied is where it is in the other, or over ciphertexts.
    """
    for base, other in ((left, right), (right, left)):
        copied = [axis for axis, digits in enumerate(base.axes) if digits is None]
        for chosen in product((True, False), repeat=len(copied)):
            layout = _joined(shape, base, other, dict(zip(copied, chosen, strict=True)))
            if layout is not None:
                yield layout


def _joined(shape: Shape, base: SpreadAxes, other: SpreadAxes, kept: dict[int, bool]) -> Slotted | None:
    axes, over = [], 1
    for axis, digits in enumerate(base.axes):
        placed = digits if axis not in kept else (other.axes[axis] if kept[axis] else None)
        if placed is not None:
            over *= prod(extent for extent, _, ciphers in placed if ciphers)
            axes.append(SlotAxis(shape[axis], prod(shape[axis + 1 :]), placed))
    for axis, stays in kept.items():
        if not stays:
            axes.append(SlotAxis(shape[axis], prod(shape[axis + 1 :]), ((shape[axis], 0, over),)))
            over *= shape[axis]
    period = max(base.layout.period, other.layout.period)
    made = Slotted(shape, tuple(axes), base.offset, period, base.layout.slots)
    return made if _distinct(made) else None


def _distinct(layout: Slotted) -> bool:
    """Whether the axes enumerate the tensor, and no two elements meet."""
    if prod(axis.extent for axis in layout.axes) != prod(layout.shape):
        return False
    ciphers, slots = layout.positions()
    return len(np.unique(ciphers * layout.period + slots % layout.period)) == len(ciphers)


def summed_layout(layout: Slotted, step: ProductStep, *, padded: bool) -> Summed | None:
    """How to sum over the first axis, of extent ``step.sums``; None where ciphertexts and rotations cannot.

    ``padded`` says that slots without an element hold zeros, so that steps beyond the extent do no harm.
    """
    if step.sums == 1:
        return Summed(layout.viewed(step.shape), 1, ())
    refined = layout.refined((step.sums, *layout.shape[1:]))
    if refined is None:
        return None
    inner_size = prod(layout.shape[1:])
    digits = [digit for axis in refined if axis.element >= inner_size for digit in axis.digits if digit[0] > 1]
    rest = tuple(axis for axis in refined if axis.element < inner_size)
    inner = Slotted(step.shape, rest, layout.offset, layout.period, layout.slots)
    over_ciphers, over_slots = [d for d in digits if d[2]], [d for d in digits if d[1]]
    ciphers = layout.count // inner.count
    if not _stacked(over_ciphers, inner.count) or prod(d[0] for d in over_ciphers) != ciphers or len(over_slots) > 1:
        return None
    if not over_slots:
        return Summed(inner, ciphers, ())
    extent, apart, _ = over_slots[0]
    exact = ciphers * extent == step.sums
    if extent & (extent - 1) or extent * apart != layout.period or not (exact or padded):
        return None
    rotations = tuple(apart << k for k in range(extent.bit_length() - 1))
    return Summed(replace(inner, period=apart), ciphers, rotations)


def _stacked(digits: list[Digit], count: int) -> bool:
    """Whether the steps of digits over ciphertexts are whole copies of an array of ``count``."""
    return len(digits) <= 1 and all(ciphers == count and not slots for _, slots, ciphers in digits)
