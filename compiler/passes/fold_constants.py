"""Compute at compile time what depends on constants alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.public import derived_name
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class FoldConstants:
    """Replace a node whose arguments are all constants by a constant. An output becomes a mere Reshape of it.

    const %a, %b;  %c = Mul() %a %b   ->   const %c
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The folded graph."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        if not args or any(arg.name not in graph.arrays for arg in args):
            return None
        is_output = node.out in graph.old.outputs
        if is_output and isinstance(node.op, Reshape):
            return None
        result = node.op.evaluate(*(graph.arrays[arg.name] for arg in args))
        folded = graph.constant(derived_name(graph, args, node.out.name), result)
        if not is_output or not isinstance(folded.type, TensorType):
            return folded
        return graph.add(Reshape(folded.type.shape), folded, name=node.out.name, origin=node.origin)
