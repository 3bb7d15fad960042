from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.programs import SMALL, SMALL_CRT

from enclair.compiler.ir.ops.packed import LinearCombination, SlotCombination
from enclair.compiler.parameters import fresh_noise_bits, slot_vector_bits, sum_room_bits
from enclair.runtime.backends.clear import ClearEvaluator
from enclair.runtime.backends.evaluators import make_evaluator
from enclair.runtime.backends.exact import polynomial_sums, scalar_sums, vector_sums
from enclair.runtime.backends.integers import centred, from_residues
from enclair.runtime.backends.key_holders import make_key_holder
from enclair.runtime.backends.simulated import SimulatedEvaluator, SimulatedKeyHolder, wrap
from enclair.runtime.errors import NoiseExhausted, PayloadError, RuntimeFailure, ValueRangeError

ONE = np.zeros((1, 1, 1), dtype=np.int64)
SLOTS = SMALL.slots
SEEDS = st.integers(0, 2**32)


def draw(seed: int, magnitude: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(-magnitude, magnitude + 1, (count, SLOTS))


@given(SEEDS, st.integers(0, 2**61), st.integers(0, 2**61))
def test_sums_are_exact_whatever_their_size(seed: int, values: int, weights: int) -> None:
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(0, 4, 6), rng.integers(0, 5, 6)
    gather, scatter = cols.reshape(2, 1, 3), rng.permutation(6)[:2].reshape(2, 1, 1)
    x, scalars, vectors = draw(seed, values), rng.integers(-weights, weights + 1, 6), draw(seed + 1, weights, 6)
    expected = np.zeros((2, 6, SLOTS), dtype=object)
    for number, (row, col, vector) in enumerate(zip(rows, cols, vectors, strict=True)):
        expected[0, scatter[number // 3, 0, 0]] += int(scalars[number]) * x[col].astype(object)
        expected[1, row] += vector.astype(object) * x[col].astype(object)
    assert (scalar_sums(x, gather, scalars.reshape(2, 1, 3), scatter, 6) == expected[0]).all()
    assert (vector_sums(x, rows, cols, vectors, 6) == expected[1]).all()


@given(SEEDS)
def test_clear_is_what_the_ops_mean(seed: int) -> None:
    rng, x = np.random.default_rng(seed), draw(seed, 1000)
    gather, weights = rng.integers(-1, 5, (2, 3, 4)), rng.integers(-9, 10, (2, 2, 4))
    scatter = rng.permutation(13)[:12].reshape(2, 2, 3)
    rows, cols, vectors = np.array([0, 0, 2]), rng.integers(0, 5, 3), draw(seed, 9, 3)
    evaluator = ClearEvaluator(SMALL)
    sums = evaluator.linear_combination(x, gather, weights, scatter, 13)
    np.testing.assert_array_equal(sums, LinearCombination(13).evaluate(x, gather, weights, scatter))
    products = evaluator.slot_combination(x, rows, cols, vectors, 3)
    np.testing.assert_array_equal(products, SlotCombination(3).evaluate(x, rows, cols, vectors))


@given(SEEDS, st.sampled_from([1, 2, 8, SLOTS]), st.integers(0, 61), st.integers(0, 61))
def test_polynomials_are_exact_whatever_their_size(seed: int, blocks: int, values: int, weights: int) -> None:
    rng = np.random.default_rng(seed)
    x, factors = draw(seed, 2**values, 4), rng.integers(-(2**weights), 2**weights + 1, (3, 2, blocks))
    expected = np.zeros((2, 3, SLOTS), dtype=object)
    for chunk, o, k, power, c in np.ndindex(2, 3, 2, blocks, SLOTS):
        place = c + power * (SLOTS // blocks)
        sign = -1 if place >= SLOTS else 1
        expected[chunk, o, place % SLOTS] += sign * int(factors[o, k, power]) * int(x[2 * chunk + k, c])
    assert (polynomial_sums(x, factors, np.arange(blocks), blocks, 2) == expected.reshape(6, SLOTS)).all()
    simulated = SimulatedEvaluator(SMALL)
    half = SMALL.largest_value
    batch = simulated.load(SimulatedKeyHolder(SMALL).encrypt(np.clip(x, -half, half)), 4)
    if np.abs(factors).max() <= half and np.abs(x).max() <= half:
        got = simulated.polynomial_combination(batch, factors, np.arange(blocks), blocks, 2)
        assert ((got.slots - expected.reshape(6, SLOTS)) % SMALL.modulus == 0).all()
        grown = 2 ** fresh_noise_bits() * np.tile(np.abs(factors).sum(axis=(1, 2)), 2)
        np.testing.assert_allclose(got.noise[:, 0], grown)


@pytest.mark.parametrize("backend", ["clear", "simulated"])
def test_what_is_not_held_is_hidden(backend: str) -> None:
    keys, evaluator = make_key_holder(backend, SMALL), make_evaluator(backend, SMALL, b"")
    values, unheld = draw(0, 1000), np.random.default_rng(0).random((5, SLOTS)) < 0.5
    hidden = evaluator.hide(evaluator.load(keys.encrypt(values), 5), unheld)
    got = keys.decrypt(evaluator.dump(hidden), 5)
    np.testing.assert_array_equal(got[~unheld], values[~unheld])
    assert np.abs(got[unheld]).max() > SMALL.largest_value / 2


@pytest.mark.parametrize("backend", ["clear", "simulated"])
def test_batches(backend: str) -> None:
    keys, evaluator = make_key_holder(backend, SMALL), make_evaluator(backend, SMALL, b"")
    values = draw(0, 1000)
    x = evaluator.load(keys.encrypt(values), 5)
    first, nothing, last = evaluator.split(x, [2, 0, 3])
    assert [evaluator.count(part) for part in (first, nothing, last)] == [2, 0, 3]
    joined = evaluator.select(evaluator.concat([last, first]), np.array([4, 0]))
    np.testing.assert_array_equal(keys.decrypt(evaluator.dump(joined), 2), values[[1, 2]])


def test_clear_refuses_what_it_cannot_hold() -> None:
    evaluator, large = ClearEvaluator(SMALL), draw(0, 0) + 2**61
    for attempt in (
        lambda: evaluator.add(large, large),
        lambda: evaluator.subtract(large, -large),
        lambda: evaluator.add_vectors(large, large),
        lambda: evaluator.linear_combination(large, ONE, ONE + 2, ONE, 1),
        lambda: evaluator.slot_combination(large, ONE[0, 0], ONE[0, 0], draw(0, 0, 1) + 2, 1),
        lambda: evaluator.polynomial_combination(large, np.full((1, 5, 2), 2), np.arange(2), 2, 1),
    ):
        with pytest.raises(ValueRangeError, match="a sum of the server does not fit 62 bits: compile with fewer bits"):
            attempt()


@pytest.mark.parametrize("backend", ["clear", "simulated"])
def test_payloads(backend: str) -> None:
    keys, evaluator = make_key_holder(backend, SMALL), make_evaluator(backend, SMALL, b"")
    values = draw(0, 1000, 3)
    payload = keys.encrypt(values)
    assert evaluator.dump(evaluator.load(payload, 3)) == payload
    np.testing.assert_array_equal(keys.decrypt(evaluator.answer(evaluator.load(payload, 3)), 3), values)
    assert keys.decrypt(b"", 0).shape == (0, SLOTS)
    with pytest.raises(PayloadError, match=r"2 .* need \d+ bytes, got"):
        evaluator.load(payload, 2)
    with pytest.raises(ValueRangeError, match="must be int64, got float64"):
        keys.encrypt(values * 1.0)
    assert (keys.key_id, keys.public_key()) == (evaluator.key_id, b"")


def test_unknown_backends() -> None:
    for make in (lambda: make_evaluator("tfhe", SMALL, b""), lambda: make_key_holder("tfhe", SMALL)):
        with pytest.raises(RuntimeFailure, match="the backends are clear, simulated, bfv, got 'tfhe'"):
            make()


@given(SEEDS)
def test_simulated_wraps_like_bfv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weights = draw(seed, SMALL.largest_value), rng.integers(-1000, 1000, (1, 3, 5))
    keys, evaluator = SimulatedKeyHolder(SMALL), SimulatedEvaluator(SMALL)
    tables = (np.arange(5)[None, None], weights, np.arange(3)[None, :, None])
    sums = evaluator.linear_combination(evaluator.load(keys.encrypt(x), 5), *tables, 3)
    exact = weights[0].astype(object) @ x.astype(object)
    got = keys.decrypt(evaluator.answer(sums), 3)
    assert ((got - exact) % SMALL.modulus == 0).all()
    assert np.abs(got).max() <= SMALL.largest_value


@given(st.integers(-(2**200), 2**200), st.sampled_from([SMALL.modulus, SMALL_CRT.modulus]))
def test_wrap_is_centred(value: int, modulus: int) -> None:
    (wrapped,) = wrap(np.array([value], dtype=object), modulus)
    assert (value - int(wrapped)) % modulus == 0
    assert abs(int(wrapped)) <= modulus // 2


@given(st.data())
def test_residues_say_the_value(data: st.DataObject) -> None:
    moduli = data.draw(
        st.permutations(data.draw(st.sampled_from([(97,), (2**40 + 15, 193), SMALL_CRT.plaintext_moduli])))
    )
    half = math.prod(moduli) // 2
    values = np.array(data.draw(st.lists(st.integers(-half, half), min_size=1)), dtype=np.int64)
    np.testing.assert_array_equal(from_residues([centred(values, t) for t in moduli], moduli), values)


def test_noise_is_counted() -> None:
    keys, evaluator = SimulatedKeyHolder(SMALL), SimulatedEvaluator(SMALL)
    x = evaluator.load(keys.encrypt(draw(0, 10, 1)), 1)
    fresh, vector = 2 ** fresh_noise_bits(), 2 ** slot_vector_bits(SMALL)
    tables = (np.zeros((1, 1, 2), dtype=np.int64), np.array([[[3, -5]]]), ONE)
    sums = evaluator.linear_combination(x, *tables, 2)
    assert sums.noise[0, 0] == pytest.approx(8 * fresh)
    assert sums.noise[1, 0] == 0
    assert evaluator.add(sums, sums).noise[0, 0] == pytest.approx(16 * fresh)
    assert evaluator.add_vectors(x, draw(0, 1, 1)).noise[0, 0] == pytest.approx(fresh + 1)
    rows = np.array([0, 0])
    assert evaluator.slot_combination(x, rows, rows, draw(0, 1, 2), 1).noise[0, 0] == pytest.approx(2 * fresh * vector)


def test_noise_that_leaves_no_room() -> None:
    parameters = replace(SMALL, flood_bits=50)
    keys, evaluator = SimulatedKeyHolder(parameters), SimulatedEvaluator(parameters)
    x = evaluator.load(keys.encrypt(draw(0, 10, 1)), 1)
    room = math.floor(sum_room_bits(parameters))
    evaluator.answer(evaluator.linear_combination(x, ONE, ONE + 2**room, ONE, 1))
    assert 0 <= evaluator.room_left_bits < 1
    with pytest.raises(
        NoiseExhausted,
        match=r"the noise of answer 0 may reach 2\^\d+\.\d; the flooding noise, 2\^\d+, must be 50 bits above it,"
        r" 0\.\d bits are missing: compile with more limbs, a larger ring, or fewer bits for weights",
    ):
        evaluator.answer(evaluator.linear_combination(x, ONE, ONE + 2 ** (room + 1), ONE, 1))
