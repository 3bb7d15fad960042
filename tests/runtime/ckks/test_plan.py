"""What the plan of a linear transform makes, and chooses."""

import numpy as np
import pytest

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.runtime.backends.ckks.plan import Sizes, make_plan
from enclair.runtime.errors import RuntimeFailure
from enclair.runtime.rns.keys import KEY_MARGIN, open_ring
from enclair.runtime.rns.ring import SPECIAL_MARGIN

SIZES = Sizes(slots=512, limbs=4, special=3, constant=False)


def dense(outputs: int, inputs: int, taps: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    rows, cols, which = (table.reshape(-1) for table in np.indices((outputs, inputs, taps)))
    return (rows, cols, which, which), np.random.default_rng(0).normal(size=rows.size)


def test_equal_plaintexts_are_made_once() -> None:
    zero, two = np.zeros(4, dtype=np.int64), np.array([0, 0, 1, 1])
    tables, weights = (two, zero, np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1])), np.array([1.0, 2.0, 1.0, 3.0])
    plan = make_plan(tables, weights, 2, 0, SIZES)
    assert [blend.terms for blend in plan.blends] == [((0, 1.0),), ((1, 2.0),), ((1, 3.0),)]
    assert plan.babies == ((0, 0), (0, 1))
    assert plan.rotations == {0, 1}


def test_vectors_are_turned_by_their_giant_step() -> None:
    tables = tuple(np.array([i]) for i in (0, 0, 9, 0))
    plan = make_plan(tables, np.array([2.0]), 1, 4, SIZES)
    assert (plan.babies, plan.rotations, plan.places) == (((0, 1),), {1, 8}, [(0, 8)])
    vector = np.arange(512.0)
    np.testing.assert_array_equal(plan.blends[0].vector(vector[None]), np.roll(2 * vector, 8))


def test_weights_are_apart_from_vectors_where_the_op_says_so() -> None:
    tables, weights = dense(16, 16, 9)
    together = make_plan(tables, weights, 16, 0, SIZES)
    apart = make_plan(tables, weights, 16, 0, SIZES, 2.0**16)
    assert (together.products, len(together.blends), together.weighted, together.weight_scale) == (2304, 2304, (), 1.0)
    assert (apart.products, len(apart.blends), apart.sums, apart.weight_scale) == (144, 9, (), 2.0**16)
    assert (apart.babies, apart.rotations) == (together.babies, together.rotations)
    (sums,) = apart.weighted
    assert np.abs(sums.weights).sum() == pytest.approx(2.0**16 * np.abs(weights).sum(), rel=1e-4)


def test_weights_too_large_for_exact_sums() -> None:
    with pytest.raises(RuntimeFailure, match=r"add up to less than 268435456, got \d+ at giant step 0: compile again"):
        make_plan(*dense(16, 16, 9), 16, 0, SIZES, 2.0**26)


@pytest.mark.parametrize(("outputs", "inputs", "extended"), [(1, 4, True), (16, 1, False)])
def test_what_costs_less_is_brought_down(outputs: int, inputs: int, extended: bool) -> None:
    """The results where they are few, the rotated inputs where these are."""
    plan = make_plan(*dense(outputs, inputs, 3), outputs, 0, SIZES)
    assert plan.extended == extended


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
