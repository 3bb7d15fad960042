"""Baby steps of all linear transforms together, so that they share rotation keys.

A key costs the client and the wire once, and memory all the time; a rotation costs the server at every run. Each
transform may cut its rotations into baby and giant steps in several ways, of which those are cheap that others use too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.ckks import LinearTransform, RotateSlots
from enclair.compiler.ir.types import CkksType
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts, count_steps
from enclair.compiler.packing.slotted.rotation_keys import split_steps

KEY_ROTATIONS = 0.1
"""What a key costs each run, in rotations: to make and send one takes about forty, and serves hundreds of runs."""
EXCESS_ROTATIONS = 1e6
"""What a key too many costs, in rotations."""
STARTS = 4
"""Choices that are improved, of those in which all transforms have the same number of baby steps."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A number of baby steps of a transform: the rotations that need keys, and milliseconds."""

    baby_steps: int
    keys: frozenset[int]
    milliseconds: float


def share_rotation_keys(graph: Graph, costs: RotationCosts, most: int | None = None) -> Graph:
    """The same graph with the numbers of baby steps that make runs and keys together cheapest.

    Args:
        graph: at stage PACKED.
        costs: of the server's operations.
        most: rotation keys that there may be: as near to it as baby steps alone come.
    """
    cuts = {node.out.name: found for node in graph.nodes if (found := _cuts(graph, node, costs))}
    own = {node.op.steps for node in graph.nodes if isinstance(node.op, RotateSlots)}
    chosen = _Choice(cuts, own, KEY_ROTATIONS * costs.rotate, EXCESS_ROTATIONS * costs.rotate, most).best()
    return rewrite(graph, lambda rewriter, node, args: _recut(rewriter, node, args, chosen))


def _cuts(graph: Graph, node: Node, costs: RotationCosts) -> list[Cut]:
    """The cuts of a transform that rotates by more than one number of slots, that which it has first."""
    op, x = node.op, node.args[0].type
    if not isinstance(op, LinearTransform) or not isinstance(x, CkksType):
        return []
    rows, cols, rotations = (graph.constant(arg) for arg in node.args[1:4])
    if len(set(rotations.tolist())) < 2:
        return []
    powers = [1 << k for k in range(1, x.slots.bit_length() - 1)]
    found: list[Cut] = []
    for baby_steps in dict.fromkeys([op.baby_steps, 0, *powers]):
        babies, giants = split_steps(rotations, baby_steps)
        keys = frozenset(babies.tolist() + giants.tolist()) - {0}
        time = count_steps(rows, cols, rotations, baby_steps, x.slots).milliseconds(costs)
        if not any(cut.keys <= keys and cut.milliseconds <= time for cut in found):
            found.append(Cut(baby_steps, keys, time))
    return found


@dataclass
class _Choice:
    """The search: every transform's cut in turn, as long as that saves something.

    Args:
        cuts: of each transform, by the name of its result.
        own: rotations that need keys anyway.
        key_price: of each key, in milliseconds.
        excess_price: of each key above ``most``.
        most: keys that there may be.
    """

    cuts: dict[str, list[Cut]]
    own: set[int]
    key_price: float
    excess_price: float
    most: int | None

    def best(self) -> dict[str, Cut]:
        """The cheapest choice that was found."""
        if not self.cuts:
            return {}
        sizes = {cut.baby_steps for cuts in self.cuts.values() for cut in cuts}
        starts = [{name: cuts[0] for name, cuts in self.cuts.items()}, *map(self._alike, sorted(sizes))]
        promising = sorted(starts, key=self._price)[:STARTS]
        return min(map(self._improved, promising), key=self._price)

    def _alike(self, baby_steps: int) -> dict[str, Cut]:
        """All transforms with this number of baby steps, where they have such a cut."""
        return {
            name: next((cut for cut in cuts if cut.baby_steps == baby_steps), cuts[0])
            for name, cuts in self.cuts.items()
        }

    def _improved(self, chosen: dict[str, Cut]) -> dict[str, Cut]:
        improving = True
        while improving:
            improving = False
            for name, cuts in self.cuts.items():
                better = self._best_for(name, cuts, chosen)
                improving |= better is not chosen[name]
                chosen = {**chosen, name: better}
        return chosen

    def _best_for(self, name: str, cuts: Sequence[Cut], chosen: dict[str, Cut]) -> Cut:
        """The cut of one transform that is cheapest beside those of the others; the one chosen where none is better."""
        others = self._used({other: cut for other, cut in chosen.items() if other != name})
        now = chosen[name]
        return min([now, *cuts], key=lambda cut: self._keys_price(len(others | cut.keys)) + cut.milliseconds)

    def _used(self, chosen: dict[str, Cut]) -> frozenset[int]:
        return frozenset(self.own).union(*(cut.keys for cut in chosen.values()))

    def _keys_price(self, count: int) -> float:
        excess = max(0, count - self.most) if self.most is not None else 0
        return self.key_price * count + self.excess_price * excess

    def _price(self, chosen: dict[str, Cut]) -> float:
        return self._keys_price(len(self._used(chosen))) + sum(cut.milliseconds for cut in chosen.values())


def _recut(rewriter: Rewriter, node: Node, args: tuple[Value, ...], chosen: dict[str, Cut]) -> Value | None:
    cut = chosen.get(node.out.name)
    if cut is None or not isinstance(node.op, LinearTransform) or cut.baby_steps == node.op.baby_steps:
        return None
    op = replace(node.op, baby_steps=cut.baby_steps)
    return rewriter.add(op, *args, name=node.out.name, origin=node.origin, place=node.place)
