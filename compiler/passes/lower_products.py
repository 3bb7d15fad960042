"""Write every product with a constant as a product by a matrix on the right."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from enclair.compiler.ir.graph import Array, Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.ops.shape import Reshape, Transpose
from enclair.compiler.ir.public import derived_name
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class LowerProducts:
    """One form for every product with weights: rows of the argument times a matrix.

    MatMul() %c %x  ->  Transpose() MatMul() (Transpose() %x) %c^T        c a matrix
    MatMul() %x %c  ->  Reshape() MatMul() %x %c'                         c a vector, or a stack of one matrix
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        if not isinstance(node.op, MatMul) or not isinstance(node.out.type, TensorType):
            return None
        left, right = (graph.arrays.get(arg.name) for arg in args)
        shape = node.out.type.shape
        if left is not None and right is None and is_matrix(left):
            matrix = left.reshape(-1, left.shape[-1])
            product = _turned(graph, node, args[1], _constant(graph, args[0], matrix.T))
        elif right is not None and left is None and right.ndim != 2 and is_matrix(right):
            matrix = right.reshape(-1, right.shape[-1] if right.ndim > 1 else 1)
            product = graph.add(MatMul(), args[0], _constant(graph, args[1], matrix), origin=node.origin)
        else:
            return None
        return graph.add(Reshape(shape), product, name=node.out.name, origin=node.origin)


def is_matrix(weights: Array) -> bool:
    """Whether weights of any rank are one matrix, or a vector."""
    return weights.size == prod(weights.shape[-2:])


def _turned(graph: Rewriter, node: Node, x: Value, weights: Value) -> Value:
    """(x^T weights)^T, transposing the last two axes; a vector x needs none of it."""
    rank = len(x.type.shape) if isinstance(x.type, TensorType) else 0
    if rank == 1:
        return graph.add(MatMul(), x, weights, origin=node.origin)
    swap = Transpose((*range(rank - 2), rank - 1, rank - 2))
    turned = graph.add(swap, x, origin=node.origin)
    product = graph.add(MatMul(), turned, weights, origin=node.origin)
    return graph.add(swap, product, origin=node.origin)


def _constant(graph: Rewriter, source: Value, array: Array) -> Value:
    return graph.constant(derived_name(graph, [source], source.name), array)
