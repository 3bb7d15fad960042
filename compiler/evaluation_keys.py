"""Which evaluation keys a program needs: the client makes them, and must know without seeing the server's graphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import EnclairError
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import LinearTransform, Relinearise, RotateSlots


class NeededKeysError(EnclairError):
    """A set of evaluation keys that is not well formed."""


@dataclass(frozen=True, slots=True)
class NeededKeys:
    """The evaluation keys of a program.

    Args:
        rotations: steps, ascending: rotation r brings slot i + r to slot i.
        relinearisation: whether products are relinearised.

    Raises:
        NeededKeysError: steps that are not positive, or not ascending.
    """

    rotations: tuple[int, ...] = ()
    relinearisation: bool = False

    def __post_init__(self) -> None:
        steps = (0, *self.rotations)
        if any(first >= second for first, second in pairwise(steps)):
            raise NeededKeysError(f"rotations must be ascending steps above 0, got {self.rotations}")

    @property
    def count(self) -> int:
        """How many keys."""
        return len(self.rotations) + self.relinearisation


NO_KEYS = NeededKeys()


def needed_keys(graphs: Iterable[Graph]) -> NeededKeys:
    """The keys that server graphs need."""
    nodes = [(graph, node) for graph in graphs for node in graph.nodes]
    steps = {step for graph, node in nodes for step in _rotations(graph, node)}
    relinearised = any(isinstance(node.op, Relinearise) for _, node in nodes)
    return NeededKeys(tuple(sorted(steps - {0})), relinearised)


def transform_rotations(rotations: NDArray[np.integer[Any]], baby_steps: int) -> set[int]:
    """The steps that a ``LinearTransform`` rotates by: baby steps and giant steps, or each rotation at once."""
    if not baby_steps:
        return set(rotations.tolist()) - {0}
    babies = rotations % baby_steps
    return (set(babies.tolist()) | set((rotations - babies).tolist())) - {0}


def _rotations(graph: Graph, node: Node) -> Iterator[int]:
    if isinstance(node.op, RotateSlots):
        yield node.op.steps
    elif isinstance(node.op, LinearTransform):
        yield from transform_rotations(graph.arrays[node.args[3].name], node.op.baby_steps)
