"""Repeat a computed value to the shape of the constant that it is joined with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.shape import Expand
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class ExpandOperands:
    """Additions of and multiplications by constants keep the shape of the value they change.

    Mul() %x %c   ->   Mul() (Expand(shape) %x) %c        where c is larger than x
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        if not isinstance(node.op, Add | Mul) or args[1].name not in graph.arrays or args[0].name in graph.arrays:
            return None
        if args[0].type == node.out.type or not isinstance(node.out.type, TensorType):
            return None
        expanded = graph.add(Expand(node.out.type.shape), args[0], origin=node.origin)
        return graph.add(node.op, expanded, args[1], name=node.out.name, origin=node.origin)
