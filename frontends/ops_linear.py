"""Converters of ONNX ops with weights."""

from __future__ import annotations

from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.rules import Window
from enclair.compiler.ir.ops.shape import Reshape, Transpose
from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Apply, Operand, apply, reshape, scale, shape_of, transpose
from enclair.frontends.onnx_node import OnnxNode
from enclair.frontends.registry import converts
from enclair.frontends.windows import halves, window_of


@converts("Conv", to=(Conv, Add, Reshape))
def conv(node: OnnxNode) -> Operand:
    """A convolution, and an addition for the bias."""
    window = window_of(node, node.shape(1)[2:], node.shape()[2:])
    op = Conv(window.strides, window.pads, window.dilations, node.integer("group", 1))
    return _with_bias(node, apply(op, node.arg(0), node.arg(1)))


@converts("ConvTranspose", to=(ConvTranspose, Add, Reshape))
def conv_transpose(node: OnnxNode) -> Operand:
    """A transposed convolution, and an addition for the bias."""
    extents = node.shape()[2:]
    window = window_of(node, node.shape(1)[2:], extents)
    extra = node.integers("output_padding") or (0,) * len(extents)
    pads, extra = _transposed_pads(node, window, extents, extra)
    op = ConvTranspose(window.strides, pads, window.dilations, node.integer("group", 1), extra)
    return _with_bias(node, apply(op, node.arg(0), node.arg(1)))


def _transposed_pads(
    node: OnnxNode, window: Window, extents: tuple[int, ...], extra: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Pads and output padding that give the asked output size: ``output_shape``, or stride times extent for SAME_*."""
    mode = node.text("auto_pad", "NOTSET")
    wanted = node.integers("output_shape")
    if wanted is None and mode.startswith("SAME"):
        wanted = tuple(n * step for n, step in zip(extents, window.strides, strict=True))
    if wanted is None:
        return window.pads, extra
    sizes = zip(extents, window.strides, window.spans, extra, wanted[-len(extents) :], strict=True)
    totals = [step * (n - 1) + span + more - want for n, step, span, more, want in sizes]
    if min(totals) < 0:
        raise UnsupportedNodeError(f"an output of {wanted} is larger than the kernel reaches", "use output_padding")
    return halves(totals, upper=mode == "SAME_UPPER"), extra


def _with_bias(node: OnnxNode, result: Apply) -> Operand:
    """Add the bias [O] as [O, 1, ..., 1]."""
    if not node.has(2):
        return result
    if node.shape(2) != (outputs := shape_of(result)[1:2]):
        raise UnsupportedNodeError(
            f"a bias of shape {node.shape(2)} for {outputs[0]} outputs", "give each output a bias"
        )
    ones = (1,) * (len(shape_of(result)) - 2)
    return apply(Add(), result, reshape(node.arg(2), (*node.shape(2), *ones)))


@converts("MatMul", to=(MatMul,))
def matmul(node: OnnxNode) -> Operand:
    """A matrix product."""
    return apply(MatMul(), node.arg(0), node.arg(1))


@converts("Gemm", to=(MatMul, Add, Mul, Transpose), note="alpha, beta and transB go into constants")
def gemm(node: OnnxNode) -> Operand:
    """alpha A' B' + beta C, with A' and B' transposed if asked."""
    left = transpose(node.arg(0), (1, 0)) if node.integer("transA", 0) else node.arg(0)
    right = transpose(node.arg(1), (1, 0)) if node.integer("transB", 0) else node.arg(1)
    result = apply(MatMul(), left, scale(right, node.real("alpha", 1.0)))
    if not node.has(2) or node.real("beta", 1.0) == 0.0:
        return result
    return apply(Add(), result, scale(node.arg(2), node.real("beta", 1.0)))
