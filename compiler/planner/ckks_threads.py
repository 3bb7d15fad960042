"""What threads gain: nodes run side by side, and within a node the residues modulo each prime of each ciphertext do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.types import CkksType


@dataclass(frozen=True, slots=True)
class ThreadedCost:
    """Milliseconds of a LEVELED graph on so many threads; ``critical_path`` is what no number of threads is below."""

    graph: Graph
    nodes: Mapping[str, float]

    def on(self, threads: float) -> float:
        """No faster than all work shared, nor than the longest chain of nodes, each on the threads that it can use."""
        return max(sum(self.nodes.values()) / threads, self._chain(threads))

    @property
    def critical_path(self) -> float:
        """The longest chain, each node on as many threads as it can use."""
        return self._chain(inf)

    def _chain(self, threads: float) -> float:
        ends: dict[str, float] = {}
        for node in self.graph.nodes:
            before = max((ends.get(arg.name, 0.0) for arg in node.args), default=0.0)
            ends[node.out.name] = before + self.nodes[node.out.name] / min(threads, width(node))
        return max(ends.values(), default=0.0)


def width(node: Node) -> int:
    """How many threads an operation can use: one for each prime of each ciphertext that it makes."""
    x, out = node.args[0].type, node.out.type
    primes = (x.level or 0) + 1 if isinstance(x, CkksType) else 1
    return primes * (out.count if isinstance(out, CkksType) else 1)
