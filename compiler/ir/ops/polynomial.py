"""Polynomials on tensors: what activations become before they can run on CKKS ciphertexts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.rules import reals
from enclair.compiler.ir.types import TensorType, Type

Reals = NDArray[np.float64]

_BLOCK = 1 << 14
"""Elements worked on at a time, so that the temporaries stay in the cache. No result depends on it."""


@register
@dataclass(frozen=True, slots=True)
class Polynomial(Op):
    """A polynomial of every element: sum_k coefficients[k] T_k(u), with u = (2 x - low - high) / (high - low).

    T_k are the Chebyshev polynomials of the first kind. The polynomial is defined everywhere; it was made to be right
    on [low, high].
    """

    coefficients: tuple[float, ...]
    low: float
    high: float

    def result_type(self, *args: Type) -> TensorType:
        """The argument's type."""
        (x,) = reals(self, args, 1)
        check_polynomial(self.coefficients, self.low, self.high)
        return x

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """Clenshaw's sum in float64."""
        return chebyshev_sum(self.coefficients, self.low, self.high, args[0])


def check_polynomial(coefficients: tuple[float, ...], low: float, high: float) -> None:
    """Refuse coefficients or an interval that make no polynomial; TypeRuleError says which."""
    if not coefficients or not np.isfinite(coefficients).all():
        raise TypeRuleError(f"a polynomial needs finite coefficients, at least one, got {coefficients}")
    if not (np.isfinite([low, high]).all() and low < high):
        raise TypeRuleError(f"a polynomial needs an interval low < high, got [{low}, {high}]")


def chebyshev_sum(coefficients: tuple[float, ...], low: float, high: float, x: NDArray[Any]) -> Reals:
    """sum_k coefficients[k] T_k(u) of every element (Clenshaw, Mathematics of Computation 9, 1955)."""
    u = (2 * np.asarray(x, dtype=np.float64) - (low + high)) / (high - low)
    flat, result = u.reshape(-1), np.empty(u.size)
    for start in range(0, u.size, _BLOCK):
        part = flat[start : start + _BLOCK]
        result[start : start + _BLOCK] = np.polynomial.chebyshev.chebval(part, np.asarray(coefficients))
    return result.reshape(u.shape)
