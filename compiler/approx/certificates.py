"""Certified errors: a bound on |p - f| over a whole interval from its values at finitely many points.

A polynomial of degree N is nowhere larger than 1 / cos(N pi / 2m) times its largest value at the m Chebyshev points of
the interval (Ehlich and Zeller, 1964). On a piece where f is a polynomial, p - f is one, and the bound holds as it is.
Where f is analytic, a polynomial P of degree N is within

    delta = 2 M rho^-N / (rho - 1)

of it, M bounding |f| in the ellipse of parameter rho around the piece (Bernstein; Trefethen, *Approximation Theory and
Approximation Practice*, theorem 8.2), so that |p - f| <= (max at the points + delta) / cos(N pi / 2m) + delta. P itself
is not needed. Rounding of p and f is added. With m = 8 N the bound is 2 % above the largest value at the points.

Relative errors e of p for 1 / x and 1 / sqrt(x) follow from polynomials: x p - 1 = e, and x p^2 - 1 = (1 + e)^2 - 1.
Those for other functions are bounded on intervals whose ends differ by a small factor, by the absolute error over the
smallest |f| there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, cos, inf, log, pi, sqrt

import numpy as np

from enclair.compiler.approx.functions import Ellipse, Piece, evaluate, facts_of, pieces
from enclair.compiler.approx.series import ROUNDING, Real, Reals
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Pow, Reciprocal

METHOD = "values at Chebyshev points, Ehlich and Zeller's factor, Bernstein's remainder"
"""How errors are certified, for reports."""
OVERSAMPLING = 8
LARGEST_DEGREE = 1 << 15
FUNCTION_ROUNDING = 16 * ROUNDING
"""Relative error of ``exact_math`` and of numpy's functions, at most."""
RELATIVE_STEP = 1.08
"""Ratio of the ends of the intervals on which relative errors are bounded."""
RHOS = tuple(1 + 2.0 ** (k / 2) for k in range(-24, 18))


@dataclass(frozen=True, slots=True)
class Approximant:
    """A polynomial as something to evaluate: its degree, and a bound on its rounding inside the interval."""

    function: Real
    degree: int
    rounding: float


def certified_error(op: Op, approximant: Approximant, low: float, high: float) -> float:
    """Bound on |p - f| in [low, high]; relative to |f| where the function's results are factors.

    Infinite where the function cannot be bounded off the real line (a singularity at the interval's end).
    """
    facts = facts_of(op)
    relative = facts is not None and facts.relative
    if isinstance(op, Reciprocal) or (isinstance(op, Pow) and op.exponent == -0.5):
        return _inverse_error(op, approximant, low, high)
    parts = _geometric(low, high) if relative else ((low, high),)
    return max(_error(op, approximant, *part, relative) for part in parts)


def _inverse_error(op: Reciprocal | Pow, approximant: Approximant, low: float, high: float) -> float:
    """Relative error for 1 / x, or for 1 / sqrt(x)."""
    power = 1 if isinstance(op, Reciprocal) else 2
    far = max(abs(low), abs(high)) if power == 1 else sqrt(high)
    rounding = approximant.rounding * far + FUNCTION_ROUNDING
    residual = bounded(lambda x: x * approximant.function(x) ** power - 1, power * approximant.degree + 1, low, high)
    residual += power * rounding * (1 + residual)
    if power == 1:
        return residual
    upright = approximant.function(np.array([low]))[0] > 0 and residual < 1
    return 1.0 - sqrt(1.0 - residual) if upright else inf


def _error(op: Op, approximant: Approximant, low: float, high: float, relative: bool) -> float:
    error = max(_piece_error(op, approximant, piece) for piece in pieces(op, low, high))
    return error / float(np.abs(evaluate(op, np.array([low, high]))).min()) if relative else error


def _geometric(low: float, high: float) -> tuple[tuple[float, float], ...]:
    """Parts whose ends differ by a small factor, of an interval without 0."""
    count = max(1, ceil(abs(log(high / low)) / log(RELATIVE_STEP)))
    ends = np.geomspace(low, high, count + 1)
    return tuple(pairwise(ends.tolist()))


def _piece_error(op: Op, approximant: Approximant, piece: Piece) -> float:
    """The bound on one piece; the degree N is the least that leaves a remainder well below the error."""

    def gap(x: Reals) -> Reals:
        return np.asarray(approximant.function(x) - evaluate(op, x))

    magnitude = float(np.abs(evaluate(op, _points(piece.low, piece.high, 64))).max())
    rounding = approximant.rounding + FUNCTION_ROUNDING * magnitude
    if piece.magnitude is None:
        return bounded(gap, max(approximant.degree, piece.degree), piece.low, piece.high) + rounding
    seen = float(np.abs(gap(_points(piece.low, piece.high, 4 * approximant.degree + 64))).max())
    wanted = max(1e-3 * seen, rounding)
    degree = needed_degree(piece, wanted)
    if degree > LARGEST_DEGREE:
        return inf
    degree = max(degree, approximant.degree)
    delta = remainder(piece, degree)
    largest = float(np.abs(gap(_points(piece.low, piece.high, OVERSAMPLING * (degree + 1)))).max())
    return (largest + delta + rounding) / _factor(degree) + delta + rounding


def bounded(
    polynomial: Callable[[Reals], Reals], degree: int, low: float, high: float, oversampling: int = OVERSAMPLING
) -> float:
    """Bound on the polynomial's absolute value in [low, high]; looser than it is by 1.24 / oversampling^2 at most."""
    values = polynomial(_points(low, high, oversampling * (degree + 1)))
    return float(np.abs(values).max()) / _factor(degree, oversampling)


def _factor(degree: int, oversampling: int = OVERSAMPLING) -> float:
    return cos(degree * pi / (2 * oversampling * (degree + 1)))


def _points(low: float, high: float, count: int) -> Reals:
    """The zeros of T_count, moved to the interval."""
    angles = (np.arange(count) + 0.5) * (pi / count)
    return np.asarray((low + high) / 2 + (high - low) / 2 * np.cos(angles))


def remainder(piece: Piece, degree: int) -> float:
    """Bound on the distance of an analytic piece to its Chebyshev series of the degree: the best over ellipses."""
    return float(_remainders(piece, np.array([float(degree)]))[0])


def needed_degree(piece: Piece, error: float) -> int:
    """The least degree whose remainder is at most ``error``; above LARGEST_DEGREE when there is none."""
    best = float(LARGEST_DEGREE + 1)
    for rho, magnitude in _magnitudes(piece):
        best = min(best, max(1.0, log(2 * max(magnitude, 1e-300) / ((rho - 1) * error)) / log(rho)))
    return ceil(best)


def _remainders(piece: Piece, degrees: Reals) -> Reals:
    best = np.full(degrees.shape, inf)
    for rho, magnitude in _magnitudes(piece):
        best = np.minimum(best, np.exp(log(2 * max(magnitude, 1e-300) / (rho - 1)) - degrees * log(rho)))
    return best


@lru_cache(maxsize=1024)
def _magnitudes(piece: Piece) -> tuple[tuple[float, float], ...]:
    """The parameters of ellipses in which the function is analytic, with its bounds there."""
    if piece.magnitude is None:
        return ()
    found = ((rho, piece.magnitude(Ellipse(piece.low, piece.high, rho))) for rho in RHOS)
    return tuple((rho, magnitude) for rho, magnitude in found if magnitude < inf)
