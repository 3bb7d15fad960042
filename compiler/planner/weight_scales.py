"""How the scale of a linear transform's plaintexts is divided between its weights and its vectors, where it pays.

A term is a plaintext times a rotated input. Where many terms share few vectors, as in a convolution of many channels,
the product of vector and input is made once for all results, and the weights multiply it as integers.
"""

from __future__ import annotations

from math import floor, log2, sqrt

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Array
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.weight_columns import MOST_WEIGHT, WeightMatrix, largest_tile, weight_matrices
from enclair.compiler.planner.ckks_costs import COLUMN_PRODUCTS, WEIGHT_PRODUCTS, count_divided

SMALLEST_DIVIDED = 2.0**36
"""Scales below this are not divided between weights and vectors: too few bits would be left for either."""


def divided_scale(op: LinearTransform, tables: tuple[Array, ...], slots: int) -> float | None:
    """The ``weight_scale`` for a transform with a ``plain_scale``; None where it does not pay, or bits are too few.

    Args:
        op: in a LEVELED graph.
        tables: its constant arguments: rows, cols, rotations, which, weights, vectors.
        slots: of a ciphertext.
    """
    rows, cols, rotations, which, weights, vectors = tables
    if op.plain_scale is None or op.plain_scale < SMALLEST_DIVIDED or vectors.shape[1] == 1:
        return None
    matrices = weight_matrices((rows, cols, rotations, which), weights, op.baby_steps, slots)
    kept = np.flatnonzero(weights)
    terms = len(np.unique(np.stack([rows, cols, rotations])[:, kept], axis=1).T)
    if divided_products(matrices) >= terms:
        return None
    scale = min((weight_scale(m.weights, op.plain_scale, 2 * slots) for m in matrices), default=1.0)
    return scale if 1 < scale < op.plain_scale else None


def divided_products(matrices: list[WeightMatrix]) -> float:
    """The work on columns and weights, in products with a plaintext of each term."""
    columns, weights = count_divided(matrices)
    return COLUMN_PRODUCTS * columns + WEIGHT_PRODUCTS * weights


def weight_scale(weights: NDArray[np.float64], plain_scale: float, ring_dim: int) -> float:
    """How much of a scale the weights (rows, columns) get: a power of two.

    Rounding a weight to 1 / s is an error of variance 1 / (12 s^2) of what it multiplies, rounding the coefficients of
    a vector at the scale that is left, t, one of N / (24 t^2) times the square of each weight. Their sums over all
    weights are equal with s = sqrt(plain_scale sqrt(2 / N) / w), w the root mean square of the weights that are not 0.
    Sums must stay exact besides.
    """
    used = weights[weights != 0]
    size = sqrt(float(np.mean(used**2))) if used.size else 1.0
    balanced = sqrt(plain_scale * sqrt(2 / ring_dim) / size)
    exact = (MOST_WEIGHT / 2) / (largest_tile(weights) or 1.0)
    return float(2.0 ** min(round(log2(balanced)), floor(log2(exact))))
