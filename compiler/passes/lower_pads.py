"""Write padding by zeros, additions of constants and moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.ops.shape import Gather, Pad
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class LowerPads:
    """Exact: zeros are free on ciphertexts, other numbers are added to them, and copies are picked.

    Pad(pads, value=v) %x         ->  Add() (Pad(pads) %x) (v in the border, 0 inside)
    Pad(pads, mode="edge") %x     ->  Gather(axis, indices) %x for each padded axis; "reflect" and "wrap" alike
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, _visit)


def _visit(graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
    op = node.op
    if not isinstance(op, Pad) or (op.mode == "constant" and op.value == 0) or not isinstance(args[0].type, TensorType):
        return None
    if op.mode == "constant":
        border = op.value - Pad(op.pads).evaluate(np.full(args[0].type.shape, op.value))
        zeros = graph.add(Pad(op.pads), args[0], origin=node.origin)
        addend = graph.constant(f"{node.out.name}.border", border)
        return graph.add(Add(), zeros, addend, name=node.out.name, origin=node.origin)
    return _picked(graph, node, op, args[0], args[0].type.shape)


def _picked(graph: Rewriter, node: Node, op: Pad, x: Value, shape: tuple[int, ...]) -> Value | None:
    """Axis by axis; the last one gets the node's name. An axis without padding is left alone."""
    rank, mode = len(shape), op.mode
    padded = [axis for axis in range(rank) if op.pads[axis] or op.pads[axis + rank]]
    for axis in padded:
        indices = _indices(shape[axis], (op.pads[axis], op.pads[axis + rank]), mode)
        name = node.out.name if axis == padded[-1] else ""
        x = graph.add(Gather(axis, indices), x, name=name, origin=node.origin)
    return x if padded else None


def _indices(extent: int, pads: tuple[int, int], mode: Any) -> tuple[int, ...]:
    return tuple(int(index) for index in np.pad(np.arange(extent), pads, mode=mode))
