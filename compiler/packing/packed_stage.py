"""What packing a server stage takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from enclair.compiler.ir.graph import Graph, Value
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.planner.costs import OpCosts, StageCost, stage_cost


@dataclass(frozen=True, slots=True)
class Held:
    """A value in a layout, under the name of its ciphertext array."""

    cipher: Value
    layout: Layout


@dataclass(frozen=True, slots=True)
class Ring:
    """What packing must know of the parameters: slots, limbs, and the noise a stage may add."""

    ring_dim: int
    limbs: int
    room_bits: float
    slot_vector_bits: float
    finishing_sums: bool = True
    costs: OpCosts = field(default_factory=OpCosts)

    def milliseconds(self, cost: StageCost) -> float:
        """Estimated time of a stage, one thread."""
        return cost.milliseconds(self.ring_dim, self.limbs, self.costs)


@dataclass(frozen=True, slots=True)
class PackedStage:
    """A server graph on ciphertexts, with the layouts of what it takes from the client and of what it makes."""

    graph: Graph
    uploads: dict[str, Held]
    kept: dict[str, Held]
    results: dict[str, Held]
    layout_name: str = ""
    growth: dict[str, float] = field(default_factory=dict)

    def cost(self) -> StageCost:
        """Operations and ciphertexts."""
        uploads = sum(held.layout.count for held in self.uploads.values())
        return stage_cost(self.graph, uploads, sum(held.layout.count for held in self.results.values()))
