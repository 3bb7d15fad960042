"""Certificates: the bounds that they rest on."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from tests.compiler.approx.references import ANALYTIC

from enclair.compiler.approx.certificates import Approximant, bounded, certified_error, needed_degree, remainder
from enclair.compiler.approx.functions import Ellipse, facts_of, pieces
from enclair.compiler.approx.series import interpolate
from enclair.compiler.ir.ops import activations as a
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Pow, Reciprocal

ANALYTIC_OPS: tuple[Op, ...] = (
    a.Sigmoid(), a.Tanh(), a.Erf(), a.Gelu(), a.Gelu("tanh"), a.Silu(), a.Softplus(), a.Mish(), a.Exp(), a.Log(),
    a.Sqrt(), Pow(-0.5), Pow(1.5), Reciprocal(),
)  # fmt: skip


@given(coefficients=st.lists(st.floats(-1, 1), min_size=2, max_size=40), low=st.floats(-3, 0), width=st.floats(0.1, 5))
def test_bound_on_a_polynomial_holds_between_the_points(coefficients: list[float], low: float, width: float) -> None:
    def function(x: np.ndarray) -> np.ndarray:
        return chebyshev.chebval(2 * (x - low) / width - 1, coefficients)

    bound = bounded(function, len(coefficients) - 1, low, low + width)
    largest = np.abs(function(np.linspace(low, low + width, 5000))).max()
    assert largest <= bound * (1 + 1e-12)
    assert bound <= 1.03 * largest + 1e-12


@given(
    op=st.sampled_from(ANALYTIC_OPS),
    ends=st.tuples(st.floats(0.1, 5), st.floats(0.2, 8)),
    rho=st.floats(1.01, 3.0),
    angle=st.floats(0, 6.28),
)
def test_magnitudes_hold_on_the_ellipse(op: Op, ends: tuple[float, float], rho: float, angle: float) -> None:
    facts = facts_of(op)
    assert facts is not None
    low = ends[0] if facts.positive or facts.nonzero else -ends[0]
    ellipse = Ellipse(low, low + ends[1] + 0.1, rho)
    (piece,) = pieces(op, ellipse.low, ellipse.high)
    assert piece.magnitude is not None
    bound = piece.magnitude(ellipse)
    w = rho * mpmath.expj(angle)
    z = (ellipse.low + ellipse.high) / 2 + (ellipse.high - ellipse.low) / 2 * (w + 1 / w) / 2
    if bound < np.inf:
        assert abs(ANALYTIC[type(op)](op, z)) <= bound * (1 + 1e-12)


@pytest.mark.parametrize(("op", "low", "high"), [(a.Sigmoid(), -4, 4), (a.Exp(), -3, 1), (Reciprocal(), 0.5, 4)])
def test_remainder_bounds_the_distance_of_the_series(op: Op, low: float, high: float) -> None:
    (piece,) = pieces(op, low, high)
    x = np.linspace(low, high, 2001)
    for degree in (4, 8, 16):
        gap = np.abs(interpolate(lambda t: np.asarray(op.evaluate(t)), degree, low, high)(x) - op.evaluate(x)).max()
        assert gap <= 2 * remainder(piece, degree)
    assert remainder(piece, needed_degree(piece, 1e-9)) <= 1e-9 * (1 + 1e-9)


def test_singularity_at_the_end_has_no_certificate() -> None:
    line = interpolate(np.sqrt, 3, 0.0, 1.0)
    assert certified_error(a.Sqrt(), Approximant(line, 3, 0.0), 0.0, 1.0) == np.inf


@pytest.mark.parametrize("exponent", [-0.5, -0.75, 1.5])
def test_relative_errors(exponent: float) -> None:
    op = Pow(exponent)
    series = interpolate(lambda x: x**exponent, 7, 0.2, 5.0)
    x = np.linspace(0.2, 5.0, 20001)
    largest = np.abs(series(x) / x**exponent - 1).max()
    certified = certified_error(op, Approximant(series, 7, series.rounding()), 0.2, 5.0)
    assert largest <= certified <= 1.25 * largest


def test_a_polynomial_of_the_wrong_sign_has_no_relative_error() -> None:
    series = interpolate(lambda x: -(x**-0.5), 7, 0.2, 5.0)
    assert certified_error(Pow(-0.5), Approximant(series, 7, 0.0), 0.2, 5.0) == np.inf
