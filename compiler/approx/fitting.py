"""Making fits: the best at given levels, and the one with the fewest products for a given error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from math import ceil, inf, isfinite, sqrt
from typing import TypeAlias

import numpy as np
from typing_extensions import assert_never

from enclair.compiler.approx.certificates import Approximant, certified_error
from enclair.compiler.approx.composite import TABLE, composed_rounding, sign
from enclair.compiler.approx.fits import Fit, Method
from enclair.compiler.approx.functions import FACTS, Facts, evaluate, has_corners
from enclair.compiler.approx.remez import Parity, minimax
from enclair.compiler.approx.series import ROUNDING, Reals, products_of
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.ops.activations import Exp
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Pow, Reciprocal

MOST_LEVELS = 18
ONE_POLYNOMIAL = 10
"""Levels of the largest single polynomial: degree 1023."""
NEARLY_SYMMETRIC = 0.7
"""Ratio of an interval's ends from which it is made symmetric without a look at the alternative."""
COARSENESS = 16
"""Intervals of homogeneous functions are widened to sixteenths of their larger end, so that fits are shared."""
SMALLEST_WEIGHT = 0.01
"""Of errors of exp before squaring: where the result is tiny the polynomial must stay small too."""
STARTS = range(2, ONE_POLYNOMIAL + 1)
"""Levels of the polynomial that an iteration starts from."""
MOST_SQUARINGS, MOST_GOLDSCHMIDT = 8, 5
"""More steps cost more precision than they gain."""
Iteration: TypeAlias = Callable[[Op, float, float, int, int], Fit]
"""Makes a fit on an interval from a polynomial of a degree, with as many steps after it."""


def best_at(op: Op, low: float, high: float, levels: int) -> Fit | None:
    """The fit with the smallest certified error among those of the levels; None when no method has these levels.

    Raises:
        CompileError: the function is not defined on the interval.
    """
    check_domain(op, low, high)
    unit, factor = _unit(op, low, high)
    found = [fit for fit in _fits(op, *unit, levels) if isfinite(fit.error)]
    return _rescaled(min(found, key=lambda fit: fit.error), factor, low, high) if found else None


def cheapest(op: Op, low: float, high: float, levels: int, error: float) -> Fit | None:
    """The fit with the fewest products at most ``levels`` deep with a certified error of at most ``error``."""
    check_domain(op, low, high)
    unit, factor = _unit(op, low, high)
    good = [fit for fit in _reduced(op, *unit, levels, error / factor) if fit.error <= error / factor]
    best = min(good, key=lambda fit: (fit.products, fit.levels, fit.error), default=None)
    return None if best is None else _rescaled(best, factor, low, high)


def check_domain(op: Op, low: float, high: float) -> None:
    """Refuse an interval on which the function is not bounded.

    Raises:
        CompileError: says which function, which interval, and what to do.
    """
    facts = FACTS[type(op)]
    if (facts.positive and low <= 0) or (facts.nonzero and low <= 0 <= high):
        need = "positive values" if facts.positive else "values on one side of 0"
        raise CompileError(
            f"{op!r} needs {need}, its argument ranges over [{low:.6g}, {high:.6g}]: "
            "add a positive constant to it (an epsilon), or give calibration data and input ranges "
            "that keep it away from 0"
        )


def _unit(op: Op, low: float, high: float) -> tuple[tuple[float, float], float]:
    """Of a homogeneous function, the interval over its larger end, a little widened; and that end."""
    if not FACTS[type(op)].homogeneous:
        return (low, high), 1.0
    factor = max(abs(low), abs(high))
    return (-ceil(-low / factor * COARSENESS) / COARSENESS, ceil(high / factor * COARSENESS) / COARSENESS), factor


def _rescaled(fit: Fit, factor: float, low: float, high: float) -> Fit:
    """The fit of a homogeneous function, back on its interval."""
    if factor == 1.0:
        return replace(fit, low=low, high=high)
    first, *rest = (stage.on(stage.low, stage.high) for stage in fit.stages)
    stages = (first.on(first.low * factor, first.high * factor), *rest)
    if fit.method is Method.MINIMAX:
        stages = (stages[0].scaled(factor),)
    return replace(fit, low=low, high=high, stages=stages, error=fit.error * factor)


def _fits(op: Op, low: float, high: float, levels: int) -> Iterator[Fit]:
    """The best fit of each method with exactly these levels."""
    if levels <= ONE_POLYNOMIAL:
        for parity in _parities(op, low, high, levels):
            yield certified(_polynomial(op, low, high, (1 << levels) - 1, parity))
    if FACTS[type(op)].homogeneous and low < 0 < high:
        for alpha, degrees in TABLE:
            if sum(degree.bit_length() for degree in degrees) + 1 == levels:
                yield composite(op, low, high, alpha, degrees)
    for make, start, steps in _iterations(op, levels):
        yield certified(make(op, low, high, (1 << start) - 1, steps))


