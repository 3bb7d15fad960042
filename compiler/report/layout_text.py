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
        case _:
            return type(layout).__name__


def _by(extents: tuple[int, int]) -> str:
    return f"{extents[0]}x{extents[1]}"


def _halo(layout: Tiles) -> str:
    before = [-low for low in layout.low]
    after = [high - extent for high, extent in zip(layout.high, layout.tile, strict=True)]
    if not any((*before, *after)):
        return ""
    return f" + halo {before[0]},{before[1]},{after[0]},{after[1]}"
