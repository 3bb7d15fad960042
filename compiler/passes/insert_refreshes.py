"""Hand values to the client and back between two server ops of one stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.fixed import Refresh
from enclair.compiler.ir.stages import Stage


@dataclass(frozen=True, slots=True)
class InsertRefreshes:
    """Put a Refresh, which only the client can do, before the computed arguments of the nodes named in ``before``.

        %y = Conv(...) %x %w   ->   %x.fresh = Refresh() %x
                                    %y = Conv(...) %x.fresh %w

    It costs a round. The compiler asks for it when a stage has no packed form or does not fit the plaintext modulus.
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    before: frozenset[str] = frozenset()

    def __call__(self, graph: Graph) -> Graph:
        """The graph with refreshes."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        if node.out.name not in self.before:
            return None
        made = {n.out.name: n.op for n in graph.nodes}
        fresh = [
            self._refreshed(graph, arg, node) if arg.name in made and not isinstance(made[arg.name], Refresh) else arg
            for arg in args
        ]
        return graph.add(node.op, *fresh, name=node.out.name, origin=node.origin)

    def _refreshed(self, graph: Rewriter, arg: Value, node: Node) -> Value:
        return graph.add(Refresh(), arg, name=graph.fresh(f"{arg.name}.fresh"), origin=node.origin)
