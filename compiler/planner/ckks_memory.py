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
from enclair.compiler.planner.ckks_alive import rows_alive
from enclair.compiler.planner.ckks_costs import RingWork, ring_work, transform_steps
from enclair.compiler.planner.ckks_plaintexts import RESIDUE_BYTES, plaintexts_of


@dataclass(frozen=True, slots=True)
class Memory:
    """What a server holds, in bytes.

    Args:
        keys: evaluation keys, as they come and as they are used.
        plaintexts: of all linear transforms.
        ciphertexts: those alive at once, with what a linear transform makes of them.
        constants: the program's own: the weights and vectors that plaintexts are made of.
        key_count: how many keys there are.
    """

    keys: int
    plaintexts: int
    ciphertexts: int
    constants: int
    key_count: int

    @property
    def total(self) -> int:
        """All together."""
        return self.keys + self._others

    def affordable_keys(self, most: int) -> int:
        """How many keys fit in so many bytes beside everything else."""
        return max(0, most - self._others) * self.key_count // max(self.keys, 1)

    @property
    def _others(self) -> int:
        return self.plaintexts + self.ciphertexts + self.constants


def check_memory(memory: Memory, ring_dim: int, most: int) -> None:
    """Refuse a program that needs more memory than there may be.

    Raises:
        CompileError: says how much of what.
    """
    if memory.total > most:
        names = ("keys", "plaintexts", "ciphertexts", "constants")
        parts = ", ".join(f"{getattr(memory, name) / 1e9:.2f} GB of {name}" for name in names)
        raise CompileError(
            f"at ring dimension {ring_dim} the server needs {parts}, max_ram is {most / 1e9:.2f} GB: allow more, fewer"
            " rotation keys (max_rotation_keys), or a larger tolerance"
        )


def graph_memory(graph: Graph, parameters: CkksParameters) -> Memory:
    """What a server needs for one request at a time."""
    row, ring, needs = parameters.ring_dim * RESIDUE_BYTES, ring_work(parameters), key_needs([graph])
    keys = sum(_key(parameters, ring, level) for level in needs.key_levels(parameters.levels))
    plaintexts = sum(_plaintexts(graph, node, ring) for node in graph.nodes)
    constants = sum(array.nbytes for array in graph.arrays.values())
    return Memory(keys, plaintexts, rows_alive(graph, ring) * row, constants, needs.count)


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
