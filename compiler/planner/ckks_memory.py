"""How much memory a server needs for a LEVELED graph: keys, plaintexts, and the ciphertexts alive at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.ckks_costs import ring_work

RESIDUE_BYTES = 8
NARROW = 2**31
"""Keys and plaintexts modulo primes below this are kept in words of half the size."""
PLAINTEXT_BYTES = 1 << 30
"""The server keeps no more encoded plaintexts of one transform; it encodes the others each time."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a server holds, in bytes.

    Args:
        keys: evaluation keys, as they come and as they are used.
        plaintexts: encoded, of all transforms.
        ciphertexts: those alive at once.
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
    row = parameters.ring_dim * RESIDUE_BYTES
    special = ring_work(parameters).special
    count = key_needs([graph]).count
    narrow = 2 if max(parameters.primes) < NARROW else 1
    used = parameters.digits * 2 * (len(parameters.primes) + special) * row // narrow
    keys = count * (parameters.key_bytes + used)
    plaintexts = sum(_plaintexts(graph, node, special) * row for node in graph.nodes)
    return Memory(keys, plaintexts // narrow, _alive(graph, special) * row, count)


def _plaintexts(graph: Graph, node: Node, special: int) -> int:
    """Rows of encoded plaintexts that a node keeps."""
    x = node.args[0].type
    if not isinstance(node.op, LinearTransform) or not isinstance(x, CkksType):
        return 0
    vectors = graph.constant(node.args[6])
    if vectors.shape[1] == 1:
        return 0
    rotations, which = graph.constant(node.args[3]), graph.constant(node.args[4])
    distinct = len(np.unique(np.stack([rotations, which]), axis=1).T)
    rows = distinct * ((x.level or 0) + 1 + special)
    return min(rows, PLAINTEXT_BYTES // (2 * x.slots * RESIDUE_BYTES))


def _alive(graph: Graph, special: int) -> int:
    """Rows of ciphertexts, the most at any time, when nodes run in the graph's order."""
    last = {arg.name: number for number, node in enumerate(graph.nodes) for arg in node.args}
    alive = {value.name: _rows(value.type, special) for value in graph.inputs}
    most = sum(alive.values())
    for number, node in enumerate(graph.nodes):
        alive[node.out.name] = _rows(node.out.type, special)
        most = max(most, sum(alive.values()))
        for name in {arg.name for arg in node.args} & alive.keys():
            if last[name] == number:
                del alive[name]
    return most


def _rows(type_: object, special: int) -> int:
    return type_.count * type_.parts * ((type_.level or 0) + 1 + special) if isinstance(type_, CkksType) else 0
