"""Proven intervals of the integers in a fixed-point graph.

Every value that the server gets has been saturated by the client, so intervals start there and stay narrow. For a sum
with weights w the interval is sum(max(w low, w high)) over one output's weights, the worst output: from sum|w|, not
from K max|w|. Intervals hold for any part of the terms too, so that summands left in slots (the client's finishing
sum) are within them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.ops.activations import Clip, Relu
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Abs, Add, Maximum, Minimum, Mul, Neg, Sub
from enclair.compiler.ir.ops.fixed import Quantise, Requantise, Shift
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.pooling import SumPool
from enclair.compiler.ir.ops.reductions import ReduceSum
from enclair.compiler.ir.ops.rules import to_scale
from enclair.compiler.ir.ops.shape import Pad
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval of integers."""

    low: int
    high: int

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(-self.low, self.high, 0)

    def hull(self, *others: Interval) -> Interval:
        """The smallest interval with all in it."""
        every = (self, *others)
        return Interval(min(i.low for i in every), max(i.high for i in every))

    def with_zero(self) -> Interval:
        """Including 0, which padding puts in."""
        return Interval(min(self.low, 0), max(self.high, 0))


def of_array(array: Array) -> Interval:
    """The interval of a constant."""
    return Interval(int(array.min()), int(array.max())) if array.size else Interval(0, 0)


def intervals(graph: Graph) -> dict[str, Interval]:
    """An interval for every fixed-point value of the graph, by name. Values of reals have none."""
    known = {name: of_array(array) for name, array in graph.arrays.items() if array.dtype.kind == "i"}
    for node in graph.nodes:
        if (found := node_interval(node, known, graph.arrays)) is not None:
            known[node.out.name] = found
    return known


def node_interval(node: Node, known: Mapping[str, Interval], arrays: Mapping[str, Array]) -> Interval | None:
    """The interval of a node's result, or None when it is a tensor of reals."""
    if not isinstance(node.out.type, TensorType) or not node.out.type.is_fixed:
        return None
    args = tuple(known.get(arg.name, Interval(0, 0)) for arg in node.args)
    weights = arrays.get(node.args[1].name) if len(node.args) > 1 else None
    shape = node.args[0].type.shape if isinstance(node.args[0].type, TensorType) else ()
    return op_interval(node.op, args, weights, shape)


def op_interval(op: Op, args: tuple[Interval, ...], weights: Array | None, shape: tuple[int, ...]) -> Interval:
    """The interval of ``op`` on arguments in the given intervals; ``shape`` is the first argument's."""
    found = _of_sum(op, args, weights, shape) or _of_element(op, args)
    return found or args[0].hull(*args[1:]).with_zero()


def _of_sum(op: Op, args: tuple[Interval, ...], weights: Array | None, shape: tuple[int, ...]) -> Interval | None:
    """The interval of an op that adds or multiplies; None for others."""
    x = args[0]
    match op:
        case Conv() | ConvTranspose() | MatMul() if weights is not None:
            return _weighted(op, x.with_zero(), weights)
        case MatMul():
            return _times(x, args[1], shape[-1])
        case Mul():
            return _times(x, args[1], 1)
        case Add():
            return Interval(x.low + args[1].low, x.high + args[1].high).hull(x)
        case Sub():
            return Interval(x.low - args[1].high, x.high - args[1].low).hull(x)
        case SumPool():
            return _repeated(x.with_zero(), prod(op.kernel))
        case ReduceSum():
            return _repeated(x.with_zero(), prod(shape[axis] for axis in op.axes))
        case _:
            return None


def _of_element(op: Op, args: tuple[Interval, ...]) -> Interval | None:
    """The interval of an op on single elements that changes them; None for others."""
    x = args[0]
    match op:
        case Quantise() | Requantise():
            return Interval(op.low, op.high)
        case Shift():
            return Interval(x.low << op.bits, x.high << op.bits)
        case Neg():
            return Interval(-x.high, -x.low)
        case Abs():
            return Interval(0, x.magnitude)
        case Relu():
            return Interval(max(x.low, 0), max(x.high, 0))
        case Maximum():
            return Interval(max(x.low, args[1].low), max(x.high, args[1].high))
        case Minimum():
            return Interval(min(x.low, args[1].low), min(x.high, args[1].high))
        case Clip():
            low, high = to_scale(op.low, op.scale_bits or 0), to_scale(op.high, op.scale_bits or 0)
            return Interval(min(max(x.low, low), high), min(max(x.high, low), high))
        case Pad():
            value = to_scale(op.value, op.scale_bits or 0)
            return x.hull(Interval(value, value))
        case _:
            return None


def largest_sum(fixed: Graph) -> tuple[str, int]:
    """The value with the widest proven interval that the server makes or gets, and its largest magnitude.

    A graph with nothing on the server has none: ("", 0).
    """
    known = intervals(fixed)
    on_server = [node for node in fixed.nodes if node.place and node.place.side == "server"]
    seen = {arg.name for node in on_server for arg in (*node.args, node.out) if not fixed.is_constant(arg)}
    name = max(sorted(seen), key=lambda value: known[value].magnitude, default="")
    return name, known[name].magnitude if name else 0


def sum_of_weights(op: Op, weights: Array) -> int:
    """The largest sum|w| over one output's weights: how much the op can add to noise."""
    axes = _weight_axes(op, weights)
    return int(np.abs(weights).sum(axis=axes).max(initial=0))


def _weight_axes(op: Op, weights: Array) -> tuple[int, ...]:
    """The axes over which one output sums: of a transposed convolution all taps, more than reach any one output."""
    if isinstance(op, MatMul):
        return (weights.ndim - 2,) if weights.ndim > 1 else (0,)
    if isinstance(op, ConvTranspose):
        return (0, *range(2, weights.ndim))
    return tuple(range(1, weights.ndim))


def _weighted(op: Op, x: Interval, weights: Array) -> Interval:
    axes = _weight_axes(op, weights)
    positive, negative = np.maximum(weights, 0).sum(axis=axes), np.minimum(weights, 0).sum(axis=axes)
    low = min(int(p) * x.low + int(n) * x.high for p, n in zip(positive.flat, negative.flat, strict=True))
    high = max(int(p) * x.high + int(n) * x.low for p, n in zip(positive.flat, negative.flat, strict=True))
    return Interval(low, high)


def _times(x: Interval, y: Interval, terms: int) -> Interval:
    corners = [a * b for a in (x.low, x.high) for b in (y.low, y.high)]
    return _repeated(Interval(min(corners), max(corners)), terms)


def _repeated(x: Interval, terms: int) -> Interval:
    return Interval(min(x.low * terms, x.low), max(x.high * terms, x.high))
