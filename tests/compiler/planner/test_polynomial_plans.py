"""Plans for polynomials: exact, in the fewest levels, with few key switches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from enclair.compiler.planner.polynomial_plans import (
    PolynomialPlan,
    Sum,
    depth_of,
    divide,
    key_switches,
    plan_polynomial,
    significant,
)

Reals = NDArray[np.float64]


def evaluated(plan: PolynomialPlan, x: Reals) -> Reals:
    """The plan in the clear."""
    for _ in range(plan.doublings):
        x = 2 * x * x - 1
    powers = {0: np.ones_like(x), 1: x}
    for power in plan.powers:
        powers[power.n] = 2 * powers[power.a] * powers[power.b] - powers[power.a - power.b]

    def value(part: Sum) -> Reals:
        scaled = sum((c * powers[n] for n, c in part.scaled), np.zeros_like(x))
        return part.constant + scaled + sum(value(q) * powers[n] for q, n in part.products)

    return value(plan.sum)


def levels_of(plan: PolynomialPlan) -> int:
    """Rescales on the longest path, one for every product."""
    depths = {0: 0, 1: 0}
    for power in plan.powers:
        depths[power.n] = max(depths[power.a], depths[power.b]) + 1

    def depth(part: Sum) -> int:
        scaled = [depths[n] + 1 for n, _ in part.scaled]
        return max([0, *scaled, *(max(depth(q), depths[n]) + 1 for q, n in part.products)])

    return plan.doublings + depth(plan.sum)


@given(st.integers(1, 70), st.sampled_from(("dense", "odd", "even")), st.integers(0, 2**16))
def test_plans_are_exact_and_take_the_fewest_levels(degree: int, parity: str, seed: int) -> None:
    coefficients = np.random.default_rng(seed).normal(size=degree + 1)
    coefficients[slice(degree % 2 == 0, None, 2) if parity == "odd" else slice(1, 0)] = 0
    if parity == "even":
        coefficients[1::2] = 0
    plan = plan_polynomial(coefficients)
    x = np.linspace(-1, 1, 101)
    np.testing.assert_allclose(evaluated(plan, x), chebyshev.chebval(x, coefficients), atol=1e-11)
    assert levels_of(plan) <= depth_of(degree)


@pytest.mark.parametrize(("degree", "most"), [(2, 1), (3, 2), (7, 4), (15, 7), (27, 8), (31, 10), (63, 13)])
def test_key_switches_of_dense_polynomials(degree: int, most: int) -> None:
    assert key_switches(plan_polynomial([1.0] * (degree + 1))) <= most


def test_an_even_polynomial_costs_one_square_more_than_half_its_degree() -> None:
    half = plan_polynomial([1.0] * 9)
    whole = plan_polynomial([1.0 - i % 2 for i in range(17)])
    assert key_switches(whole) == key_switches(half) + 1


def test_an_odd_polynomial_costs_no_more_than_a_dense_one() -> None:
    for degree in (3, 5, 7, 9, 15, 27, 59):
        odd = plan_polynomial([i % 2 for i in range(degree + 1)])
        assert key_switches(odd) <= key_switches(plan_polynomial([1.0] * (degree + 1)))


def test_rounding_of_a_fit_counts_as_zero() -> None:
    assert significant([1e-18, 1.0, 1e-19, 0.5, 1e-20]).tolist() == [0.0, 1.0, 0.0, 0.5]


@given(st.integers(1, 40), st.data())
def test_division(n: int, data: st.DataObject) -> None:
    degree = data.draw(st.integers(n, 2 * n))
    p = np.random.default_rng(degree).normal(size=degree + 1)
    quotient, rest = divide(p, n)
    assert len(rest) <= n
    t_n = np.eye(n + 1)[n]
    np.testing.assert_allclose(chebyshev.chebadd(chebyshev.chebmul(quotient, t_n), rest), p, atol=1e-12)
