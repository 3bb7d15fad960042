"""Converters of ONNX reductions."""

from __future__ import annotations

from enclair.compiler.ir.ops.activations import Exp, Log, Sqrt
from enclair.compiler.ir.ops.elementwise import Abs, Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import Reshape
from enclair.frontends.expression import Operand, apply, reshape, shape_of
from enclair.frontends.onnx_node import OnnxNode, normalise_axis
from enclair.frontends.registry import converts


def _axes(node: OnnxNode) -> tuple[int, ...]:
    """The reduced axes, from the attribute or the second argument; without either all, or none if asked."""
    axes = node.integers("axes") or node.numbers(1, "axes") or ()
    if not axes and not node.integer("noop_with_empty_axes", 0):
        return tuple(range(node.rank()))
    return tuple(sorted({normalise_axis(axis, node.rank()) for axis in axes}))


def _keepdims(node: OnnxNode) -> bool:
    return bool(node.integer("keepdims", 1))


def _sum(node: OnnxNode, x: Operand) -> Operand:
    """The sum over the node's axes."""
    return apply(ReduceSum(_axes(node), _keepdims(node)), x) if _axes(node) else x


@converts("ReduceSum", to=(ReduceSum,))
def reduce_sum(node: OnnxNode) -> Operand:
    """The sum."""
    return _sum(node, node.arg())


@converts("ReduceMean", to=(ReduceMean,))
def reduce_mean(node: OnnxNode) -> Operand:
    """The mean."""
    return apply(ReduceMean(_axes(node), _keepdims(node)), node.arg()) if _axes(node) else node.arg()


@converts("ReduceMax", to=(ReduceMax,))
def reduce_max(node: OnnxNode) -> Operand:
    """The maximum."""
    return apply(ReduceMax(_axes(node), _keepdims(node)), node.arg()) if _axes(node) else node.arg()


@converts("ReduceMin", to=(ReduceMax, Neg))
def reduce_min(node: OnnxNode) -> Operand:
    """-max(-x)."""
    if not _axes(node):
        return node.arg()
    return apply(Neg(), apply(ReduceMax(_axes(node), _keepdims(node)), apply(Neg(), node.arg())))


@converts("ReduceL1", to=(ReduceSum, Abs))
def reduce_l1(node: OnnxNode) -> Operand:
    """The sum of the absolute values."""
    return _sum(node, apply(Abs(), node.arg()))


@converts("ReduceSumSquare", to=(ReduceSum, Mul))
def reduce_sum_square(node: OnnxNode) -> Operand:
    """The sum of the squares."""
    return _sum(node, apply(Mul(), node.arg(), node.arg()))


@converts("ReduceL2", to=(ReduceSum, Mul, Sqrt))
def reduce_l2(node: OnnxNode) -> Operand:
    """The square root of the sum of the squares."""
    return apply(Sqrt(), _sum(node, apply(Mul(), node.arg(), node.arg())))


@converts("ReduceLogSumExp", to=(ReduceMax, ReduceSum, Sub, Exp, Log, Add, Reshape))
def reduce_log_sum_exp(node: OnnxNode) -> Operand:
    """max + log sum exp(x - max)."""
    if not (axes := _axes(node)):
        return node.arg()
    largest = apply(ReduceMax(axes, keepdims=True), node.arg())
    total = _sum(node, apply(Exp(), apply(Sub(), node.arg(), largest)))
    return apply(Add(), apply(Log(), total), reshape(largest, shape_of(total)))
