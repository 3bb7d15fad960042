"""Write a concatenation with constants as a sum: the constants are weights, and stay on the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.ops.shape import Concat, Pad
from enclair.compiler.ir.public import derived_name
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class LowerConcats:
    """Values are padded with zeros where the constants go, and the constants added.

    Concat(axis=1) %c %x %y   ->   Add() (Pad(...) Concat(axis=1) %x %y) [c, 0, 0]
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        constants = [arg for arg in args if arg.name in graph.arrays]
        if not isinstance(node.op, Concat) or not constants or len(constants) == len(args):
            return None
        axis, sizes = node.op.axis, [_shape(arg)[node.op.axis] for arg in args]
        starts = np.cumsum([0, *sizes])
        padded = [
            _padded(graph, node, args[first : last + 1], int(starts[first]), int(starts[-1] - starts[last + 1]))
            for first, last in _computed(graph, args)
        ]
        arrays = [graph.arrays.get(arg.name, np.zeros(_shape(arg))) for arg in args]
        name = derived_name(graph, constants, constants[0].name)
        total = graph.constant(name, np.concatenate(arrays, axis=axis))
        for part in padded[1:]:
            padded[0] = graph.add(Add(), padded[0], part, origin=node.origin)
        return graph.add(Add(), padded[0], total, name=node.out.name, origin=node.origin)


def _computed(graph: Rewriter, args: tuple[Value, ...]) -> Iterator[tuple[int, int]]:
    """First and last position of every run of computed arguments."""
    for constant, run in groupby(range(len(args)), key=lambda number: args[number].name in graph.arrays):
        numbers = list(run)
        if not constant:
            yield numbers[0], numbers[-1]


def _padded(graph: Rewriter, node: Node, run: tuple[Value, ...], before: int, after: int) -> Value:
    """A run of arguments, joined, with as many zeros along the axis before and after."""
    axis = node.op.axis if isinstance(node.op, Concat) else 0
    joined = run[0] if len(run) == 1 else graph.add(Concat(axis), *run, origin=node.origin)
    rank = len(_shape(joined))
    pads = [0] * (2 * rank)
    pads[axis], pads[axis + rank] = before, after
    return graph.add(Pad(tuple(pads)), joined, origin=node.origin)


def _shape(value: Value) -> tuple[int, ...]:
    return value.type.shape if isinstance(value.type, TensorType) else ()
