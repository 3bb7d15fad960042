"""Fits of every function: certified errors against 30 digits, the fewest levels and products, messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.compiler.approx.references import reference

from enclair.compiler.approx.fits import Fit, Method
from enclair.compiler.approx.fitting import ONE_POLYNOMIAL, best_at, cheapest, polynomial
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.ops import activations as a
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Abs, Pow, Reciprocal

ROUNDING = 1e-9
"""Errors below it, relative to the largest value, are rounding's, which certificates overestimate."""
EVERYWHERE: tuple[Op, ...] = (
    a.Relu(), a.LeakyRelu(0.1), Abs(), a.Clip(0.0, 6.0), a.Clip(-1.0, 1.0), a.HardSigmoid(0.2, 0.5), a.HardSwish(),
    a.Sigmoid(), a.Tanh(), a.Erf(), a.Gelu(), a.Gelu("tanh"), a.Silu(), a.Mish(), a.Softplus(), a.Softsign(),
    a.Elu(1.0), a.Selu(1.6733, 1.0507), a.Celu(0.7), a.Exp(),
)  # fmt: skip
POSITIVE: tuple[Op, ...] = (a.Log(), a.Sqrt(), Pow(-0.5), Pow(1.5), Reciprocal())


@st.composite
def targets(draw: st.DrawFn) -> tuple[Op, float, float]:
    """A function and an interval on which it is defined."""
    op = draw(st.sampled_from(EVERYWHERE + POSITIVE))
    if op in POSITIVE:
        low = draw(st.floats(0.01, 10.0))
        return op, low, low * draw(st.floats(1.5, 100.0))
    low, high = draw(st.floats(-12.0, 0.0)), draw(st.floats(0.1, 12.0))
    return op, low, high


def negligible(target: tuple[Op, float, float]) -> float:
    """An error that is rounding's."""
    op, low, high = target
    return ROUNDING * max(1.0, float(np.abs(op.evaluate(np.array([low, high]))).max()))


