"""The flooding noise is there, uniform, and of the size it should be; the noise bounds are bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.runtime.bfv.algebra import coefficients, noise_of
from tests.runtime.programs import SMALL

import enclair.runtime.backends.bfv.evaluate as evaluate_module
from enclair.compiler.parameters import (
    BfvParameters,
    flood_noise_bits,
    fresh_noise_bits,
    rounding_noise,
    zero_noise_bits,
)
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.ring import open_ring
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.bfv.wire import read_payload
from enclair.runtime.backends.frames import Limbs
from enclair.runtime.backends.interface import Integers
from enclair.runtime.backends.simulated import SimulatedEvaluator, SimulatedKeyHolder
from enclair.runtime.flood import flooding_noise, uniform_integers
from enclair.runtime.limbs.answers import flood_and_drop


@pytest.mark.parametrize("bits", [1, 12, 63, 64, 65, 128, 307])
def test_noise_fills_its_bits(bits: int) -> None:
    words = flooding_noise(bits, 2000).astype(object)
    drawn = [sum(int(word) << 64 * i for i, word in enumerate(column)) for column in words.T]
    assert min(drawn) >= 0
    assert 2**bits * 0.99 - 1 <= max(drawn) < 2**bits


@given(st.integers(1, 2**47).map(lambda half: 2 * half + 1))
def test_uniform_integers_are_in_range(modulus: int) -> None:
    drawn = uniform_integers(modulus, 100)
    assert drawn.shape == (100,)
    assert np.abs(drawn).max() <= (modulus - 1) // 2


def test_uniform_integers_are_uniform() -> None:
    counts = np.bincount(uniform_integers(7, 70_000) + 3, minlength=7)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 40  # chi-square, 6 degrees: beyond with probability 5e-7


def flooded(parameters: BfvParameters, total: Limbs, noise: NDArray[np.uint64]) -> Limbs:
    """The last step of an answer, without an encryption of zero."""
    ring = open_ring(parameters.primes, parameters.ring_dim)
    out = np.empty((2, parameters.ring_dim), dtype=np.uint64)
    flood_and_drop(total, np.zeros_like(total), noise, *ring.drop_tables, out)
    return out


@pytest.mark.parametrize("limbs", [2, 3, 5])
def test_noise_is_added_to_the_first_polynomial(limbs: int) -> None:
    """A ciphertext (0, 0) becomes the noise over the dropped primes, rounded."""
    parameters = replace(SMALL, limbs=limbs)
    bits = flood_noise_bits(parameters)
    noise = flooding_noise(bits, 64)
    out = flooded(parameters, np.zeros((2, limbs, 64), dtype=np.uint64), noise)
    dropped = math.prod(parameters.primes[1:])
    exact = [sum(int(word) << 64 * i for i, word in enumerate(column)) for column in noise.T]
    got = coefficients(parameters, out[:1])
    assert all(abs(g * dropped - e) <= dropped * 0.51 for g, e in zip(got, exact, strict=True))
    assert not out[1].any()


def test_answers_are_flooded(monkeypatch: pytest.MonkeyPatch, keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    """The phase of an answer is off by the noise that was drawn, over the dropped prime."""
    seen: list[NDArray[np.uint64]] = []

    def spy(bits: int, count: int) -> NDArray[np.uint64]:
        seen.append(flooding_noise(bits, count))
        return seen[-1]

    monkeypatch.setattr(evaluate_module, "flooding_noise", spy)
    payload = evaluator.answer(evaluator.load(keys.encrypt(np.ones((4, 64), dtype=np.int64)), 4))
    answers = read_payload(payload, 4, 1, evaluator._residues[0].context.answer)
    assert len(seen) == 4
    dropped, width = SMALL.primes[1], 2 ** flood_noise_bits(SMALL)
    largest = sorted(max(int(low) + (int(high) << 64) for low, high in noise.T) for noise in seen)
    noises = sorted(noise_of(keys, answer[0]) * dropped for answer in answers)
    slack = dropped * rounding_noise(64) + 2**20
    assert all(abs(n - w) <= slack for n, w in zip(noises, largest, strict=True))
    assert all(width / 2 < w < width for w in largest)


def test_answers_are_randomised(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    cipher = evaluator.load(keys.encrypt(np.ones((1, 64), dtype=np.int64)), 1)
    answers = (read_payload(evaluator.answer(cipher), 1, 1, evaluator._residues[0].context.answer) for _ in range(2))
    first, second = (limbs[0, 0, :, 0] for limbs in answers)
    bare = cipher[0, 0, :, 0]
    for left, right in ((first, second), (first, bare)):
        assert (left != right).all(axis=1).all()


def noise_bounds_hold(keys: BfvKeyHolder, evaluator: BfvEvaluator, operate) -> None:
    """Compare the noise of ciphertexts after operations with what the simulated backend says."""
    parameters = keys.parameters
    values = np.random.default_rng(0).integers(-1000, 1000, (3, 64))
    simulated = SimulatedEvaluator(parameters)
    bounds = operate(simulated, simulated.load(SimulatedKeyHolder(parameters).encrypt(values), 3))
    ciphers = operate(evaluator, evaluator.load(keys.encrypt(values), 3))
    for cipher, bound in zip(ciphers, bounds.noise, strict=True):
        for which, part in enumerate(cipher):
            assert noise_of(keys, part, which) <= bound[which]


@given(weights=st.lists(st.integers(-(2**25), 2**25), min_size=3, max_size=3))
@settings(max_examples=10)
def test_scalar_sums_keep_the_bound(crt_keys, crt_evaluator, weights: list[int]) -> None:
    gather, scatter = np.arange(3)[None, None], np.array([[[0]]])

    def operate(evaluator, x):
        return evaluator.linear_combination(x, gather, np.array([[weights]]), scatter, 2)

    noise_bounds_hold(crt_keys, crt_evaluator, operate)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10)
def test_other_operations_keep_the_bound(keys, evaluator, seed: int) -> None:
    vectors: Integers = np.random.default_rng(seed).integers(-(2**20), 2**20, (3, 64))
    rows, cols = np.array([0, 0, 1]), np.array([0, 1, 2])

    def operate(evaluator, x):
        summed = evaluator.slot_combination(x, rows, cols, vectors, 2)
        shifted = evaluator.add_vectors(summed, vectors[:2])
        return evaluator.add(shifted, evaluator.subtract(evaluator.select(x, np.arange(2)), shifted))

    noise_bounds_hold(keys, evaluator, operate)


def test_fresh_bounds_are_within_three_bits(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    fresh = evaluator.load(keys.encrypt(np.zeros((50, 64), dtype=np.int64)), 50)[:, 0]
    (residue,) = evaluator._residues
    encrypted = np.stack([residue.zero() for _ in range(50)])
    for limbs, bits in ((fresh, fresh_noise_bits()), (encrypted, zero_noise_bits(64))):
        most = max(noise_of(keys, part) for part in limbs)
        assert 2 ** (bits - 3) < most < 2**bits
