"""The plaintexts of linear transforms on a server: how many there are, what they take in memory, and what it costs to
make residues of them again where not all can be kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from enclair.compiler.ir.blends import MOST_KEPT_BYTES, Blend, blends_by_place, column_blends
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.weight_columns import weight_matrices

RESIDUE_BYTES, NARROW_BYTES = 8, 4
"""Of a residue that is kept; the second where all primes are below 2^31."""


@dataclass(frozen=True, slots=True)
class Plaintexts:
    """Those of a linear transform.

    Args:
        distinct: to encode.
        uses: how many different ones each sum has, added up.
        slots: of a ciphertext; 1 where each is one number, of which there is one residue a prime.
    """

    distinct: int
    uses: int
    slots: int

    @property
    def coefficients(self) -> int:
        """Of one."""
        return 2 * self.slots if self.slots > 1 else 1

    def residue_bytes(self, rows: int, *, narrow: bool) -> int:
        """What the residues take, modulo so many primes."""
        size = NARROW_BYTES if narrow and self.slots > 1 else RESIDUE_BYTES
        return self.distinct * rows * self.coefficients * size

    def are_kept(self, rows: int, *, narrow: bool) -> bool:
        """Whether the server keeps all residues."""
        return self.slots == 1 or self.residue_bytes(rows, narrow=narrow) <= MOST_KEPT_BYTES

    def kept_bytes(self, rows: int, *, narrow: bool) -> int:
        """What the server keeps: residues, or coefficients."""
        rows, narrow = (rows, narrow) if self.are_kept(rows, narrow=narrow) else (1, False)
        return self.residue_bytes(rows, narrow=narrow)

    def made_again(self, rows: int, *, narrow: bool) -> int:
        """Rows of residues that every evaluation makes."""
        return 0 if self.are_kept(rows, narrow=narrow) else self.uses * rows


def plaintexts_of(graph: Graph, node: Node) -> Plaintexts:
    """Those of a ``LinearTransform``."""
    x = node.args[0].type
    if not isinstance(node.op, LinearTransform) or not isinstance(x, CkksType):
        raise TypeError(f"{node} is not a linear transform")
    sums = [set(blends) for blends in _blends_of_sums(graph, node, node.op, x.slots)]
    width = graph.constant(node.args[6]).shape[1]
    return Plaintexts(len(set[Blend]().union(*sums)), sum(map(len, sums)), width)


def _blends_of_sums(graph: Graph, node: Node, op: LinearTransform, slots: int) -> Iterable[list[Blend]]:
    """The plaintexts of the sums of each result and giant step; of all results together where weights are apart."""
    rows, cols, rotations, which, weights, vectors = (graph.constant(arg) for arg in node.args[1:])
    tables = (rows, cols, rotations, which)
    if op.weight_scale is not None:
        return [column_blends(matrix) for matrix in weight_matrices(tables, weights, op.baby_steps, slots)]
    sums: dict[tuple[int, int], list[Blend]] = {}
    places = blends_by_place(tables, weights, op.baby_steps, slots, constant=vectors.shape[1] == 1)
    for (row, giant, _, _), blend in places.items():
        sums.setdefault((row, giant), []).append(blend)
    return sums.values()
