"""The weights of a linear transform apart from its vectors: a matrix for each giant step.

The sum for a row and a giant step is over columns, each the product of a vector with a rotated input, times a weight:

    S[row, giant] = sum over columns of weights[row, column] * (vectors[which] * roll(x[col], -baby))

With integer weights a column's product is made once for all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

TILE = 32
"""Columns whose products are made before their weighted sums: they stay in the nearest cache."""

HELD = 2**22
"""Numbers of rotated inputs that are held at once in the clear: 32 MB of float64."""

MOST_WEIGHT = 2**28
"""Bound of sum |weight| over a tile: times 2^24, half of a residue, it is exact in float64."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightMatrix:
    """The weights of one giant step.

    Args:
        giant: rotation of the sums.
        rows: (rows,) of the results that they are summands of.
        cols: (columns,) inputs.
        babies: (columns,) rotations of these.
        which: (columns,) vectors.
        weights: (rows, columns); 0 where there is no term.
    """

    giant: int
    rows: Integers
    cols: Integers
    babies: Integers
    which: Integers
    weights: Reals

    @property
    def filled_rows(self) -> int:
        """Rows up to a multiple of four, as they are summed."""
        return -(-self.rows.size // 4) * 4


def largest_tile(weights: Reals) -> float:
    """The largest sum of magnitudes of ``TILE`` following weights (rows, columns) of a row."""
    starts = range(0, weights.shape[1], TILE)
    return max((float(np.abs(weights[:, i : i + TILE]).sum(axis=1).max(initial=0.0)) for i in starts), default=0.0)


def weight_matrices(
    tables: tuple[Integers, Integers, Integers, Integers], weights: Reals, baby_steps: int, slots: int
) -> list[WeightMatrix]:
    """The matrices of a ``LinearTransform``, by giant step.

    Args:
        tables: rows, cols, rotations, which; each (terms,).
        weights: (terms,); terms of weight 0 are left out, those of one place are added up.
        baby_steps: as the op says.
        slots: of a ciphertext.
    """
    kept = np.flatnonzero(weights)
    rows, cols, rotations, which = (table[kept] for table in tables)
    steps = rotations % slots
    babies = steps % baby_steps if baby_steps else steps
    columns, giants = np.stack([cols, babies, which]), steps - babies
    made = []
    for giant in np.unique(giants).tolist():
        here = np.flatnonzero(giants == giant)
        made.append(_matrix(giant, rows[here], columns[:, here], weights[kept[here]]))
    return made


def _matrix(giant: int, rows: Integers, columns: Integers, weights: Reals) -> WeightMatrix:
    """Of terms with a giant step: rows (terms,), columns (3, terms) and weights (terms,)."""
    distinct_rows, row = np.unique(rows, return_inverse=True)
    distinct, column = np.unique(columns, axis=1, return_inverse=True)
    matrix = np.zeros((distinct_rows.size, distinct.shape[1]))
    np.add.at(matrix, (row.reshape(-1), column.reshape(-1)), weights)
    cols, babies, which = distinct
    return WeightMatrix(giant, distinct_rows, cols, babies, which, matrix)


def add_sums(out: Floats, matrix: WeightMatrix, vectors: Reals, signals: Floats) -> None:
    """Add the sums of a matrix whose giant step is 0, in the clear.

    Args:
        out: (outputs, signals, slots).
        matrix: of rotations that are made at once.
        vectors: (distinct, slots or 1).
        signals: (signals, cols, slots): several inputs at once, of the type of numbers of ``out``.
    """
    for part, turned in turned_columns(matrix, signals):
        products = turned * vectors[matrix.which[part], None].astype(out.dtype)
        add_products(out, matrix, matrix.weights[:, part], products)


def turned_columns(matrix: WeightMatrix, signals: Floats) -> Iterator[tuple[slice, Floats]]:
    """Some columns at a time, and their rotated inputs (columns, signals, slots)."""
    held = max(1, HELD // signals[:, 0].size)
    for start in range(0, matrix.cols.size, held):
        part = slice(start, start + held)
        yield part, _turned(signals, matrix.cols[part], matrix.babies[part])


def add_products(out: Floats, matrix: WeightMatrix, weights: NDArray[Any], products: Floats) -> None:
    """Add weights (rows, columns) times products (columns, signals, slots) to out (outputs, signals, slots)."""
    used = np.flatnonzero(weights.any(axis=1))
    sums = weights[used].astype(products.dtype) @ products.reshape(len(products), -1)
    out[matrix.rows[used]] += sums.reshape(used.size, *products.shape[1:])


def _turned(signals: Floats, cols: Integers, rotations: Integers) -> Floats:
    """Rotated inputs (columns, signals, slots): slot i holds what slot i + rotation held."""
    slots = signals.shape[2]
    turned = np.empty((cols.size, len(signals), slots), signals.dtype)
    for out, col, steps in zip(turned, cols.tolist(), rotations.tolist(), strict=True):
        out[:, : slots - steps], out[:, slots - steps :] = signals[:, col, steps:], signals[:, col, :steps]
    return turned
