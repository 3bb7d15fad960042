"""How many ciphertexts a server holds at once when the nodes of a LEVELED graph run in order.

Ciphertexts that are selected or concatenated are not copied: they are gone when no value has them any more.
"""

from __future__ import annotations

from collections import Counter

from enclair.compiler.ir.graph import Graph, Node, Value
from enclair.compiler.ir.ops.ciphers import ConcatCiphers, SelectCiphers
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.ckks_costs import RingWork, transform_steps


def rows_alive(graph: Graph, ring: RingWork) -> int:
    """Rows of N residues, the most at any time: ciphertexts, and what a linear transform at work makes of them."""
    last = {arg.name: number for number, node in enumerate(graph.nodes) for arg in node.args}
    held = _Held(ring)
    for value in graph.inputs:
        held.make(value)
    most = held.rows
    for number, node in enumerate(graph.nodes):
        held.make(node.out, _shared(graph, node, held))
        most = max(most, held.rows + working_rows(graph, node, ring))
        for name in {arg.name for arg in node.args}:
            if last[name] == number:
                held.free(name)
    return most


def working_rows(graph: Graph, node: Node, ring: RingWork) -> int:
    """Rows that a linear transform makes besides its results: digits of inputs, rotated inputs, sums to be rotated."""
    x = node.args[0].type
    if not isinstance(node.op, LinearTransform) or not isinstance(x, CkksType):
        return 0
    steps, limbs = transform_steps(graph, node), (x.level or 0) + 1
    wide, rows = limbs + ring.special, ring.sum_rows(steps, limbs)
    digits = steps.turned * (ring.digits(limbs) * wide + 2 * limbs)
    rotated = 2 * steps.babies * (1 if rows == wide else limbs)
    return 2 * steps.giants * rows + digits + rotated


class _Held:
    """The ciphertexts of the values that are needed still, by a number each."""

    def __init__(self, ring: RingWork) -> None:
        self.rows = 0
        self.ciphers: dict[str, tuple[int, ...]] = {}
        self._special = ring.special
        self._sizes: list[int] = []
        self._holders: Counter[int] = Counter()

    def make(self, value: Value, shared: tuple[int, ...] | None = None) -> None:
        """A value of new ciphertexts, or of some that are there."""
        if isinstance(value.type, CkksType):
            self.ciphers[value.name] = self._new(value.type) if shared is None else shared
            for number in self.ciphers[value.name]:
                self.rows += 0 if self._holders[number] else self._sizes[number]
                self._holders[number] += 1

    def free(self, name: str) -> None:
        """A value that is needed no more."""
        for number in self.ciphers.pop(name, ()):
            self._holders[number] -= 1
            self.rows -= 0 if self._holders[number] else self._sizes[number]

    def _new(self, type_: CkksType) -> tuple[int, ...]:
        first = len(self._sizes)
        self._sizes += [type_.parts * ((type_.level or 0) + 1 + self._special)] * type_.count
        return tuple(range(first, len(self._sizes)))


def _shared(graph: Graph, node: Node, held: _Held) -> tuple[int, ...] | None:
    """The numbers of a result's ciphertexts where they are those of arguments."""
    if isinstance(node.op, ConcatCiphers):
        return tuple(number for arg in node.args for number in held.ciphers[arg.name])
    if isinstance(node.op, SelectCiphers):
        of = held.ciphers[node.args[0].name]
        return tuple(of[number] for number in graph.constant(node.args[1]).tolist())
    return None
