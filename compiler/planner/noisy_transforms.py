"""Linear transforms of many signals at once, for predicting noise: the values, and samples of their error.

A transform's distinct rotated inputs are multiplied by their vectors once for all results, and their weighted sums are
products of matrices, some columns at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from enclair.compiler.ir.graph import Array
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.weight_columns import (
    HELD,
    Floats,
    WeightMatrix,
    add_products,
    add_sums,
    turned_columns,
    weight_matrices,
)


class Transform:
    """A linear transform, as a matrix of weights over columns: products of a rotated input and a vector.

    Args:
        op: the transform.
        tables: its constant arguments: rows, cols, rotations, which, weights, vectors.
        slots: of a ciphertext.
    """

    def __init__(self, op: LinearTransform, tables: list[Array], slots: int) -> None:
        rows, cols, rotations, which, weights, vectors = tables
        self.op, self.slots, self.vectors = op, slots, vectors
        found = weight_matrices((rows, cols, rotations, which), weights, 0, slots)
        self.matrix = found[0] if found else None

    def apply(self, signals: Floats) -> Floats:
        """Of signals (signals, cols, slots): (signals, outputs, slots), of the same type of numbers."""
        out = np.zeros((self.op.outputs, len(signals), self.slots), signals.dtype)
        if self.matrix is not None:
            add_sums(out, self.matrix, self.vectors, signals)
        return np.ascontiguousarray(out.swapaxes(0, 1))

    def norms(self, values: Floats) -> Floats:
        """The root of the sum over terms of the squares of rotated values (cols, slots): (outputs, slots)."""
        out = np.zeros((self.op.outputs, 1, self.slots), values.dtype)
        for m, part, turned in self._columns(values):
            add_products(out, m, m.weights[:, part] != 0, turned**2)
        return np.asarray(np.sqrt(out[:, 0]))

    def rotated_norms(self) -> Floats:
        """The root of the sum, over terms whose baby step is a rotation, of the squares of their plaintexts:
        (outputs, slots or 1).
        """
        out = np.zeros((self.op.outputs, self.vectors.shape[1]))
        if (m := self.matrix) is None:
            return out
        steps = m.babies % self.op.baby_steps if self.op.baby_steps else m.babies
        squares = np.zeros((len(self.vectors), m.rows.size))
        np.add.at(squares, m.which, (m.weights**2 * (steps != 0)).T)
        held = max(1, HELD // self.vectors.shape[1])
        for start in range(0, len(self.vectors), held):
            part = slice(start, start + held)
            out[m.rows] += squares[part].T @ self.vectors[part] ** 2
        return np.asarray(np.sqrt(out))

    def rounded_apart(self, values: Floats, of_weights: Floats, of_vectors: Floats) -> Floats:
        """What rounding weights and vectors apart adds: the sum over terms of

            ((weight + e) (vector + f) - weight * vector) * the rotated values

        Args:
            values: (cols, slots).
            of_weights: e, (samples, rows, columns) of ``matrix``.
            of_vectors: f, (samples, distinct vectors, slots).

        Returns:
            (samples, outputs, slots)
        """
        out = np.zeros((len(of_vectors), self.op.outputs, 1, self.slots), values.dtype)
        for m, part, turned in self._columns(values):
            exact = turned * self.vectors[m.which[part], None].astype(values.dtype)
            for one, e, f in zip(out, of_weights, of_vectors, strict=True):
                rounding = turned * f[m.which[part], None]
                add_products(one, m, m.weights[:, part], rounding)
                add_products(one, m, e[:, part], exact + rounding)
        return np.asarray(out[:, :, 0])

    def _columns(self, values: Floats) -> Iterator[tuple[WeightMatrix, slice, Floats]]:
        """The matrix, some of its columns, and their rotated values (columns, 1, slots)."""
        if self.matrix is not None:
            for part, turned in turned_columns(self.matrix, values[None]):
                yield self.matrix, part, turned
