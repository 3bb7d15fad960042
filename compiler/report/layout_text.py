"""Layouts in a few words."""

from __future__ import annotations

from enclair.compiler.ir.layouts import (
    BlockSums,
    Coefficients,
    Layout,
    MaskedCopies,
    Raster,
    Replicated,
    SlotSums,
    Tiles,
    Viewed,
)
from enclair.compiler.ir.slot_layouts import Skewed, SlotAxis, Slotted


def describe(layout: Layout) -> str:
    """How a value lies in the slots of its ciphertexts."""
    match layout:
        case Tiles():
            return f"tiles {_by(layout.tile)}{_halo(layout)}, grid {_by(layout.grid)}"
        case MaskedCopies():
            return f"masked copies of {describe(layout.base)}"
        case Replicated():
            return f"features {layout.partials} a ciphertext, {layout.copies} copies each"
        case Coefficients():
            return f"{layout.features} of {layout.shape[-1]} columns a ciphertext, {layout.span} rows, in coefficients"
        case Raster():
            apart = "" if layout.step == (1, 1) else f", pixels {_by(layout.step)} apart"
            return f"a channel a ciphertext, rows of {layout.pitch} coefficients{apart}"
        case BlockSums():
            return f"outputs {layout.copies} a ciphertext, {layout.partials} summands each"
        case SlotSums():
            return f"an output a ciphertext, {layout.group} summands each"
        case Viewed():
            return describe(layout.base)
        case Slotted() | Skewed():
            return _in_slots(layout)
        case _:
            return type(layout).__name__


def _in_slots(layout: Slotted | Skewed) -> str:
    if isinstance(layout, Skewed):
        return f"{_in_slots(layout.base)}, each copy {layout.shift} slots further"
    copies = layout.slots // layout.period
    steps = ", ".join(f"{axis.extent} by {_by_digits(axis)}" for axis in layout.axes if axis.extent > 1)
    return (steps or "one element") + (f", {copies} copies" if copies > 1 else "")


def _by_digits(axis: SlotAxis) -> str:
    return "+".join(f"{slots}" if slots else f"ciphertext {ciphers}" for _, slots, ciphers in axis.digits)


def _by(extents: tuple[int, int]) -> str:
    return f"{extents[0]}x{extents[1]}"


def _halo(layout: Tiles) -> str:
    before = [-low for low in layout.low]
    after = [high - extent for high, extent in zip(layout.high, layout.tile, strict=True)]
    if not any((*before, *after)):
        return ""
    return f" + halo {before[0]},{before[1]},{after[0]},{after[1]}"