def _reduced(op: Op, low: float, high: float, levels: int, error: float) -> Iterator[Fit]:
    """Of each method the fewest products that reach the error."""
    for parity in _parities(op, low, high, levels):
        degrees = degrees_by_products(min(levels, ONE_POLYNOMIAL), parity)
        yield from _least(partial(_with_parity, op, low, high, parity), degrees, error)
    if FACTS[type(op)].homogeneous and low < 0 < high:
        for alpha, degrees in TABLE:
            if sum(degree.bit_length() for degree in degrees) + 1 <= levels and alpha < 32 * error:
                yield composite(op, low, high, alpha, degrees)
    for make, start, steps in _iterations(op, levels):
        yield from _least(partial(_with_steps, make, op, low, high, steps), degrees_by_products(start), error)


def _with_parity(op: Op, low: float, high: float, parity: Parity, degree: int) -> Fit:
    return _polynomial(op, low, high, degree, parity)


def _with_steps(make: Iteration, op: Op, low: float, high: float, steps: int, degree: int) -> Fit:
    return make(op, low, high, degree, steps)


@lru_cache(maxsize=64)
def degrees_by_products(levels: int, parity: Parity = Parity.ALL) -> tuple[int, ...]:
    """For each count of products that occurs below degree 2^levels, the largest degree with it; ascending."""
    step = 1 if parity is Parity.ALL else 2
    pattern = [1.0 if parity is Parity.ALL or k % 2 == (parity is Parity.ODD) else 0.0 for k in range(1 << levels)]
    counts = {n: products_of(tuple(pattern[: n + 1])) for n in range(1, 1 << levels) if step == 1 or pattern[n]}
    ordered = sorted(counts, reverse=True)
    fewest = [n for at, n in enumerate(ordered) if all(counts[n] < counts[other] for other in ordered[:at])]
    return tuple(reversed(fewest))


def _least(make: Callable[[int], Fit], degrees: tuple[int, ...], error: float) -> Iterator[Fit]:
    """The certified fit of the smallest degree whose error is small enough; nothing when the largest is not."""
    if not degrees or _measured(make(degrees[-1])) > error:
        return  # not even the largest will do
    below, good = _bracket(make, degrees, error)
    while good - below > 1:
        middle = (below + good) // 2
        below, good = (below, middle) if _measured(make(degrees[middle])) <= error else (middle, good)
    fits = (certified(make(degree)) for degree in degrees[good : good + 2])
    yield from (fit for fit in fits if fit.error <= error)


def _bracket(make: Callable[[int], Fit], degrees: tuple[int, ...], error: float) -> tuple[int, int]:
    """Positions of a degree that is too small and of one that is not. Errors at corners fall as 1 / degree."""
    top = make(degrees[-1])
    if not has_corners(top.op):
        return -1, len(degrees) - 1
    wanted = degrees[-1] * _measured(top) / error
    guess = next(at for at, degree in enumerate(degrees) if degree >= wanted)
    if _measured(make(degrees[guess])) > error:
        return guess, len(degrees) - 1
    return max(-1, guess - 2), guess


def _measured(fit: Fit) -> float:
    """The largest error at Chebyshev points: below the certified one by a few hundredths."""
    x = (fit.low + fit.high) / 2 + (fit.high - fit.low) / 2 * np.cos(np.linspace(0, np.pi, 8 * fit.degree + 9))
    joints = [joint for joint in FACTS[type(fit.op)].joints(fit.op) if fit.low < joint < fit.high]
    x = np.concatenate([x, joints])
    with np.errstate(all="ignore"):
        gap = np.abs(fit(x) - evaluate(fit.op, x))
        return float((gap / np.abs(evaluate(fit.op, x)) if fit.relative else gap).max()) * 1.01


def _parities(op: Op, low: float, high: float, levels: int) -> tuple[Parity, ...]:
    """Structures worth trying: the function's own on a symmetric interval, all degrees on the interval as it is."""
    facts = FACTS[type(op)]
    own = Parity.EVEN if facts.even_beside else Parity.ODD if facts.odd_beside else None
    if own is None or low >= 0 or high <= 0:
        return (Parity.ALL,)
    ratio = min(-low, high) / max(-low, high)
    if ratio >= NEARLY_SYMMETRIC:
        return (own,)
    return (Parity.ALL,) if levels > 7 else (own, Parity.ALL)


def _iterations(op: Op, levels: int) -> Iterator[tuple[Iteration, int, int]]:
    """The iterations that end at these levels: how to make them, the levels they start from, their steps."""
    for start in STARTS:
        left = levels - start
        if isinstance(op, Exp) and 1 <= left <= MOST_SQUARINGS:
            yield squaring, start, left
        elif isinstance(op, Reciprocal) and 2 <= left - 1 <= MOST_GOLDSCHMIDT:
            yield goldschmidt, start, left - 1
        elif isinstance(op, Pow) and op.exponent == -0.5 and left in (3, 6):
            yield newton, start, left // 3


