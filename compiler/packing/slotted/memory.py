"""How much memory a packed program takes on the server, before its parameters are known."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import EvaluatePolynomial, LinearTransform, MultiplyCiphers, MultiplyPlain
from enclair.compiler.packing.slotted.rotation_keys import rotation_uses, server_slots

RESIDUE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of encoded plaintexts, if all are kept, and of rotation keys.

    Args:
        plaintexts: of all linear transforms.
        key: of one rotation key.
        keys: how many there are.
    """

    plaintexts: int
    key: int
    keys: int

    @property
    def total(self) -> int:
        """All bytes."""
        return self.plaintexts + self.key * self.keys

    def affordable_keys(self, most: int) -> int:
        """How many keys fit in so many bytes beside the plaintexts."""
        return max(0, most - self.plaintexts) // self.key


def estimate_memory(server: Graph, digits: int = 3) -> Memory:
    """The memory of a PACKED graph at the least number of levels, with key switching in so many digits."""
    depths = packed_depths(server)
    limb = 2 * server_slots(server) * RESIDUE_BYTES
    plaintexts = sum(
        _plaintexts(server, node) * (depths[node.args[0].name] + 1) * limb
        for node in server.nodes
        if isinstance(node.op, LinearTransform)
    )
    limbs = max(depths.values()) + 1
    extended = limbs + ceil(limbs / digits)
    return Memory(plaintexts, 2 * min(digits, limbs) * extended * limb, len(rotation_uses(server)))


def packed_depths(server: Graph) -> dict[str, int]:
    """Levels that each value of a PACKED graph must still have."""
    found: dict[str, int] = {value.name: 0 for value in server.values()}
    for node in reversed(server.nodes):
        below = found[node.out.name] + _levels(node)
        for arg in node.args:
            found[arg.name] = max(found[arg.name], below)
    return found


def check_memory(memory: Memory, max_ram: int) -> None:
    """Refuse a program that does not fit.

    Raises:
        CompileError: says what takes how much.
    """
    if memory.total > max_ram:
        megabytes = [round(n / 1e6) for n in (memory.total, memory.plaintexts, memory.key * memory.keys, max_ram)]
        raise CompileError(
            "the program takes about {} MB on the server, {} of them encoded plaintexts and {} rotation keys; max_ram"
            " allows {} MB: raise it, or take a smaller ring".format(*megabytes)
        )


def _plaintexts(server: Graph, node: Node) -> int:
    """Distinct diagonals of a linear transform."""
    tables = np.stack([server.constant(arg) for arg in node.args[1:4]])
    return int(np.unique(tables, axis=1).shape[1])


def _levels(node: Node) -> int:
    if isinstance(node.op, EvaluatePolynomial):
        return max(1, ceil(log2(len(node.op.coefficients))))
    return int(isinstance(node.op, LinearTransform | MultiplyCiphers | MultiplyPlain))
