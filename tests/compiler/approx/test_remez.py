"""Minimax polynomials: known ones, alternation, structure, weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.approx.remez import Parity, minimax
from enclair.compiler.approx.series import Series, interpolate, least_squares, products_of

X = np.linspace(-1, 1, 100001)


def test_parabola_nearest_to_the_absolute_value() -> None:
    series = minimax(np.abs, 2, parity=Parity.EVEN, joints=(0.0,))
    np.testing.assert_allclose(series(X), X**2 + 1 / 8, atol=1e-4)


def test_leading_power_is_the_chebyshev_polynomial() -> None:
    series = minimax(lambda x: x**6, 5)
    assert np.abs(series(X) - X**6).max() == pytest.approx(2.0**-5, rel=2e-3)


@given(degree=st.integers(1, 40), low=st.floats(-6, -0.5), high=st.floats(0.5, 6))
def test_errors_alternate(degree: int, low: float, high: float) -> None:
    """Degree + 2 extrema of equal size, up to the exchange's end and rounding: nothing is better."""
    series = minimax(np.tanh, degree, low, high)
    x = (low + high) / 2 - (high - low) / 2 * np.cos(np.linspace(0, np.pi, 40001))
    errors = series(x) - np.tanh(x)
    top = np.abs(errors).max()
    signs = np.sign(errors[np.abs(errors) > 0.95 * top])
    assert top < 1e-12 or 1 + np.count_nonzero(np.diff(signs)) >= degree + 2


def test_no_worse_than_interpolation() -> None:
    for degree in (3, 7, 15):
        best = np.abs(minimax(np.exp, degree)(X) - np.exp(X)).max()
        assert best <= np.abs(interpolate(np.exp, degree)(X) - np.exp(X)).max() * (1 + 1e-9) + 1e-15


def test_odd_structure_with_a_gap() -> None:
    series = minimax(np.ones_like, 7, parity=Parity.ODD, inner=0.1)
    x = np.linspace(0.1, 1, 10001)
    errors = series(x) - 1
    assert not np.any(np.array(series.coefficients)[::2])
    assert errors.max() == pytest.approx(-errors.min(), rel=1e-2)


def test_weight_makes_relative_errors_equal() -> None:
    series = minimax(lambda x: 1 / x, 9, 0.2, 5.0, weight=lambda x: x)
    x = np.linspace(0.2, 5.0, 100001)
    errors = x * series(x) - 1
    assert errors.max() == pytest.approx(-errors.min(), rel=1e-2)


def test_least_squares_is_the_chebyshev_series_cut_off() -> None:
    series = least_squares(lambda x: 3 + 2 * x + 8 * x**4, 3)
    np.testing.assert_allclose(series.coefficients, (6.0, 2.0, 4.0, 0.0), atol=1e-12)


def test_series_are_scaled_and_moved() -> None:
    series = Series((1.0, 2.0, 3.0), -2.0, 6.0)
    x = np.linspace(-2, 6, 11)
    np.testing.assert_allclose(series.scaled(2.0, 5.0)(x), 2 * series(x) + 5)
    np.testing.assert_allclose(series.on(0.0, 1.0)((x + 2) / 8), series(x))


@given(coefficients=st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_slope_bounds_the_derivative(coefficients: list[float]) -> None:
    series = Series(tuple(coefficients), -3.0, 1.0)
    x = np.linspace(-3, 1, 20001)
    assert np.abs(np.diff(series(x)) / np.diff(x)).max() <= series.slope() * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize(
    ("degree", "levels", "products"), [(0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 2, 2), (7, 3, 4), (15, 4, 7), (31, 5, 11)]
)
def test_levels_and_products_of_full_polynomials(degree: int, levels: int, products: int) -> None:
    series = Series((1.0,) * (degree + 1))
    assert (series.levels, series.products) == (levels, products)


def test_structure_saves_products() -> None:
    even = tuple(1.0 if k % 2 == 0 or k == 1 else 0.0 for k in range(31))
    odd = tuple(float(k % 2) for k in range(32))
    assert products_of(even) < products_of((1.0,) * 31)
    assert products_of(odd) < products_of((1.0,) * 32)
