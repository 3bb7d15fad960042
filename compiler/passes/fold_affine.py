"""Fold multiplications and additions by constants into each other and into the weights beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Array, Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.shape import DepthToSpace, Expand, Gather, Reshape, Resize, Slice, SpaceToDepth, Transpose
from enclair.compiler.ir.public import derived_name
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType

MOVES = (Reshape, Transpose, Slice, Gather, Expand, Resize, DepthToSpace, SpaceToDepth)
"""Ops that move elements and so commute with a multiplication by one number."""


@dataclass(frozen=True, slots=True)
class FoldAffine:
    """Fold until nothing changes. c, d are constants; an inner value must have no other reader.

    Mul(Mul(x, c), d)         ->  Mul(x, c d)
    Add(Add(x, c), d)         ->  Add(x, c + d)
    Mul(Add(x, c), d)         ->  Add(Mul(x, d), c d)
    Mul(Conv(x, w), c)        ->  Conv(x, c w)         c per output channel; ConvTranspose and MatMul alike
    Conv(Mul(x, c), w)        ->  Conv(x, c w)         c per input channel
    Reshape(Mul(x, c))        ->  Mul(Reshape(x), c)   c one number; likewise for other ops that only move elements
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The folded graph."""
        while (folded := _fold_once(graph)) is not None:
            graph = folded
        return graph


def _fold_once(graph: Graph) -> Graph | None:
    """Apply the first rule that fits anywhere; None when none does."""
    visit = _Folder(graph)
    folded = rewrite(graph, visit)
    return folded if visit.changed else None


class _Folder:
    """One sweep that folds at most one pair, so that no rule sees a half-changed neighbour."""

    def __init__(self, graph: Graph) -> None:
        self.readers = graph.consumers()
        self.producers = graph.producers()
        self.outputs = {value.name for value in graph.outputs}
        self.touched: set[str] = set()
        self.changed = False

    def __call__(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        if not args or (inner := self._inner(node)) is None or inner.out.name in self.touched:
            return None
        inner_args = tuple(graph.new[arg.name] for arg in inner.args)
        result = _fold(graph, node, args, inner, inner_args)
        if result is not None:
            self.changed = True
            self.touched.add(node.out.name)
        return result

    def _inner(self, node: Node) -> Node | None:
        """The node whose result this one alone reads as its first argument, unless it widens what it reads."""
        inner = self.producers.get(node.args[0].name)
        if inner is None or len(self.readers[inner.out.name]) != 1 or inner.out.name in self.outputs:
            return None
        widens = isinstance(inner.op, Add | Mul) and inner.args[0].type != inner.out.type
        return None if widens else inner


def _fold(
    graph: Rewriter, node: Node, args: tuple[Value, ...], inner: Node, inner_args: tuple[Value, ...]
) -> Value | None:
    """The folded pair under the outer node's name, or None when no rule fits."""
    x = inner_args[0]
    outer = graph.arrays.get(args[1].name) if len(args) == 2 else None
    factor = graph.arrays.get(inner_args[1].name) if len(inner_args) == 2 else None
    if factor is None:
        return None
    if isinstance(node.op, MOVES) and isinstance(inner.op, Mul) and factor.size == 1:
        scalar = _combined(graph, (inner_args[1],), factor.reshape(()))
        return _finish(graph, node, Mul(), graph.add(node.op, x, origin=node.origin), scalar)
    if outer is None:
        return None
    both = (args[1], inner_args[1])
    match node.op, inner.op:
        case Mul(), Mul():
            return _finish(graph, node, Mul(), x, _combined(graph, both, outer * factor))
        case Add(), Add():
            return _finish(graph, node, Add(), x, _combined(graph, both, outer + factor))
        case Mul(), Add():
            scaled = graph.add(Mul(), x, args[1], origin=inner.origin)
            return _finish(graph, node, Add(), scaled, _combined(graph, both, outer * factor))
        case Mul(), Conv() | ConvTranspose() | MatMul():
            weights = scale_outputs(inner.op, factor, outer, _rank(args[0]))
        case Conv() | ConvTranspose() | MatMul(), Mul():
            weights = scale_inputs(node.op, outer, factor, _rank(args[0]))
        case _:
            return None
    linear = inner.op if isinstance(node.op, Mul) else node.op
    return None if weights is None else _finish(graph, node, linear, x, _combined(graph, both, weights))


def scale_outputs(op: Op, weights: Array, factor: Array, rank: int) -> Array | None:
    """Weights whose outputs are multiplied by a factor per output channel; None when the factor varies otherwise."""
    if isinstance(op, MatMul):
        columns = _along(factor, rank, rank - 1, weights.shape[-1])
        return None if columns is None or weights.ndim != 2 else weights * columns
    axis = 1 if isinstance(op, ConvTranspose) else 0
    groups = op.groups if isinstance(op, ConvTranspose) else 1
    channels = _along(factor, rank, 1, weights.shape[axis] * groups)
    if channels is None:
        return None
    if isinstance(op, ConvTranspose):
        per_group = channels.reshape(groups, 1, -1, *(1,) * (weights.ndim - 2))
        return np.asarray((weights.reshape(groups, -1, *weights.shape[1:]) * per_group).reshape(weights.shape))
    return np.asarray(weights * channels.reshape(-1, *(1,) * (weights.ndim - 1)))


def scale_inputs(op: Op, weights: Array, factor: Array, rank: int) -> Array | None:
    """Weights that take over a factor per input channel; None when the factor varies otherwise."""
    if isinstance(op, MatMul):
        features = _along(factor, rank, rank - 1, weights.shape[0])
        return None if features is None or weights.ndim != 2 else weights * features[:, None]
    groups = op.groups if isinstance(op, Conv) else 1
    axis = 1 if isinstance(op, Conv) else 0
    channels = _along(factor, rank, 1, weights.shape[axis] * groups)
    if channels is None:
        return None
    if isinstance(op, Conv):
        per_group = channels.reshape(groups, 1, -1, *(1,) * (weights.ndim - 2))
        return np.asarray((weights.reshape(groups, -1, *weights.shape[1:]) * per_group).reshape(weights.shape))
    return np.asarray(weights * channels.reshape(-1, *(1,) * (weights.ndim - 1)))


def _along(factor: Array, rank: int, axis: int, extent: int) -> Array | None:
    """The factor as a vector along one axis of a tensor of the rank; None when it varies along another."""
    if factor.ndim > rank:
        return None
    shape = (1,) * (rank - factor.ndim) + factor.shape
    if any(size != 1 for position, size in enumerate(shape) if position != axis):
        return None
    return np.broadcast_to(factor.reshape(-1), (extent,)) if shape[axis] in (1, extent) else None


def _rank(value: Value) -> int:
    return len(value.type.shape) if isinstance(value.type, TensorType) else 0


def _finish(graph: Rewriter, node: Node, op: Op, *args: Value) -> Value:
    return graph.add(op, *args, name=node.out.name, origin=node.origin)


def _combined(graph: Rewriter, sources: tuple[Value, ...], array: Array) -> Value:
    """A constant made of others; public only if they all are."""
    return graph.constant(derived_name(graph, sources, sources[0].name), array)