def polynomial(op: Op, low: float, high: float, degree: int) -> Fit:
    """The minimax polynomial of the degree, certified."""
    check_domain(op, low, high)
    return certified(_polynomial(op, low, high, degree))


@lru_cache(maxsize=4096)
def _polynomial(op: Op, low: float, high: float, degree: int, parity: Parity = Parity.ALL) -> Fit:
    """One minimax polynomial. With a parity on the interval made symmetric, the line beside it added."""
    facts = FACTS[type(op)]
    if parity is not Parity.ALL:
        reach = max(-low, high)
        low, high = -reach, reach
    slope = facts.even_beside(op) if parity is Parity.EVEN and facts.even_beside else 0.0
    constant = facts.odd_beside(op) if parity is Parity.ODD and facts.odd_beside else 0.0
    series = minimax(
        lambda x: evaluate(op, x) - slope * x - constant,
        max(degree, 1),
        low,
        high,
        parity=parity,
        joints=facts.joints(op),
        weight=_weight(op, facts),
    )
    coefficients = list(series.coefficients)
    coefficients[0] += constant
    coefficients[1] += slope * (high - low) / 2
    return Fit(op, low, high, Method.MINIMAX, (replace(series, coefficients=tuple(coefficients)),))


def _weight(op: Op, facts: Facts) -> Callable[[Reals], Reals] | None:
    return (lambda x: 1 / np.abs(evaluate(op, x))) if facts.relative else None


@lru_cache(maxsize=512)
def composite(op: Op, low: float, high: float, alpha: float, degrees: tuple[int, ...]) -> Fit:
    """a x + b x sign(x): the rectifiers and |x|, by the sign on the interval made symmetric."""
    reach = max(-low, high)
    left, right = evaluate(op, np.array([-1.0, 1.0]))
    *stages, last = sign(alpha, degrees).stages
    last = last.scaled(float(right + left) / 2, float(right - left) / 2)
    first, *rest = (*stages, last)
    return certified(Fit(op, -reach, reach, Method.COMPOSITE, (first.on(-reach, reach), *rest)))


@lru_cache(maxsize=512)
def squaring(op: Op, low: float, high: float, degree: int, steps: int) -> Fit:
    """exp(x / 2^steps), squared as often."""

    def weight(x: Reals) -> Reals:
        return np.asarray(np.maximum(np.exp((x - high) * (1 - 0.5**steps)), SMALLEST_WEIGHT))

    series = minimax(lambda x: evaluate(op, x / 2.0**steps), degree, low, high, weight=weight)
    return Fit(op, low, high, Method.SQUARING, (series,), steps)


@lru_cache(maxsize=512)
def goldschmidt(op: Op, low: float, high: float, degree: int, steps: int) -> Fit:
    """1 / x from the polynomial that makes |1 - x p(x)| smallest."""
    return replace(_polynomial(op, low, high, degree), method=Method.GOLDSCHMIDT, steps=steps)


@lru_cache(maxsize=512)
def newton(op: Op, low: float, high: float, degree: int, steps: int) -> Fit:
    """1 / sqrt(x) from the polynomial with the smallest relative error, over 2^steps."""
    start = _polynomial(op, low, high, degree).stages[0].scaled(0.5**steps)
    return Fit(op, low, high, Method.NEWTON, (start,), steps)


@lru_cache(maxsize=4096)
def certified(fit: Fit) -> Fit:
    """The fit with its certified error; infinite where values overflow."""
    with np.errstate(all="ignore"):
        error = certified_error(fit.op, Approximant(fit, fit.degree, _rounding(fit)), fit.low, fit.high)
    return replace(fit, error=error if isfinite(error) else inf)


def _rounding(fit: Fit) -> float:
    """Bound on what rounding adds to the result: that of the polynomials, as what comes after magnifies it.

    (y + d)^(2^k) is off by 2^k d times the result over y. Of relative errors e a step of Goldschmidt makes e^2, one of
    Newton (3 e^2 + e^3) / 2: their slopes are at most 2 and 5 where |e| <= 1.
    """
    start, far = fit.stages[0].rounding(), max(abs(fit.low), abs(fit.high))
    match fit.method:
        case Method.MINIMAX:
            return start
        case Method.COMPOSITE:
            return far * composed_rounding(fit.stages)
        case Method.SQUARING:
            size = max(1.0, float(np.abs(fit(np.array([fit.low, fit.high]))).max()))
            return (1 << fit.steps) * size * (start + 2 * ROUNDING)
        case Method.GOLDSCHMIDT:
            return (1 << fit.steps) * (start + 8 * ROUNDING / far)
        case Method.NEWTON:
            return float(5**fit.steps) * ((1 << fit.steps) * start + 8 * ROUNDING / sqrt(far))
        case _:
            assert_never(fit.method)
