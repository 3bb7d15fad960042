"""Polynomials in the Chebyshev basis of an interval: the form in which every fit is kept and evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2
from typing import TypeAlias

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]
Real: TypeAlias = Callable[[Reals], Reals]
"""A function of reals, element by element."""

ROUNDING = 2.0**-53
"""Largest relative error of one float64 operation."""


@dataclass(frozen=True, slots=True)
class Series:
    """sum_k coefficients[k] T_k(t) with t = (2 x - low - high) / (high - low)."""

    coefficients: tuple[float, ...]
    low: float = -1.0
    high: float = 1.0

    @property
    def degree(self) -> int:
        """The largest k with a coefficient that is not 0."""
        return max((k for k, c in enumerate(self.coefficients) if c != 0.0), default=0)

    @property
    def levels(self) -> int:
        """Rescales on the way through it, at least: one per doubling of the degree."""
        return ceil(log2(self.degree + 1))

    @property
    def products(self) -> int:
        """Products of two ciphertexts in Paterson and Stockmeyer's form at that depth; see ``products_of``."""
        return products_of(self.coefficients)

    def __call__(self, x: Reals) -> Reals:
        """The value at x, inside or outside of the interval, by Clenshaw's recurrence."""
        half = (self.high - self.low) / 2
        t = (np.asarray(x, dtype=np.float64) - (self.low + self.high) / 2) / half
        return np.asarray(chebyshev.chebval(t, np.array(self.coefficients)))

    def rounding(self) -> float:
        """Bound on what rounding adds to a value inside the interval.

        Clenshaw's recurrence on n + 1 terms is within a small multiple of n^2 u sum|c| of the exact value
        (Smoktunowicz, 2002).
        """
        return 4 * (len(self.coefficients) + 1) ** 2 * ROUNDING * float(np.abs(self.coefficients).sum())

    def slope(self) -> float:
        """Bound on the derivative inside the interval: |T_k'| <= k^2 (Markov)."""
        squares = np.arange(len(self.coefficients), dtype=np.float64) ** 2
        return float(squares @ np.abs(self.coefficients)) * 2 / (self.high - self.low)

    def scaled(self, factor: float, offset: float = 0.0) -> Series:
        """``factor`` times the polynomial, plus ``offset``."""
        first, *rest = (factor * c for c in self.coefficients)
        return Series((first + offset, *rest), self.low, self.high)

    def on(self, low: float, high: float) -> Series:
        """The same coefficients on another interval: the graph stretched and moved along x."""
        return Series(self.coefficients, low, high)


def interpolate(function: Real, degree: int, low: float = -1.0, high: float = 1.0) -> Series:
    """The polynomial that agrees with the function at the ``degree`` + 1 Chebyshev points of the interval."""
    half, middle = (high - low) / 2, (low + high) / 2
    points = np.cos((np.arange(degree + 1) + 0.5) * np.pi / (degree + 1))
    values = function(middle + half * points)
    weights = np.where(np.arange(degree + 1) == 0, 1.0, 2.0) / (degree + 1)
    coefficients = weights * (chebyshev.chebvander(points, degree).T @ values)
    return Series(tuple(coefficients.tolist()), low, high)


def least_squares(function: Real, degree: int, low: float = -1.0, high: float = 1.0) -> Series:
    """The best polynomial in the mean square with the weight 1 / sqrt(1 - t^2): the Chebyshev series, cut off."""
    return Series(interpolate(function, max(8 * degree, 64), low, high).coefficients[: degree + 1], low, high)


def products_of(coefficients: tuple[float, ...]) -> int:
    """Fewest products of two ciphertexts for the polynomial, at the least depth its degree allows.

    Baby steps T_1..T_k, giant steps T_2k, T_4k, ... and one product for every giant step that a block of k terms is
    multiplied by. An even polynomial, perhaps with a T_1, is one of half the degree in T_2; an odd one needs odd baby
    steps only.
    """
    used = [k for k, c in enumerate(coefficients) if c != 0.0 and k]
    degree = max(used, default=0)
    if degree <= 1:
        return 0
    if all(k % 2 == 0 or k == 1 for k in used):
        return 1 + products_of(tuple(coefficients[: degree + 1 : 2]))
    odd = all(k % 2 for k in used)
    return min(_products(degree, 1 << bits, odd) for bits in range(1, ceil(log2(degree + 1)) + 1))


def _products(degree: int, baby: int, odd: bool) -> int:
    """Products with T_1..T_(baby-1) as baby steps, the powers of two made by doubling."""
    top = min(baby - 1, degree)
    doubled = [1 << k for k in range(1, 64) if 1 << k < baby and 1 << k <= degree]
    steps = max(0, (top + 1) // 2 - 1) + len(doubled) if odd else max(0, top - 1)
    giants = [baby << k for k in range(64) if baby << k <= degree]
    return steps + len(giants) + degree // baby
