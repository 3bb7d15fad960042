"""Compute at compile time what depends on constants alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.stages import Stage


@dataclass(frozen=True, slots=True)
class FoldConstants:
    """Replace a node whose arguments are all constants by a constant. Graph outputs stay nodes.

    const %a, %b;  %c = Mul() %a %b   ->   const %c
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The folded graph."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        if node.out in graph.old.outputs or not args or any(arg.name not in graph.arrays for arg in args):
            return None
        return graph.constant(node.out.name, node.op.evaluate(*(graph.arrays[arg.name] for arg in args)))
