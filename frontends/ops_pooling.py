"""Converters of ONNX pools."""

from __future__ import annotations

from dataclasses import replace

from enclair.compiler.ir.ops.pooling import AveragePool, MaxPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceMean
from enclair.compiler.ir.ops.rules import Window
from enclair.compiler.ir.ops.shape import Pad
from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Operand, apply
from enclair.frontends.onnx_node import OnnxNode
from enclair.frontends.registry import converts
from enclair.frontends.windows import ceil_pads, window_of


@converts("MaxPool", to=(MaxPool,), note="without the output Indices")
def max_pool(node: OnnxNode) -> Operand:
    """ceil_mode becomes end padding, which never wins."""
    extents = node.shape()[2:]
    window = window_of(node, (), extents)
    if node.integer("ceil_mode", 0):
        window = replace(window, pads=ceil_pads(window, extents))
    return apply(MaxPool(window.kernel, window.strides, window.pads, window.dilations), node.arg())


@converts("AveragePool", to=(AveragePool, Pad), note="without dilations")
def average_pool(node: OnnxNode) -> Operand:
    """With ceil_mode, windows reach over the padding; what lies there does not count."""
    extents = node.shape()[2:]
    window = window_of(node, (), extents)
    if set(window.dilations) != {1}:
        raise UnsupportedNodeError(
            f"an average over dilated windows {window.dilations}", "use a depthwise convolution with weights 1 / k^2"
        )
    counted = bool(node.integer("count_include_pad", 0)) and any(window.pads)
    if not node.integer("ceil_mode", 0):
        return apply(AveragePool(window.kernel, window.strides, window.pads, counted), node.arg())
    if counted:
        return _counted_and_ceiled(node.arg(), window, extents)
    return apply(AveragePool(window.kernel, window.strides, ceil_pads(window, extents), False), node.arg())


def _counted_and_ceiled(x: Operand, window: Window, extents: tuple[int, ...]) -> Operand:
    """Pad with zeros that count, then average over windows of which the rest does not count."""
    rank = len(extents)
    padded = apply(Pad((0, 0, *window.pads[:rank], 0, 0, *window.pads[rank:])), x)
    ends = (have - done for have, done in zip(ceil_pads(window, extents)[rank:], window.pads[rank:], strict=True))
    pads = ((0,) * rank) + tuple(max(0, end) for end in ends)
    return apply(AveragePool(window.kernel, window.strides, pads, False), padded)


@converts("GlobalAveragePool", to=(ReduceMean,))
def global_average_pool(node: OnnxNode) -> Operand:
    """The mean over the spatial axes."""
    return apply(ReduceMean(tuple(range(2, node.rank())), keepdims=True), node.arg())


@converts("GlobalMaxPool", to=(ReduceMax,))
def global_max_pool(node: OnnxNode) -> Operand:
    """The maximum over the spatial axes."""
    return apply(ReduceMax(tuple(range(2, node.rank())), keepdims=True), node.arg())
