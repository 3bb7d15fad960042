"""How often a program does what takes time, level by level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import enclair
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import (
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    Relinearise,
    Rescale,
    RotateSlots,
)
from enclair.compiler.ir.types import CkksType

HOISTED, FULL, DECOMPOSED = "hoisted", "full", "decomposed"
PLAIN, CIPHER, RELINEARISED, RESCALED = "plain_products", "cipher_products", "relinearised", "rescaled"
KINDS = (HOISTED, FULL, DECOMPOSED, PLAIN, CIPHER, RELINEARISED, RESCALED)

Counts = dict[int, dict[str, int]]
"""Level -> what -> how often, over all ciphertexts of all nodes."""


@dataclass(frozen=True)
class Terms:
    """The tables of a linear transform."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    rotations: NDArray[np.int64]

    def babies(self, steps: int) -> set[tuple[int, int]]:
        """(ciphertext, rotation) made from the inputs; without giant steps all of them."""
        rotations = self.rotations % steps if steps else self.rotations
        return set(zip(self.cols.tolist(), rotations.tolist(), strict=True))

    def giants(self, steps: int) -> set[tuple[int, int]]:
        """(result, rotation) of sums."""
        rotations = self.rotations - self.rotations % steps if steps else np.zeros_like(self.rotations)
        return set(zip(self.rows.tolist(), rotations.tolist(), strict=True))


def count_program(program: enclair.Program) -> Counts:
    """Of all rounds."""
    found: dict[int, Counter[str]] = {}
    for round_ in program.rounds:
        for node in round_.server.nodes:
            type_ = node.args[0].type
            if isinstance(type_, CkksType):
                found.setdefault(type_.level or 0, Counter()).update(dict(count_node(round_.server, node, type_)))
    return {level: {kind: found[level][kind] for kind in KINDS} for level in sorted(found) if found[level].total()}


def total(counts: Counts) -> dict[str, int]:
    """Over all levels."""
    return {kind: sum(level[kind] for level in counts.values()) for kind in KINDS}


def count_node(graph: Graph, node: Node, x: CkksType) -> Iterator[tuple[str, int]]:
    """What one node does. Baby steps of a ciphertext share its decomposition; giant steps decompose anew."""
    op: Any = node.op
    if isinstance(op, LinearTransform):
        yield from count_transform(Terms(*(graph.constant(arg) for arg in node.args[1:4])), op.baby_steps)
    elif isinstance(op, RotateSlots):
        yield FULL, x.count
    elif isinstance(op, MultiplyCiphers):
        yield CIPHER, x.count
    elif isinstance(op, MultiplyPlain):
        yield PLAIN, x.count
    elif isinstance(op, Relinearise):
        yield RELINEARISED, x.count
    elif isinstance(op, Rescale):
        yield RESCALED, x.count


def count_transform(terms: Terms, steps: int) -> Iterator[tuple[str, int]]:
    """Of one linear transform; a term is a product with a plaintext and an addition."""
    babies = [(col, rotation) for col, rotation in terms.babies(steps) if rotation]
    yield HOISTED, len(babies)
    yield DECOMPOSED, len({col for col, _ in babies})
    yield FULL, sum(rotation > 0 for _, rotation in terms.giants(steps))
    yield PLAIN, len(terms.rows)
