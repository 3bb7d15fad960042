"""The window attributes of ONNX convolutions and pools, with auto_pad and ceil_mode resolved to explicit pads."""

from __future__ import annotations

from enclair.compiler.ir.ops.rules import Window
from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.onnx_node import OnnxNode


def window_of(node: OnnxNode, kernel: tuple[int, ...], extents: tuple[int, ...]) -> Window:
    """The window of a node over an input with these spatial extents, its output size rounded down."""
    rank = len(extents)
    kernel = node.integers("kernel_shape") or kernel
    strides = node.integers("strides") or (1,) * rank
    dilations = node.integers("dilations") or (1,) * rank
    if {len(kernel), len(strides), len(dilations)} != {rank}:
        raise UnsupportedNodeError(
            f"kernel {kernel}, strides {strides} and dilations {dilations} on {rank} spatial axes",
            "export the model again",
        )
    bare = Window(kernel, strides, (0,) * (2 * rank), dilations)
    return Window(kernel, strides, _pads(node, bare, extents), dilations)


def _pads(node: OnnxNode, window: Window, extents: tuple[int, ...]) -> tuple[int, ...]:
    """Explicit pads from ``pads`` or ``auto_pad``."""
    match node.text("auto_pad", "NOTSET"):
        case "SAME_UPPER" | "SAME_LOWER" as mode:
            outs = [-(-n // step) for n, step in zip(extents, window.strides, strict=True)]
            sizes = zip(outs, window.strides, window.spans, extents, strict=True)
            totals = [max(0, (out - 1) * step + span - n) for out, step, span, n in sizes]
            return halves(totals, upper=mode == "SAME_UPPER")
        case "VALID":
            return window.pads
    pads = node.integers("pads") or window.pads
    if len(pads) != len(window.pads) or min(pads) < 0:
        raise UnsupportedNodeError(
            f"pads {pads} on {len(extents)} spatial axes", "use non-negative pads, two for each axis"
        )
    return pads


def halves(totals: list[int], *, upper: bool) -> tuple[int, ...]:
    """Share each axis' padding between begin and end; the odd one goes to the end if ``upper``."""
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (*small, *large) if upper else (*large, *small)


def ceil_pads(window: Window, extents: tuple[int, ...]) -> tuple[int, ...]:
    """The pads with which rounding down gives the number of windows that rounding up gives.

    A window that would start in the end padding is dropped, as ONNX (since opset 19) and PyTorch do.
    """
    rank = len(extents)
    ends = []
    for axis, (n, step, span) in enumerate(zip(extents, window.strides, window.spans, strict=True)):
        begin, end = window.pads[axis], window.pads[axis + rank]
        out = -((n + begin + end - span) // -step) + 1
        out -= (out - 1) * step >= n + begin
        ends.append(max(0, (out - 1) * step + span - n - begin))
    return (*window.pads[:rank], *ends)
