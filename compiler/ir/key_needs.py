"""Which evaluation keys the ops of a graph on CKKS ciphertexts need, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import LinearTransform, Relinearise, RotateSlots
from enclair.compiler.ir.types import CkksType

RELINEARISATION = None
"""In the place of steps: the key that products take."""

KeyName: TypeAlias = "int | None"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One use of a key.

    Args:
        place: of the node, one graph after another.
        level: of the ciphertexts; None at stage PACKED.
    """

    place: int
    level: int | None


KeyUses: TypeAlias = "Mapping[KeyName, tuple[KeyUse, ...]]"
"""The uses of each key, in the order of the nodes."""

NO_USES: KeyUses = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class KeyNeeds:
    """The evaluation keys that a client makes for a server.

    Args:
        rotations: steps of the rotations, ascending; each takes a key.
        relinearise: whether products of ciphertexts are brought back to two parts.
        levels: the highest level at which each key is used, relinearisation first: a key has no more than it takes
            there. None given: every key serves all levels.
    """

    rotations: tuple[int, ...] = ()
    relinearise: bool = False
    levels: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Number of keys."""
        return len(self.rotations) + self.relinearise

    def key_levels(self, top: int) -> tuple[int, ...]:
        """The level of each key, of ciphertexts that begin at level ``top``."""
        return self.levels or (top,) * self.count


NO_KEYS = KeyNeeds()


def key_needs(graphs: Iterable[Graph]) -> KeyNeeds:
    """The keys that the graphs need together; graphs of BFV need none."""
    uses = key_uses(graphs)
    rotations = tuple(sorted(name for name in uses if name is not RELINEARISATION))
    names = [name for name in (RELINEARISATION, *rotations) if name in uses]
    levels = [{use.level for use in uses[name]} for name in names]
    highest = tuple(max(level for level in of if level is not None) for of in levels if None not in of)
    return KeyNeeds(rotations, RELINEARISATION in uses, highest if len(highest) == len(names) else ())


def key_uses(graphs: Iterable[Graph]) -> KeyUses:
    """When the graphs, evaluated one after another, use which key."""
    uses: dict[KeyName, list[KeyUse]] = {}
    nodes = [(graph, node) for graph in graphs for node in graph.nodes]
    for place, (graph, node) in enumerate(nodes):
        for name in _names(graph, node):
            uses.setdefault(name, []).append(KeyUse(place, _level(node)))
    return {name: tuple(of) for name, of in uses.items()}


def _names(graph: Graph, node: Node) -> Iterable[KeyName]:
    return {RELINEARISATION} if isinstance(node.op, Relinearise) else rotations_of(graph, node)


def _level(node: Node) -> int | None:
    x = node.args[0].type
    return x.level if isinstance(x, CkksType) else None


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
