"""Layouts of the operands of matrix products, and how the products are summed.

The product of matrices (..., i, k) and (..., k, j) is made of tensors (k, ..., i, j), to which both operands are
spread: one product of ciphertexts, summed over k. The inner axis goes over ciphertexts, which are added, and over the
most significant slots of a period, which rotations add up; the sum then repeats with the shorter period.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from enclair.compiler.ir.slot_layouts import Digit, SlotAxis, Slotted
from enclair.compiler.packing.slotted.maps import Shape
from enclair.compiler.packing.slotted.placements import ordered
from enclair.compiler.packing.slotted.regions import ProductStep


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