def measured(fit: Fit, seed: int, count: int = 2000) -> float:
    """The largest error on random points, dense at the ends and around 0, by 30 digits."""
    rng = np.random.default_rng(seed)
    middle, half = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    x = np.concatenate(
        [
            middle + half * np.cos(rng.uniform(0, np.pi, count)),
            np.clip(rng.normal(0, half / fit.degree, count // 4), fit.low, fit.high),
            np.array([fit.low, fit.high, *[p for p in (0.0, 3.0, -3.0, 6.0, 1.0, -1.0) if fit.low <= p <= fit.high]]),
        ]
    )
    exact = reference(fit.op, x)
    gap = np.abs(fit(x) - exact)
    return float((gap / np.abs(exact) if fit.relative else gap).max())


@given(target=targets(), levels=st.integers(1, 6), seed=st.integers(0, 99))
def test_certified_error_is_a_tight_bound(target: tuple[Op, float, float], levels: int, seed: int) -> None:
    fit = best_at(*target, levels)
    assert fit is not None
    error = measured(fit, seed)
    assert error <= fit.error
    assert fit.error <= 4 * error or fit.error < negligible(target) or fit.degree == 0


@pytest.mark.parametrize("op", [a.Relu(), Abs(), a.LeakyRelu(0.2)])
@pytest.mark.parametrize("levels", [8, 9, 13, 14])
def test_certified_error_of_deep_rectifiers(op: Op, levels: int) -> None:
    fit = best_at(op, -3.0, 2.5, levels)
    assert fit is not None
    assert measured(fit, levels) <= fit.error <= 1.5 * measured(fit, levels, 20000)
    assert (fit.method is Method.COMPOSITE) == (levels > ONE_POLYNOMIAL)


@pytest.mark.parametrize(
    ("op", "low", "high", "levels", "method"),
    [
        (a.Exp(), -40.0, 1.0, 11, Method.SQUARING),
        (Reciprocal(), 0.01, 20.0, 11, Method.GOLDSCHMIDT),
        (Pow(-0.5), 0.01, 20.0, 11, Method.NEWTON),
    ],
)
def test_certified_error_of_iterations(op: Op, low: float, high: float, levels: int, method: Method) -> None:
    fit = best_at(op, low, high, levels)
    assert fit is not None
    assert fit.method is method
    assert measured(fit, 1) <= fit.error < 0.1


@given(target=targets(), levels=st.integers(2, 6), exponent=st.floats(0.5, 4.0))
def test_cheapest_meets_the_error_with_no_more_products(
    target: tuple[Op, float, float], levels: int, exponent: float
) -> None:
    best = best_at(*target, levels)
    assert best is not None
    error = best.error * 10**exponent
    assume(error > negligible(target))
    found = cheapest(*target, levels, error)
    assert found is not None
    assert found.error <= error
    assert found.levels <= levels
    assert found.products <= best.products


@given(target=targets(), levels=st.integers(2, 7))
def test_more_levels_are_never_much_worse(target: tuple[Op, float, float], levels: int) -> None:
    fewer, more = best_at(*target, levels - 1), best_at(*target, levels)
    assert fewer is not None
    assert more is not None
    assert more.error <= 1.05 * fewer.error + negligible(target)
    assert more.levels <= levels


def test_degree_uses_all_of_the_levels() -> None:
    fit = best_at(a.Gelu("none"), -1.0, 6.0, 5)
    assert fit is not None
    assert (fit.degree, fit.levels) == (31, 5)


@pytest.mark.parametrize(
    ("op", "kept"),
    [
        (Abs(), "even"),
        (a.Tanh(), "odd"),
        (a.Erf(), "odd"),
        (a.Relu(), "even"),
        (a.Silu(), "even"),
        (a.Sigmoid(), "odd"),
    ],
)
def test_structure_is_kept(op: Op, kept: str) -> None:
    fit = best_at(op, -4.0, 4.0, 4)
    assert fit is not None
    others = fit.stages[0].coefficients[2::2] if kept == "odd" else fit.stages[0].coefficients[3::2]
    assert all(c == 0.0 for c in others)


def test_homogeneous_functions_scale() -> None:
    one, thousand = best_at(a.Relu(), -1.0, 1.0, 5), best_at(a.Relu(), -1000.0, 1000.0, 5)
    assert one is not None
    assert thousand is not None
    assert thousand.error == pytest.approx(1000 * one.error)
    x = np.linspace(-1, 1, 101)
    np.testing.assert_allclose(thousand(1000 * x), 1000 * one(x), atol=1e-9)


def test_growth_tells_what_a_value_outside_does() -> None:
    tame, wild = polynomial(a.Silu(), -1.0, 1.0, 2), polynomial(a.Relu(), -1.0, 1.0, 63)
    assert tame.growth() < 3
    assert wild.growth() > 1e12
    composed = best_at(a.Relu(), -1.0, 1.0, 14)
    assert composed is not None
    assert composed.growth() == np.inf


def test_pieces_that_are_polynomials_are_exact() -> None:
    fit = best_at(a.HardSwish(), -2.0, 2.0, 2)
    assert fit is not None
    assert fit.error < 1e-12


@pytest.mark.parametrize(
    ("op", "low", "high", "message"),
    [
        (Reciprocal(), -1.0, 2.0, r"Reciprocal\(\) needs values on one side of 0, .* ranges over \[-1, 2\].*epsilon"),
        (Pow(-0.5), 0.0, 2.0, r"Pow\(exponent=-0\.5\) needs positive values, .* ranges over \[0, 2\].*epsilon"),
        (a.Log(), -3.0, 2.0, r"Log\(\) needs positive values, .*\[-3, 2\].*input ranges"),
    ],
)
def test_intervals_without_a_value_are_refused(op: Op, low: float, high: float, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        best_at(op, low, high, 3)
