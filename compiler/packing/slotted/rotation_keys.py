"""The rotations that need keys, and how to do with fewer: rotations composed of others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Array, Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers
from enclair.compiler.ir.ops.ckks import LinearTransform, RotateSlots
from enclair.compiler.ir.types import CkksType

Numbers = NDArray[np.int64]


def rotation_uses(graph: Graph) -> Counter[int]:
    """How many rotations by each number of slots a PACKED or LEVELED graph makes: one needs a key for each."""
    uses: Counter[int] = Counter()
    for node in graph.nodes:
        if isinstance(node.op, RotateSlots) and isinstance(node.out.type, CkksType):
            uses[node.op.steps] += node.out.type.count
        elif isinstance(node.op, LinearTransform):
            rows, cols, rotations = (graph.constant(arg) for arg in node.args[1:4])
            babies, giants = split_steps(rotations, node.op.baby_steps)
            for numbers, steps in ((cols, babies), (rows, giants)):
                uses.update(np.unique(np.stack([numbers, steps]), axis=1)[1].tolist())
    del uses[0]
    return uses


def _server_slots(graph: Graph) -> int:
    """Slots of a graph's ciphertexts."""
    return next(value.type.slots for value in graph.inputs if isinstance(value.type, CkksType))


def split_steps(rotations: Array, baby_steps: int) -> tuple[Numbers, Numbers]:
    """Each rotation as a baby step and a giant step."""
    babies = rotations % baby_steps if baby_steps else rotations
    return babies, rotations - babies


def least_rotation_keys(slots: int) -> int:
    """Of how many keys every rotation can be made: those of the powers of two."""
    return slots.bit_length() - 1


def limit_rotation_keys(graph: Graph, most: int) -> Graph:
    """The same graph with at most so many rotation keys: all powers of two, and the rotations that are used most.

    Others are made of those one after another, as few as possible.

    Raises:
        CompileError: there are more powers of two.
    """
    uses = rotation_uses(graph)
    if len(uses) <= most:
        return graph
    slots = _server_slots(graph)
    powers = [1 << k for k in range(least_rotation_keys(slots))]
    if most < len(powers):
        raise CompileError(
            f"max_rotation_keys is {most}; with {slots} slots every rotation can be made of {len(powers)} keys, not of"
            f" fewer: raise it to {len(powers)}, or leave it out for the {len(uses)} that are used"
        )
    frequent = [steps for steps, _ in uses.most_common() if steps not in powers]
    return rewrite(graph, _Composer(frozenset(powers + frequent[: most - len(powers)]), slots))


def shortest_compositions(keys: frozenset[int], slots: int) -> Numbers:
    """For each rotation the last of the fewest keys that add up to it modulo ``slots``; -1 for 0 and where none do."""
    last = np.full(slots, -1, dtype=np.int64)
    seen = np.zeros(slots, dtype=np.bool_)
    seen[0] = True
    front: Numbers = np.zeros(1, dtype=np.int64)
    while front.size:
        found = []
        for key in sorted(keys):
            reached = (front + key) % slots
            fresh = reached[~seen[reached]]
            seen[fresh], last[fresh] = True, key
            found.append(fresh)
        front = np.concatenate(found)
    return last


