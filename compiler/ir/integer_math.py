"""Matrix products of 64-bit integers, exact and fast."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_EXACT = 2**53
"""float64 holds every integer up to here, and so do sums that stay below it."""


def matmul(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """``a @ b`` by numpy's rules for arrays of rank 2 and more; integers are exact.

    float64 BLAS computes integers exactly as long as max|b| * max_row sum|a| < 2^53. Beyond that, b is cut in a high
    and a low half until it holds; beyond any cut, int64 arithmetic does the work. Results of up to 63 bits are exact.
    """
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.matmul(a, b))
    return _exact(a, b, _row_sum(a))


def exact_in_float64(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether float64 computes every sum of products of a row of integers ``a`` with elements of ``b`` exactly."""
    return a.dtype.kind == "i" and b.dtype.kind == "i" and largest(b) * _row_sum(a) < _EXACT


def largest(x: NDArray[Any]) -> int:
    """max|x|, 0 for an empty array."""
    return max(-int(x.min()), int(x.max())) if x.size else 0


def _row_sum(a: NDArray[Any]) -> float:
    """max_row sum|a|, rounded up."""
    sums = np.abs(a.astype(np.float64)).sum(axis=-1)
    return float(sums.max(initial=0.0)) * (1 + 1e-9)


def _exact(a: NDArray[Any], b: NDArray[Any], row_sum: float) -> NDArray[Any]:
    """The integer product, where ``row_sum`` bounds sum|a| of every row of a."""
    bound = largest(b)
    if bound * row_sum < _EXACT:
        product = np.matmul(a.astype(np.float64), b.astype(np.float64))
        return np.asarray(product.astype(np.int64))
    bits = bound.bit_length() // 2
    if bits == 0 or row_sum * 2.0**bits >= _EXACT:
        return np.asarray(np.matmul(a.astype(np.int64), b.astype(np.int64)))
    high = b >> bits
    low = b - (high << bits)
    return np.asarray((_exact(a, high, row_sum) << bits) + _exact(a, low, row_sum))
