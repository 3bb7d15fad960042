"""Exact sums of integer slot vectors, for the backends in the clear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from enclair.compiler.ir.integer_math import matmul
from enclair.compiler.ir.ops import packed
from enclair.compiler.ir.ops.packed import terms
from enclair.runtime.backends.interface import Integers

Exact = NDArray[Any]
"""int64 where no sum can overflow, Python integers (object) otherwise."""


def weight_matrix(rows: Integers, cols: Integers, values: NDArray[Any], shape: tuple[int, int]) -> csr_array:
    """Sparse (results, ciphertexts) of the terms; terms of the same place add up."""
    return csr_array((values, (rows, cols)), shape=shape)


def scalar_sums(x: Integers, gather: Integers, weights: Integers, scatter: Integers, outputs: int) -> Exact:
    """out[scatter[g, o, p]] = sum_k weights[g, o, k] x[gather[g, p, k]] on x (count, slots)."""
    if not _fits(_row_sum(weights, axis=2) * _largest(x)):
        rows, cols, values = terms(gather, weights, scatter)
        return _object_sums(x, rows, cols, values[:, None], outputs)
    out = np.zeros((outputs, x.shape[1]), dtype=np.int64)
    for group, position in np.ndindex(gather.shape[:2]):
        cols, rows = gather[group, position], scatter[group, :, position]
        sums = matmul(weights[group][np.ix_(rows >= 0, cols >= 0)], x[cols[cols >= 0]])
        out[rows[rows >= 0]] = sums
    return out


def vector_sums(x: Integers, rows: Integers, cols: Integers, vectors: Integers, outputs: int) -> Exact:
    """out[rows[i]] += vectors[i] x[cols[i]], slot by slot, vectors (terms, slots)."""
    most = np.bincount(rows, minlength=1).max(initial=0)
    if not _fits(most * _largest(vectors) * _largest(x)):
        return _object_sums(x, rows, cols, vectors, outputs)
    out = np.zeros((outputs, x.shape[1]), dtype=np.int64)
    for row, col, vector in zip(rows, cols, vectors, strict=True):
        out[row] += vector * x[col]
    return out


def polynomial_sums(x: Integers, weights: Integers, powers: Integers, blocks: int, chunks: int) -> Exact:
    """out[chunk, o] = sum_k,t weights[o, k, t] Y^powers[t] x[chunk, k] on coefficients x (chunks * inputs, N)."""
    if _fits(_row_sum(weights, axis=(1, 2)) * _largest(x)):
        return packed.polynomial_sums(x, weights, powers, blocks, chunks)
    outputs, inputs, _ = weights.shape
    slots = x.shape[1]
    out = np.zeros((chunks, outputs, slots), dtype=object)
    wide = x.astype(object).reshape(chunks, inputs, slots)
    for o, k, t in zip(*np.nonzero(weights), strict=True):
        places = int(powers[t]) * (slots // blocks)
        moved = np.roll(wide[:, k], places, axis=1)
        moved[:, :places] *= -1
        out[:, o] += int(weights[o, k, t]) * moved
    return out.reshape(-1, slots)


def _object_sums(x: Integers, rows: Integers, cols: Integers, factors: Integers, outputs: int) -> Exact:
    out = np.zeros((outputs, x.shape[1]), dtype=object)
    for row, col, factor in zip(rows, cols, factors.astype(object), strict=True):
        out[row] += factor * x[col].astype(object)
    return out


def _row_sum(weights: Integers, axis: int | tuple[int, ...]) -> float:
    return float(np.abs(weights.astype(np.float64)).sum(axis=axis).max(initial=0.0))


def _largest(x: Integers) -> float:
    return max(float(x.max(initial=0)), -float(x.min(initial=0)))


def _fits(bound: float) -> bool:
    return bound < 2.0**62
