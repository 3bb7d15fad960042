"""Move additions of constants behind matrix products, and multiply matrices that follow each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.stages import Stage


@dataclass(frozen=True, slots=True)
class FoldProducts:
    """Until nothing changes; the inner value has no readers but such products.

    MatMul() (Add() %x b) w      ->  Add() (MatMul() %x w) (b w)
    MatMul() (MatMul() %x v) w   ->  MatMul() %x (v w)              when v w has no more elements than both
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The folded graph."""
        while (folded := _fold_once(graph)) != graph:
            graph = folded
        return graph


def _fold_once(graph: Graph) -> Graph:
    readers, producers, outputs = graph.consumers(), graph.producers(), set(graph.outputs)
    touched: set[str] = set()

    def visit(new: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        inner = producers.get(node.args[0].name) if node.args else None
        if inner is None or inner.out in outputs or inner.out.name in touched or not _is_product(graph, node):
            return None
        if len(inner.args) != 2 or not graph.is_constant(inner.args[1]) or inner.args[0].type != _kept(inner):
            return None
        if not all(_is_product(graph, reader) for reader in readers[inner.out.name]):
            return None
        folded = _folded(new, node, inner, new.new[inner.args[0].name], args[1])
        if folded is not None:
            touched.add(node.out.name)
        return folded

    return rewrite(graph, visit)


def _kept(inner: Node) -> object:
    """What the first argument's type must be: an addition may not widen it."""
    return inner.out.type if isinstance(inner.op, Add) else inner.args[0].type


def _is_product(graph: Graph, node: Node) -> bool:
    """A product of a computed value of rank 2 or more with a constant matrix."""
    if not isinstance(node.op, MatMul) or graph.is_constant(node.args[0]) or not graph.is_constant(node.args[1]):
        return False
    return graph.constant(node.args[1]).ndim == 2


def _folded(graph: Rewriter, node: Node, inner: Node, x: Value, weights: Value) -> Value | None:
    w, c = graph.arrays[weights.name], graph.arrays[graph.new[inner.args[1].name].name]
    if isinstance(inner.op, Add):
        if c.ndim == 0 or c.shape[-1] != w.shape[0]:
            return None
        product = graph.add(MatMul(), x, weights, origin=node.origin)
        addend = graph.constant(f"{node.out.name}.offset", c @ w)
        return graph.add(Add(), product, addend, name=node.out.name, origin=node.origin)
    if isinstance(inner.op, MatMul) and c.ndim == 2 and c.shape[0] * w.shape[1] <= c.size + w.size:
        both = graph.constant(weights.name, c @ w)
        return graph.add(MatMul(), x, both, name=node.out.name, origin=node.origin)
    return None
