"""Which evaluation keys the ops of a graph on CKKS ciphertexts need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import LinearTransform, Relinearise, RotateSlots


@dataclass(frozen=True, slots=True)
class KeyNeeds:
    """The evaluation keys that a client makes for a server.

    Args:
        rotations: steps of the rotations, ascending; each takes a key.
        relinearise: whether products of ciphertexts are brought back to two parts.
    """

    rotations: tuple[int, ...] = ()
    relinearise: bool = False

    @property
    def count(self) -> int:
        """Number of keys."""
        return len(self.rotations) + self.relinearise


NO_KEYS = KeyNeeds()


def key_needs(graphs: Iterable[Graph]) -> KeyNeeds:
    """The keys that the graphs need together; graphs of BFV need none."""
    nodes = [(graph, node) for graph in graphs for node in graph.nodes]
    steps = {step for graph, node in nodes for step in rotations_of(graph, node)}
    return KeyNeeds(tuple(sorted(steps)), any(isinstance(node.op, Relinearise) for _, node in nodes))


def rotations_of(graph: Graph, node: Node) -> set[int]:
    """The steps by which a node rotates ciphertexts, without 0.

    With n baby steps a rotation by r is one by r mod n, and one by the rest.
    """
    if isinstance(node.op, RotateSlots):
        return {node.op.steps}
    if not isinstance(node.op, LinearTransform):
        return set()
    rotations = np.unique(graph.constant(node.args[3]))
    if node.op.baby_steps:
        babies = rotations % node.op.baby_steps
        rotations = np.unique(np.concatenate([babies, rotations - babies]))
    return set(rotations.tolist()) - {0}
