"""Write functions with two corners by Relu, which has one."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.activations import Clip, HardSigmoid, HardSwish, Relu
from enclair.compiler.ir.ops.elementwise import Add, Mul, Sub
from enclair.compiler.ir.stages import Stage


@dataclass(frozen=True, slots=True)
class LowerClips:
    """Exact but for float64's rounding. One polynomial is shallower; this reaches errors that it does not.

    Clip(low=a, high=b) %x            ->  Relu(%x - a) - Relu(%x - b) + a       without the limits that are infinite
    HardSigmoid(alpha=a, beta=b) %x   ->  Clip(low=0, high=1) (a %x + b), likewise
    HardSwish() %x                    ->  %x HardSigmoid(alpha=1/6, beta=1/2) %x, likewise
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, _visit)


def _visit(graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
    match node.op:
        case Clip(low, high):
            return _clipped(graph, node, args[0], low, high, node.out.name)
        case HardSigmoid(alpha, beta):
            return _clipped(graph, node, _affine(graph, node, args[0], alpha, beta), 0.0, 1.0, node.out.name)
        case HardSwish():
            share = _clipped(graph, node, _affine(graph, node, args[0], 1 / 6, 0.5), 0.0, 1.0, "")
            return graph.add(Mul(), args[0], share, name=node.out.name, origin=node.origin)
        case _:
            return None


def _affine(graph: Rewriter, node: Node, x: Value, factor: float, addend: float) -> Value:
    scaled = graph.add(Mul(), x, graph.constant(f"{node.out.name}.factor", np.array(factor)), origin=node.origin)
    return graph.add(Add(), scaled, graph.constant(f"{node.out.name}.addend", np.array(addend)), origin=node.origin)


def _clipped(graph: Rewriter, node: Node, x: Value, low: float, high: float, name: str) -> Value:
    """low + relu(x - low) - relu(x - high); without a low limit high - relu(high - x) = x - relu(x - high)."""
    start = _above(graph, node, x, low) if isfinite(low) else x
    end = _above(graph, node, x, high) if isfinite(high) else None
    rest = start if end is None else graph.add(Sub(), start, end, origin=node.origin)
    offset = graph.constant(f"{node.out.name}.low", np.array(low if isfinite(low) else 0.0))
    return graph.add(Add(), rest, offset, name=name, origin=node.origin)


def _above(graph: Rewriter, node: Node, x: Value, limit: float) -> Value:
    """relu(x - limit)."""
    addend = graph.constant(f"{node.out.name}.limit", np.array(-limit))
    return graph.add(Relu(), graph.add(Add(), x, addend, origin=node.origin), origin=node.origin)
