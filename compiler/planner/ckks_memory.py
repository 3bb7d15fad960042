"""How much memory a server needs for a LEVELED graph: keys, plaintexts, and what is alive at once.

That is ciphertexts, and while a linear transform is at work the digits of what it rotates and its sums.
"""

from __future__ import annotations

from dataclasses import dataclass

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.ckks_costs import RingWork, ring_work, transform_steps
from enclair.compiler.planner.ckks_plaintexts import RESIDUE_BYTES, plaintexts_of


@dataclass(frozen=True, slots=True)
class Memory:
    """What a server holds, in bytes.

    Args:
        keys: evaluation keys, as they come and as they are used.
        plaintexts: of all linear transforms.
        ciphertexts: those alive at once, with what a linear transform makes of them.
        key_count: how many keys there are.
    """

    keys: int
    plaintexts: int
    ciphertexts: int
    key_count: int

    @property
    def total(self) -> int:
        """All together."""
        return self.keys + self.plaintexts + self.ciphertexts

    def affordable_keys(self, most: int) -> int:
        """How many keys fit in so many bytes beside everything else."""
        return max(0, most - self.plaintexts - self.ciphertexts) * self.key_count // max(self.keys, 1)


def check_memory(memory: Memory, ring_dim: int, most: int) -> None:
    """Refuse a program that needs more memory than there may be.

    Raises:
        CompileError: says how much of what.
    """
    if memory.total > most:
        parts = ", ".join(
            f"{getattr(memory, name) / 1e9:.2f} GB of {name}" for name in ("keys", "plaintexts", "ciphertexts")
        )
        raise CompileError(
            f"at ring dimension {ring_dim} the server needs {parts}, max_ram is {most / 1e9:.2f} GB: allow more, fewer"
            " rotation keys (max_rotation_keys), or a larger tolerance"
        )


def graph_memory(graph: Graph, parameters: CkksParameters) -> Memory:
    """What a server needs for one request at a time."""
    row, ring, needs = parameters.ring_dim * RESIDUE_BYTES, ring_work(parameters), key_needs([graph])
    keys = sum(_key(parameters, ring, level) for level in needs.key_levels(parameters.levels))
    plaintexts = sum(_plaintexts(graph, node, ring) for node in graph.nodes)
    return Memory(keys, plaintexts, _alive(graph, ring) * row, needs.count)


def _key(parameters: CkksParameters, ring: RingWork, level: int) -> int:
    """Bytes of a key for a level, as it comes and as it is used."""
    limbs, residue = level + 1, RESIDUE_BYTES // (2 if ring.narrow else 1)
    used = ring.digits(limbs) * 2 * (limbs + ring.special) * parameters.ring_dim * residue
    return parameters.key_bytes_at(level) + used


def _plaintexts(graph: Graph, node: Node, ring: RingWork) -> int:
    """Bytes of plaintexts that the server keeps for a node."""
    x = node.args[0].type
    if not isinstance(node.op, LinearTransform) or not isinstance(x, CkksType):
        return 0
    rows = ring.sum_rows(transform_steps(graph, node), (x.level or 0) + 1)
    return plaintexts_of(graph, node).kept_bytes(rows, narrow=ring.narrow)


def _alive(graph: Graph, ring: RingWork) -> int:
    """Rows of ciphertexts, the most at any time, when nodes run in the graph's order."""
    special = ring.special
    last = {arg.name: number for number, node in enumerate(graph.nodes) for arg in node.args}
    alive = {value.name: _rows(value.type, special) for value in graph.inputs}
    most = sum(alive.values())
    for number, node in enumerate(graph.nodes):
        alive[node.out.name] = _rows(node.out.type, special)
        most = max(most, sum(alive.values()) + _working(graph, node, ring))
        for name in {arg.name for arg in node.args} & alive.keys():
            if last[name] == number:
                del alive[name]
    return most


def _working(graph: Graph, node: Node, ring: RingWork) -> int:
    """Rows that a linear transform makes besides its results: digits of inputs, rotated inputs, sums to be rotated."""
    x = node.args[0].type
    if not isinstance(node.op, LinearTransform) or not isinstance(x, CkksType):
        return 0
    steps, limbs = transform_steps(graph, node), (x.level or 0) + 1
    wide, rows = limbs + ring.special, ring.sum_rows(steps, limbs)
    digits = steps.turned * (ring.digits(limbs) * wide + 2 * limbs)
    rotated = 2 * steps.babies * (1 if rows == wide else limbs)
    return 2 * steps.giants * rows + digits + rotated


def _rows(type_: object, special: int) -> int:
    return type_.count * type_.parts * ((type_.level or 0) + 1 + special) if isinstance(type_, CkksType) else 0
