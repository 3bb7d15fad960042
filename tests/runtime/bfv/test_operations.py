"""Operations on ciphertexts equal exact integers modulo the plaintext modulus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.programs import SECURE_4096, SECURE_8192, SMALL

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.keys import generate_keys
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.interface import Integers
from enclair.runtime.backends.simulated import SimulatedEvaluator, SimulatedKeyHolder
from enclair.runtime.errors import ValueRangeError

SEEDS = st.integers(0, 2**32)
SIDES = ["one", "crt"]


@pytest.fixture(scope="session", params=SIDES)
def side(request: pytest.FixtureRequest) -> tuple[BfvKeyHolder, BfvEvaluator]:
    prefix = "" if request.param == "one" else "crt_"
    return request.getfixturevalue(f"{prefix}keys"), request.getfixturevalue(f"{prefix}evaluator")


def both(keys: BfvKeyHolder, evaluator: BfvEvaluator, values: Integers, operate) -> tuple[Integers, Integers]:
    """Decrypted results of the operations on ciphertexts, and what the simulated backend gives."""
    encrypted = operate(evaluator, evaluator.load(keys.encrypt(values), len(values)))
    holder, simulated = SimulatedKeyHolder(keys.parameters), SimulatedEvaluator(keys.parameters)
    expected = operate(simulated, simulated.load(holder.encrypt(values), len(values)))
    count = simulated.count(expected)
    return keys.decrypt(evaluator.answer(encrypted), count), holder.decrypt(simulated.dump(expected), count)


def draw_values(rng: np.random.Generator, parameters: BfvParameters, count: int) -> Integers:
    largest = parameters.largest_value
    values = rng.integers(-largest, largest + 1, (count, parameters.slots))
    values[0, :2] = largest, -largest
    return values


def draw_tables(rng: np.random.Generator, count: int, largest: int) -> tuple[Integers, Integers, Integers]:
    """Gather, weights and scatter of two groups, with gaps, repeated and extreme weights."""
    gather = rng.integers(-1, count, (2, 3, 4))
    weights = rng.choice([0, 1, -1, 7, -7, largest, -largest], (2, 2, 4))
    scatter = rng.permutation(14)[:12].reshape(2, 2, 3)
    scatter[0, 0, 0] = -1
    return gather, weights, scatter


@given(seed=SEEDS)
@settings(max_examples=10)
def test_sums_with_scalars(side, seed: int) -> None:
    keys, evaluator = side
    rng = np.random.default_rng(seed)
    tables = draw_tables(rng, 5, 2**20)
    values = draw_values(rng, keys.parameters, 5)
    encrypted, expected = both(keys, evaluator, values, lambda e, x: e.linear_combination(x, *tables, 15))
    np.testing.assert_array_equal(encrypted, expected)


@given(seed=SEEDS)
@settings(max_examples=10)
def test_other_operations(side, seed: int) -> None:
    keys, evaluator = side
    rng, largest = np.random.default_rng(seed), keys.parameters.largest_value
    values = draw_values(rng, keys.parameters, 4)
    summands = rng.integers(-largest, largest + 1, (4, 64))
    summands[1] = 0
    constants = rng.integers(-largest, largest + 1, (4, 1))

    def operate(e, x):
        shifted = e.add_vectors(e.add_vectors(x, summands), constants)
        return e.subtract(e.add(x, shifted), e.select(x, np.arange(4)[::-1]))

    encrypted, expected = both(keys, evaluator, values, operate)
    np.testing.assert_array_equal(encrypted, expected)


@given(seed=SEEDS)
@settings(max_examples=10)
def test_sums_with_vectors(side, seed: int) -> None:
    keys, evaluator = side
    rng, largest = np.random.default_rng(seed), keys.parameters.largest_value
    values = draw_values(rng, keys.parameters, 3)
    vectors = rng.integers(-largest, largest + 1, (5, 64))
    vectors[1] = vectors[0]
    vectors[2] = -1
    rows, cols = np.array([0, 0, 1, 1, 3]), rng.integers(0, 3, 5)
    encrypted, expected = both(keys, evaluator, values, lambda e, x: e.slot_combination(x, rows, cols, vectors, 4))
    np.testing.assert_array_equal(encrypted, expected)


@pytest.mark.parametrize("parameters", [SECURE_4096, SECURE_8192], ids=lambda p: f"N={p.ring_dim}")
def test_sums_at_secure_sizes(parameters: BfvParameters) -> None:
    keys = generate_keys(parameters)
    rng = np.random.default_rng(1)
    values = rng.integers(-(2**12), 2**12, (6, parameters.slots))
    gather, scatter = np.stack([np.arange(6), np.arange(6)[::-1]])[None], np.arange(8).reshape(1, 4, 2)
    weights = rng.integers(-(2**9), 2**9, (1, 4, 6))

    def operate(e, x):
        return e.linear_combination(x, gather, weights, scatter, 9)

    encrypted, expected = both(keys, BfvEvaluator(parameters, keys.public_key()), values, operate)
    np.testing.assert_array_equal(encrypted, expected)
    np.testing.assert_array_equal(encrypted[:8:2], weights[0] @ values)


def test_more_weights_than_are_encoded_at_once(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    values = draw_values(np.random.default_rng(0), keys.parameters, 200)
    weights = np.arange(-100, 100)[None, None]
    tables = (np.arange(200)[None, None], weights, np.array([[[0]]]))
    encrypted, expected = both(keys, evaluator, values, lambda e, x: e.linear_combination(x, *tables, 1))
    np.testing.assert_array_equal(encrypted, expected)


def test_weights_that_vanish_modulo_one_prime(crt_keys: BfvKeyHolder, crt_evaluator: BfvEvaluator) -> None:
    values = np.arange(64)[None]
    weights = np.array([[[crt_keys.parameters.plaintext_moduli[0]]]])
    tables = (np.array([[[0]]]), weights, np.array([[[0]]]))
    encrypted, _ = both(crt_keys, crt_evaluator, values, lambda e, x: e.linear_combination(x, *tables, 1))
    np.testing.assert_array_equal(encrypted[0], values[0] * weights[0, 0, 0])


def test_nothing_to_do(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    assert keys.encrypt(np.empty((0, 64), dtype=np.int64)) == b""
    nothing = evaluator.load(b"", 0)
    assert evaluator.count(nothing) == 0
    assert evaluator.answer(nothing) == b""
    assert keys.decrypt(b"", 0).shape == (0, 64)


def test_integers_that_bfv_would_wrap(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    too_large, nothing = np.full((1, 64), SMALL.largest_value + 1), evaluator.load(b"", 0)
    with pytest.raises(
        ValueRangeError, match=r"a value to encrypt must lie within \+-\d+, half the plaintext modulus, got"
    ):
        keys.encrypt(too_large)
    with pytest.raises(
        ValueRangeError, match=r"a summand must lie within .* at \(0, 0\): compile with a larger modulus"
    ):
        evaluator.add_vectors(nothing, too_large)
    one = np.zeros((1, 1, 1), dtype=np.int64)
    with pytest.raises(ValueRangeError, match="a weight must lie within"):
        evaluator.linear_combination(nothing, one, one - SMALL.largest_value - 1, one, 1)
    with pytest.raises(ValueRangeError, match="a factor must lie within"):
        evaluator.slot_combination(nothing, one[0, 0], one[0, 0], too_large, 1)


def test_values_of_another_type_or_shape(keys: BfvKeyHolder) -> None:
    with pytest.raises(
        ValueRangeError, match="a value to encrypt must be int64, got float64: round to fixed point first"
    ):
        keys.encrypt(np.full((1, 64), np.nan))
    with pytest.raises(ValueRangeError, match=r"must have shape \(2, 64\), \(ciphertexts, slots\), got \(2, 32\)"):
        keys.encrypt(np.zeros((2, 32), dtype=np.int64))
