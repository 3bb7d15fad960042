"""Give every node a side and a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.stages import Stage
from enclair.compiler.planner.rounds import place, with_places
from enclair.compiler.planner.sides import Side, sides_of


@dataclass(frozen=True, slots=True)
class PlaceOps:
    """Place nodes with the fewest rounds, then the least traffic; nodes come out in the order they run.

        %y: ... = Conv(...) %x %w   ->   %y: ... = Conv(...) %x %w @server:1
        %z: ... = Relu() %y         ->   %z: ... = Relu() %y @client:1

    ``on_client`` names nodes that could run on either side but have no packed form where they stand.
    """

    produces: ClassVar[Stage] = Stage.PLACED

    on_client: frozenset[str] = frozenset()

    def __call__(self, graph: Graph) -> Graph:
        """The placed graph."""
        sides = sides_of(graph) | dict.fromkeys(self.on_client, Side.CLIENT)
        return with_places(graph, place(graph, sides))
