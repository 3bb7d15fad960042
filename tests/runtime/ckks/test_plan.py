"""What the plan of a linear transform chooses, and what the weights' share of the scale promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.runtime.backends.ckks.plan import Sizes, make_plan, weight_scale
from enclair.runtime.rns.keys import KEY_MARGIN, open_ring
from enclair.runtime.rns.ring import SPECIAL_MARGIN
from enclair.runtime.rns.sums import MOST_WEIGHT, TILE

SIZES = Sizes(slots=512, limbs=4, special=3, plain_scale=2.0**40, constant=False, divisible=True)


def dense(outputs: int, inputs: int, taps: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    rows, cols, which = (table.reshape(-1) for table in np.indices((outputs, inputs, taps)))
    return (rows, cols, which, which), np.random.default_rng(0).normal(size=rows.size)


def test_equal_plaintexts_are_made_once() -> None:
    zero, two = np.zeros(4, dtype=np.int64), np.array([0, 0, 1, 1])
    tables, weights = (two, zero, np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1])), np.array([1.0, 2.0, 1.0, 3.0])
    plan = make_plan(tables, weights, 2, 0, replace(SIZES, divisible=False))
    assert [blend.terms for blend in plan.blends] == [((0, 1.0),), ((1, 2.0),), ((1, 3.0),)]
    assert plan.babies == ((0, 0), (0, 1))
    assert plan.rotations == {0, 1}


def test_vectors_are_turned_by_their_giant_step() -> None:
    tables = tuple(np.array([i]) for i in (0, 0, 9, 0))
    plan = make_plan(tables, np.array([2.0]), 1, 4, replace(SIZES, divisible=False))
    assert (plan.babies, plan.rotations, plan.places) == (((0, 1),), {1, 8}, [(0, 8)])
    vector = np.arange(512.0)
    np.testing.assert_array_equal(plan.blends[0].vector(vector[None]), np.roll(2 * vector, 8))


@pytest.mark.parametrize(
    ("change", "divided"),
    [
        ({}, True),
        ({"divisible": False}, False),
        ({"constant": True}, False),
        ({"plain_scale": 2.0**26}, False),
    ],
    ids=["many channels", "not allowed", "constants", "small scale"],
)
def test_scales_are_divided_where_it_may_be_and_pays(change: dict[str, object], divided: bool) -> None:
    plan = make_plan(*dense(16, 16, 9), 16, 0, replace(SIZES, **change))
    assert bool(plan.weighted) == divided
    assert bool(plan.sums) != divided
    assert (plan.weight_scale > 1) == divided


def test_scales_are_not_divided_for_one_diagonal_each() -> None:
    steps = np.arange(16)
    plan = make_plan((np.zeros(16, dtype=np.int64),) * 2 + (steps, steps), np.ones(16), 1, 4, SIZES)
    assert not plan.weighted


@pytest.mark.parametrize(("outputs", "inputs", "extended"), [(1, 4, True), (16, 1, False)])
def test_what_costs_less_is_brought_down(outputs: int, inputs: int, extended: bool) -> None:
    """The results where they are few, the rotated inputs where these are."""
    plan = make_plan(*dense(outputs, inputs, 3), outputs, 0, SIZES)
    assert plan.extended == extended


@given(st.integers(0, 2**32 - 1), st.integers(36, 50), st.floats(1e-6, 1e6))
def test_weights_stay_exact(seed: int, bits: int, magnitude: float) -> None:
    weights = np.random.default_rng(seed).normal(size=(3, 70)) * magnitude
    scale = weight_scale(weights, 2.0**bits, 16384)
    assert scale == 2.0 ** np.round(np.log2(scale))
    rounded = np.abs(np.rint(weights * scale))
    assert max(rounded[:, i : i + TILE].sum(axis=1).max() for i in range(0, 70, TILE)) < MOST_WEIGHT
    assert scale <= np.sqrt(2.0**bits / 128 / np.abs(weights).max())


@pytest.mark.parametrize(
    ("parameters", "primes_a_digit"),
    [(CkksParameters(8192, 5, 26, 27, 6), 2), (CkksParameters(16384, 5, 40, 50, 3), 2)],
    ids=["two of OpenFHE's digits in one", "OpenFHE's digits"],
)
def test_digits_are_merged_where_the_special_primes_allow_it(parameters: CkksParameters, primes_a_digit: int) -> None:
    ring = open_ring(parameters)
    assert ring.digit_size == primes_a_digit
    assert ring.special_product >= SPECIAL_MARGIN * ring.largest_digit
    merged = ring.digit_size > parameters.digit_size
    assert not merged or KEY_MARGIN * ring.largest_digit <= np.prod(np.array(parameters.special_primes, dtype=object))
