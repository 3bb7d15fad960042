"""Exact sums of integer slot vectors, for the backends in the clear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from enclair.runtime.backends.interface import Integers

Exact = NDArray[Any]
"""int64 where no sum can overflow, Python integers (object) otherwise."""


def weight_matrix(rows: Integers, cols: Integers, values: NDArray[Any], shape: tuple[int, int]) -> csr_array:
    """Sparse (results, ciphertexts) of the terms; terms of the same place add up."""
    return csr_array((values, (rows, cols)), shape=shape)


def scalar_sums(x: Integers, rows: Integers, cols: Integers, weights: Integers, outputs: int) -> Exact:
    """out[rows[i]] += weights[i] x[cols[i]] on x (count, slots)."""
    magnitudes = weight_matrix(rows, cols, np.abs(weights).astype(np.float64), (outputs, len(x))).sum(axis=1)
    if _fits(magnitudes.max(initial=0.0) * _largest(x)):
        return np.asarray(weight_matrix(rows, cols, weights, (outputs, len(x))) @ x)
    return _object_sums(x, rows, cols, weights[:, None], outputs)


def vector_sums(x: Integers, rows: Integers, cols: Integers, vectors: Integers, outputs: int) -> Exact:
    """out[rows[i]] += vectors[i] x[cols[i]], slot by slot, vectors (terms, slots)."""
    most = np.bincount(rows, minlength=1).max(initial=0)
    if not _fits(most * _largest(vectors) * _largest(x)):
        return _object_sums(x, rows, cols, vectors, outputs)
    out = np.zeros((outputs, x.shape[1]), dtype=np.int64)
    for row, col, vector in zip(rows, cols, vectors, strict=True):
        out[row] += vector * x[col]
    return out


def _object_sums(x: Integers, rows: Integers, cols: Integers, factors: Integers, outputs: int) -> Exact:
    out = np.zeros((outputs, x.shape[1]), dtype=object)
    for row, col, factor in zip(rows, cols, factors.astype(object), strict=True):
        out[row] += factor * x[col].astype(object)
    return out


def _largest(x: Integers) -> float:
    return max(float(x.max(initial=0)), -float(x.min(initial=0)))


def _fits(bound: float) -> bool:
    return bound < 2.0**62
