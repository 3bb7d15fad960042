"""Fits: approximations of one function on one interval, with a certified error, levels and products.

A fit is chosen by its levels first and its products second. By levels alone one minimax polynomial is never beaten:
everything that takes d levels is a polynomial of degree 2^d - 1 at most. The other methods take fewer products, and
reach errors for which one polynomial would need a degree beyond 1023.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf, isfinite, prod
from typing import Protocol, TypeVar

import numpy as np
from typing_extensions import assert_never

from enclair.compiler.approx.functions import FACTS, evaluate
from enclair.compiler.approx.series import Reals, Series
from enclair.compiler.ir.ops.base import Op


class Method(Enum):
    """How a function is approximated."""

    MINIMAX = "minimax polynomial"
    COMPOSITE = "composite minimax sign"
    SQUARING = "minimax polynomial, squared"
    GOLDSCHMIDT = "minimax polynomial and Goldschmidt's iteration"
    NEWTON = "minimax polynomial and Newton's iteration"


T = TypeVar("T")


class Arithmetic(Protocol[T]):
    """What a fit is written in: numbers in the clear, or nodes of a graph."""

    def polynomial(self, series: Series, x: T) -> T:
        """The polynomial of x."""
        ...

    def multiply(self, x: T, y: T) -> T:
        """x y."""
        ...

    def times(self, x: T, factor: float) -> T:
        """X times a constant."""
        ...

    def plus(self, x: T, constant: float) -> T:
        """The constant added to x."""
        ...


class InTheClear:
    """Arithmetic on numpy arrays."""

    def polynomial(self, series: Series, x: Reals) -> Reals:
        """Clenshaw's recurrence."""
        return series(x)

    def multiply(self, x: Reals, y: Reals) -> Reals:
        """x y."""
        return x * y

    def times(self, x: Reals, factor: float) -> Reals:
        """Factor x."""
        return factor * x

    def plus(self, x: Reals, constant: float) -> Reals:
        """X and the constant."""
        return x + constant


@dataclass(frozen=True, slots=True)
class Fit:
    """An approximation of ``op`` on [low, high].

    Args:
        method: how.
        stages: polynomials, applied one after the other.
        steps: squarings or iterations after them.
        error: certified bound on the error, relative where the op's results are factors.
    """

    op: Op
    low: float
    high: float
    method: Method
    stages: tuple[Series, ...]
    steps: int = 0
    error: float = inf

    @property
    def relative(self) -> bool:
        """Whether the error is relative to the function."""
        return FACTS[type(self.op)].relative

    @property
    def degree(self) -> int:
        """Of the whole, as a polynomial of x."""
        start = prod(stage.degree for stage in self.stages)
        match self.method:
            case Method.MINIMAX:
                return start
            case Method.COMPOSITE:
                return start + 1
            case Method.SQUARING:
                return int(start << self.steps)
            case Method.GOLDSCHMIDT:
                return ((start + 1) << self.steps) - 1
            case Method.NEWTON:
                thrice = int(3**self.steps)
                return start * thrice + (thrice - 1) // 2
            case _:
                assert_never(self.method)

    @property
    def levels(self) -> int:
        """Rescales from x to the result."""
        after = {Method.COMPOSITE: 1, Method.SQUARING: self.steps, Method.GOLDSCHMIDT: 1 + self.steps}
        more = 3 * self.steps if self.method is Method.NEWTON else after.get(self.method, 0)
        return sum(stage.levels for stage in self.stages) + more

    @property
    def products(self) -> int:
        """Products of two ciphertexts."""
        after = {Method.COMPOSITE: 1, Method.SQUARING: self.steps, Method.GOLDSCHMIDT: 2 * self.steps}
        more = 3 * self.steps if self.method is Method.NEWTON else after.get(self.method, 0)
        return sum(stage.products for stage in self.stages) + more

    def apply(self, arithmetic: Arithmetic[T], x: T) -> T:
        """The approximation of x, in any arithmetic."""
        y = x
        for stage in self.stages:
            y = arithmetic.polynomial(stage, y)
        match self.method:
            case Method.MINIMAX:
                return y
            case Method.COMPOSITE:
                return arithmetic.multiply(x, y)
            case Method.SQUARING:
                return _squared(arithmetic, y, self.steps)
            case Method.GOLDSCHMIDT:
                return _goldschmidt(arithmetic, x, y, self.steps)
            case Method.NEWTON:
                return _newton(arithmetic, x, y, self.steps)
            case _:
                assert_never(self.method)

    def __call__(self, x: Reals) -> Reals:
        """The approximation in float64."""
        return self.apply(InTheClear(), np.asarray(x, dtype=np.float64))

    def growth(self, stretch: float = 1.5) -> float:
        """Largest value on the interval stretched about its middle, over the largest value of the function in it.

        Near 1: a value a little outside does no harm. 1000: it drowns everything that it is added to.
        """
        half, middle = (self.high - self.low) / 2, (self.low + self.high) / 2
        inside = np.asarray(np.linspace(self.low, self.high, 1001), dtype=np.float64)
        with np.errstate(all="ignore"):
            largest = np.abs(self(np.asarray(middle + stretch * half * np.linspace(-1, 1, 2001)))).max()
            share = float(largest / max(float(np.abs(evaluate(self.op, inside)).max()), 1e-300))
        return share if isfinite(share) else inf


def _squared(arithmetic: Arithmetic[T], y: T, steps: int) -> T:
    for _ in range(steps):
        y = arithmetic.multiply(y, y)
    return y


def _goldschmidt(arithmetic: Arithmetic[T], x: T, y: T, steps: int) -> T:
    """y (1 + e) (1 + e^2) (1 + e^4) ... with e = 1 - x y (Goldschmidt, 1964)."""
    error = arithmetic.plus(arithmetic.times(arithmetic.multiply(x, y), -1.0), 1.0)
    for step in range(steps):
        y = arithmetic.multiply(y, arithmetic.plus(error, 1.0))
        error = arithmetic.multiply(error, error) if step + 1 < steps else error
    return y


def _newton(arithmetic: Arithmetic[T], x: T, y: T, steps: int) -> T:
    """Steps y (3 - x y^2) / 2 towards 1 / sqrt(x), on y / 2^k, so that no result is halved."""
    for step in range(steps):
        scaled = arithmetic.times(x, 4.0 ** (steps - step))
        product = arithmetic.multiply(scaled, arithmetic.multiply(y, y))
        y = arithmetic.multiply(y, arithmetic.plus(arithmetic.times(product, -1.0), 3.0))
    return y
