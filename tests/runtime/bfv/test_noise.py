"""The flooding noise is there, uniform, and of the size it should be; the noise bounds are bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.bfv.algebra import coefficients, noise_of
from tests.runtime.programs import SECURE_4096, SECURE_8192, SMALL, SMALL_CRT

import enclair.runtime.backends.bfv.evaluate as evaluate_module
from enclair.compiler.parameters import flood_noise_bits, fresh_noise_bits, zero_noise_bits
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.noise import open_noise
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.interface import Integers
from enclair.runtime.backends.simulated import SimulatedEvaluator, SimulatedKeyHolder
from enclair.runtime.flood import flood_digits, uniform_integers

PARAMETERS = [SMALL, SMALL_CRT, replace(SMALL, limbs=3), SECURE_4096, SECURE_8192]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_digits_fill_the_room(parameters) -> None:
    width = flood_digits(parameters).width
    assert 2 ** flood_noise_bits(parameters) * 0.999 < width <= 2 ** flood_noise_bits(parameters)


@given(st.integers(1, 2**47).map(lambda half: 2 * half + 1))
def test_uniform_integers_are_in_range(modulus: int) -> None:
    drawn = uniform_integers(modulus, 100)
    assert drawn.shape == (100,)
    assert np.abs(drawn).max() <= (modulus - 1) // 2


def test_uniform_integers_are_uniform() -> None:
    counts = np.bincount(uniform_integers(7, 70_000) + 3, minlength=7)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 40  # chi-square, 6 degrees: beyond with probability 5e-7


def test_noise_is_one_small_polynomial_in_every_limb() -> None:
    noise = open_noise(SMALL)
    drawn = np.array([c / noise.digits.width for _ in range(40) for c in coefficients(SMALL, noise.sample())])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, bins=8, range=(0, 1))[0]
    assert ((counts - 320) ** 2 / 320).sum() < 45  # chi-square, 7 degrees: beyond with probability 1e-7


def test_answers_are_flooded(monkeypatch: pytest.MonkeyPatch, keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    seen: list[int] = []
    read = evaluate_module.Context.read_ciphertext

    def spy(self, limbs, tag):
        seen.append(noise_of(keys, limbs))
        return read(self, limbs, tag)

    ciphers = evaluator.load(keys.encrypt(np.ones((4, 64), dtype=np.int64)), 4)
    monkeypatch.setattr(evaluate_module.Context, "read_ciphertext", spy)
    evaluator.answer(ciphers)
    width = flood_digits(SMALL).width
    assert len(seen) == 4
    assert all(width / 2 < noise < width + 2**13 for noise in seen)


def test_answers_are_randomised(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    cipher = evaluator.load(keys.encrypt(np.ones((1, 64), dtype=np.int64)), 1)
    first, second = (np.frombuffer(evaluator.answer(cipher), dtype=np.uint64).reshape(2, 64) for _ in range(2))
    bare = np.frombuffer(evaluator.dump(cipher), dtype=np.uint64).reshape(2, 2, 64)[:, 0]
    for left, right in ((first, second), (first, bare)):
        assert (left != right).all(axis=1).all()


def noise_bounds_hold(keys: BfvKeyHolder, evaluator: BfvEvaluator, operate) -> None:
    """Compare the noise of ciphertexts after operations with what the simulated backend says."""
    parameters = keys.parameters
    values = np.random.default_rng(0).integers(-1000, 1000, (3, 64))
    simulated = SimulatedEvaluator(parameters)
    bounds = operate(simulated, simulated.load(SimulatedKeyHolder(parameters).encrypt(values), 3))
    ciphers = operate(evaluator, evaluator.load(keys.encrypt(values), 3))
    shape = (len(ciphers), len(parameters.plaintext_moduli), 2, parameters.limbs, 64)
    limbs = np.frombuffer(evaluator.dump(ciphers), dtype=np.uint64).reshape(shape)
    for cipher, bound in zip(limbs, bounds, strict=True):
        for which, part in enumerate(cipher):
            assert noise_of(keys, part, which) <= bound.noise[which]


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
        return evaluator.add(shifted, evaluator.subtract(x[:2], shifted))

    noise_bounds_hold(keys, evaluator, operate)


def test_fresh_bounds_are_within_three_bits(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    payload = keys.encrypt(np.zeros((50, 64), dtype=np.int64))
    fresh = np.frombuffer(payload, dtype=np.uint64).reshape(50, 2, 2, 64)
    (residue,) = evaluator._residues
    encrypted = np.stack([residue.context.write_ciphertext(residue.zero()) for _ in range(50)])
    for limbs, bits in ((fresh, fresh_noise_bits()), (encrypted, zero_noise_bits(64))):
        most = max(noise_of(keys, part) for part in limbs)
        assert 2 ** (bits - 3) < most < 2**bits
