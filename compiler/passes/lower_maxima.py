"""Write maxima and minima as sums with Relu, pair by pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.elementwise import Add, Maximum, Minimum, Sub
from enclair.compiler.ir.ops.pooling import MaxPool
from enclair.compiler.ir.ops.reductions import ReduceMax
from enclair.compiler.ir.ops.shape import Gather, Reshape, Slice
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class LowerMaxima:
    """Exact: max(x, y) = y + relu(x - y), min(x, y) = x - relu(x - y).

    Maximum() %x %y                   ->  Add() (Relu() (Sub() %x %y)) %y
    MaxPool(kernel=(2, 2), ...) %x    ->  the maximum of neighbours along one axis, then along the next
    ReduceMax(axes=(1,), ...) %x      ->  the maximum of one half with the other, again and again
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, _visit)


def _visit(graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
    match node.op:
        case Maximum():
            return _maximum(graph, node, args[0], args[1], name=node.out.name)
        case Minimum():
            gap = graph.add(Relu(), graph.add(Sub(), *args, origin=node.origin), origin=node.origin)
            return graph.add(Sub(), args[0], gap, name=node.out.name, origin=node.origin)
        case MaxPool():
            return _max_pool(graph, node, node.op, args[0])
        case ReduceMax():
            return _reduce_max(graph, node, node.op, args[0])
        case _:
            return None


def _maximum(graph: Rewriter, node: Node, x: Value, y: Value, name: str = "") -> Value:
    gap = graph.add(Relu(), graph.add(Sub(), x, y, origin=node.origin), origin=node.origin)
    return graph.add(Add(), gap, y, name=name, origin=node.origin)


def _renamed(graph: Rewriter, node: Node, x: Value) -> Value:
    """The value under the node's name, which an output must have."""
    return graph.add(Reshape(_shape(node.out)), x, name=node.out.name, origin=node.origin)


def _max_pool(graph: Rewriter, node: Node, op: MaxPool, x: Value) -> Value:
    """Along one axis after the other, so that k x k windows take 2 (k - 1) maxima and not k^2 - 1."""
    rank = len(op.kernel)
    for axis, (size, stride, dilation) in enumerate(zip(op.kernel, op.strides, op.dilations, strict=True)):
        extent, out = _shape(x)[axis + 2], _shape(node.out)[axis + 2]
        first = np.arange(out) * stride - op.pads[axis]
        taps = _inside([first + tap * dilation for tap in range(size)], extent)
        padded = op.pads[axis] or op.pads[axis + rank]
        make = _gathered if padded else _sliced
        x = _tree(graph, node, [make(graph, node, x, axis + 2, indices) for indices in taps])
    return _renamed(graph, node, x)


def _inside(taps: list[np.ndarray[tuple[int], np.dtype[np.int64]]], extent: int) -> list[tuple[int, ...]]:
    """What each tap reads in each window; where it reads padding, what another tap of the window reads."""
    table = np.array(taps)
    inside = (table >= 0) & (table < extent)
    substitute = table[inside.argmax(axis=0), np.arange(table.shape[1])]
    return [tuple(map(int, row)) for row in np.where(inside, table, substitute)]


def _gathered(graph: Rewriter, node: Node, x: Value, axis: int, indices: tuple[int, ...]) -> Value:
    return graph.add(Gather(axis, indices), x, origin=node.origin)


def _sliced(graph: Rewriter, node: Node, x: Value, axis: int, indices: tuple[int, ...]) -> Value:
    shape = _shape(x)
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    starts = tuple(indices[0] if a == axis else 0 for a in range(len(shape)))
    stops = tuple(indices[-1] + 1 if a == axis else n for a, n in enumerate(shape))
    steps = tuple(step if a == axis else 1 for a in range(len(shape)))
    return graph.add(Slice(starts, stops, steps), x, origin=node.origin)


def _tree(graph: Rewriter, node: Node, values: list[Value]) -> Value:
    """The maximum of all, in as few steps after each other as can be."""
    while len(values) > 1:
        pairs = [_maximum(graph, node, x, y) for x, y in zip(values[::2], values[1::2], strict=False)]
        values = pairs + (values[-1:] if len(values) % 2 else [])
    return values[0]


def _reduce_max(graph: Rewriter, node: Node, op: ReduceMax, x: Value) -> Value:
    """The halves may overlap: an element twice changes no maximum."""
    for axis in op.axes:
        while (extent := _shape(x)[axis]) > 1:
            half = (extent + 1) // 2
            first = _sliced(graph, node, x, axis, tuple(range(half)))
            second = _sliced(graph, node, x, axis, tuple(range(extent - half, extent)))
            x = _maximum(graph, node, first, second)
    return _renamed(graph, node, x)


def _shape(value: Value) -> tuple[int, ...]:
    return value.type.shape if isinstance(value.type, TensorType) else ()
