"""The plaintexts of a linear transform, the same for those who count them and those who encode them.

A rotation is g + b, g the giant step and b the baby step. Where weights are in the plaintexts, there is one for each
(row, g, col, b) that has terms: the sum of weight * roll(vector, g) over them. Where weights are apart, there is one
for each g and vector. Equal plaintexts are encoded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from enclair.compiler.ir.weight_columns import Integers, Reals, WeightMatrix

MOST_KEPT_BYTES = 1 << 30
"""A server keeps the residues of the plaintexts of a transform up to so many bytes; beyond, it keeps coefficients, and
makes the residues of a plaintext whenever a sum needs it."""

Tables: TypeAlias = tuple[Integers, Integers, Integers, Integers]
"""Rows, cols, rotations, which; each (terms,)."""

Place: TypeAlias = tuple[int, int, int, int]
"""Row, giant step, input, baby step."""


@dataclass(frozen=True)
class Blend:
    """A plaintext: the sum of weights * vectors, all turned by ``shift``."""

    shift: int
    terms: tuple[tuple[int, float], ...]

    def vector(self, vectors: Reals) -> Reals:
        """The slots, one or all."""
        which, weights = [which for which, _ in self.terms], np.array([weight for _, weight in self.terms])
        return np.asarray(np.roll(weights @ vectors[which], self.shift))


def blends_by_place(
    tables: Tables, weights: Reals, baby_steps: int, slots: int, *, constant: bool = False
) -> dict[Place, Blend]:
    """The plaintexts that hold their weights.

    Args:
        tables: as the op's.
        weights: (terms,); terms of weight 0 are left out.
        baby_steps: as the op says.
        slots: of a ciphertext.
        constant: whether vectors are one number for all slots, which no rotation changes.
    """
    places: dict[Place, list[tuple[int, float]]] = {}
    for row, col, rotation, which, weight in _terms(tables, weights):
        steps = rotation % slots
        baby = steps % baby_steps if baby_steps else steps
        places.setdefault((row, steps - baby, col, baby), []).append((which, weight))
    return {place: Blend(0 if constant else place[1], tuple(terms)) for place, terms in places.items()}


def column_blends(matrix: WeightMatrix) -> list[Blend]:
    """The plaintext of each column of weights that are apart from vectors."""
    return [Blend(matrix.giant, ((one, 1.0),)) for one in matrix.which.tolist()]


def _terms(tables: Tables, weights: Reals) -> Iterator[tuple[int, int, int, int, float]]:
    kept = np.flatnonzero(weights)
    return zip(*(table[kept].tolist() for table in tables), weights[kept].tolist(), strict=True)