@dataclass
class _Composer:
    """Rewrites rotations without a key of their own.

    Args:
        keys: rotations that have one.
        slots: of a ciphertext.
    """

    keys: frozenset[int]
    slots: int
    last: Numbers = field(init=False)

    def __post_init__(self) -> None:
        self.last = shortest_compositions(self.keys, self.slots)

    def __call__(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        if isinstance(node.op, RotateSlots) and node.op.steps not in self.keys:
            return self._rotated(graph, args[0], node.op.steps, {}, name=node.out.name)
        if isinstance(node.op, LinearTransform):
            return _Transform(self, graph, node, args).rewritten()
        return None

    def has(self, steps: int) -> bool:
        """Whether there is a key, or none is needed."""
        return steps == 0 or steps in self.keys

    def _rotated(self, graph: Rewriter, x: Value, steps: int, known: dict[int, Value], name: str = "") -> Value:
        """A value rotated by keys one after another; partial ones are made once."""
        if steps == 0:
            return x
        if steps not in known:
            key = int(self.last[steps])
            before = self._rotated(graph, x, (steps - key) % self.slots, known)
            known[steps] = graph.add(RotateSlots(key), before, name=name)
        return known[steps]

    def rotated(self, graph: Rewriter, x: Value, steps: int, known: dict[int, Value]) -> Value:
        """A value rotated by keys one after another."""
        return self._rotated(graph, x, steps, known)


@dataclass
class _Transform:
    """A linear transform of which some rotations have no key.

    Missing baby steps become further ciphertexts, rotated before; missing giant steps further results, rotated after.
    """

    composer: _Composer
    graph: Rewriter
    node: Node
    args: tuple[Value, ...]

    def __post_init__(self) -> None:
        self.tables = [np.array(self.graph.arrays[arg.name]) for arg in self.args[1:]]

    def rewritten(self) -> Value | None:
        """The rewritten node, or None where all rotations have keys."""
        op, (rows, cols, rotations, which, weights, vectors) = self._op(), self.tables
        babies, giants = split_steps(rotations, op.baby_steps)
        early = [steps for steps in np.unique(babies).tolist() if not self.composer.has(steps)]
        late = [steps for steps in np.unique(giants).tolist() if not self.composer.has(steps)]
        if not early and not late:
            return None
        x, cols = self._with_copies(cols, babies, early)
        rotations = rotations - np.where(np.isin(babies, early), babies, 0) - np.where(np.isin(giants, late), giants, 0)
        rows = rows + op.outputs * _number(giants, late)
        which, vectors = _rolled(which, vectors, np.where(np.isin(giants, late), giants, 0))
        outputs = op.outputs * (len(late) + 1)
        widened = LinearTransform(outputs, op.baby_steps, op.plain_scale)
        tables = (rows, cols, rotations, which, weights, vectors)
        made = self._add(widened, x, tables, "" if late else self.node.out.name)
        return self._with_giants(made, op.outputs, late) if late else made

    def _op(self) -> LinearTransform:
        if not isinstance(self.node.op, LinearTransform):
            raise TypeError(f"{self.node} is no linear transform")
        return self.node.op

    def _with_copies(self, cols: Numbers, babies: Numbers, early: list[int]) -> tuple[Value, Numbers]:
        """The argument and its copies rotated by ``early``; columns that read them instead."""
        x = self.args[0]
        count = x.type.count if isinstance(x.type, CkksType) else 0
        known: dict[int, Value] = {}
        copies = [self.composer.rotated(self.graph, x, steps, known) for steps in early]
        joined = self.graph.add(ConcatCiphers(), x, *copies) if copies else x
        return joined, cols + count * _number(babies, early)

    def _add(self, op: LinearTransform, x: Value, tables: tuple[Array, ...], name: str) -> Value:
        names = ("rows", "cols", "rotations", "which")
        integers = [self.graph.constant(n, table, 0) for n, table in zip(names, tables[:4], strict=True)]
        reals = [self.graph.constant("weights", tables[4]), self.graph.constant("vectors", tables[5])]
        return self.graph.add(op, x, *integers, *reals, name=name, origin=self.node.origin)

    def _with_giants(self, made: Value, outputs: int, late: list[int]) -> Value:
        """The first results plus the further ones, each rotated."""
        total = self._part(made, 0, outputs)
        for number, steps in enumerate(late, 1):
            part = self.composer.rotated(self.graph, self._part(made, number, outputs), steps, {})
            total = self.graph.add(AddCiphers(), total, part, name=self.node.out.name if number == len(late) else "")
        return total

    def _part(self, made: Value, number: int, outputs: int) -> Value:
        table = self.graph.constant("select", np.arange(number * outputs, (number + 1) * outputs), 0)
        return self.graph.add(SelectCiphers(), made, table)


def _number(steps: Numbers, listed: list[int]) -> Numbers:
    """The place of each step in a sorted list, counted from 1; 0 for those that are not in it."""
    return np.where(np.isin(steps, listed), np.searchsorted(np.array(listed, dtype=np.int64), steps) + 1, 0)


def _rolled(which: Numbers, vectors: Array, giants: Numbers) -> tuple[Numbers, Array]:
    """Vectors that multiply before the giant step what they multiplied after it."""
    pairs, places = np.unique(np.stack([which, giants]), axis=1, return_inverse=True)
    if vectors.shape[1] == 1:
        return which, vectors
    return places.reshape(-1), np.stack([np.roll(vectors[number], steps) for number, steps in pairs.T])
