"""Encryption at every level and scale, and what decryption refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.ckks.parameters import SECURE, SMALL, UNEVEN, cipher_type, shared_keys

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.types import CkksType
from enclair.runtime.backends.ckks.context import open_context
from enclair.runtime.backends.ckks.secret import make_keys
from enclair.runtime.errors import DecryptionFailed, ValueRangeError
from enclair.runtime.rns.wire import read_ciphertexts, write_ciphertexts


def error_bound(parameters: CkksParameters, scale: float, values: np.ndarray) -> float:
    """Fresh noise, what OpenFHE adds to it, and the rounding of its float64 transform: 9 standard deviations."""
    noise = 3.2 * 2 * np.sqrt(parameters.ring_dim) / scale
    return 9 * noise + 2**-46 * np.abs(values).max()


@pytest.mark.parametrize("parameters", [SMALL, UNEVEN, SECURE], ids=str)
def test_what_is_encrypted_is_decrypted_at_every_level(parameters: CkksParameters) -> None:
    values = np.random.default_rng(1).uniform(-1, 1, (3, parameters.slots))
    for level in range(parameters.levels + 1):
        type_ = cipher_type(parameters, 3, level)
        payload = shared_keys(parameters).encrypt(values, type_)
        assert len(payload) == 3 * parameters.ciphertext_bytes(level)
        error = np.abs(shared_keys(parameters).decrypt(payload, type_) - values).max()
        assert 0 < error < error_bound(parameters, type_.scale, values)


@settings(deadline=None)
@given(
    level=st.integers(0, 3), scale_bits=st.floats(30, 42), magnitude=st.floats(2**-20, 2**6), seed=st.integers(0, 99)
)
def test_any_scale(level: int, scale_bits: float, magnitude: float, seed: int) -> None:
    type_ = cipher_type(SMALL, 1, level, 2.0**scale_bits)
    values = np.random.default_rng(seed).uniform(-magnitude, magnitude, (1, SMALL.slots))
    decrypted = shared_keys(SMALL).decrypt(shared_keys(SMALL).encrypt(values, type_), type_)
    assert np.abs(decrypted - values).max() < error_bound(SMALL, type_.scale, values)


@pytest.mark.parametrize("values", [0.0, 1e-30, 1e-13])
def test_values_too_small_for_the_scale_are_zero(values: float) -> None:
    type_ = cipher_type(SMALL, 1, 2)
    slots = np.full((1, SMALL.slots), values)
    decrypted = shared_keys(SMALL).decrypt(shared_keys(SMALL).encrypt(slots, type_), type_)
    assert np.abs(decrypted).max() < error_bound(SMALL, type_.scale, slots)


def test_slots_keep_their_order() -> None:
    type_ = cipher_type(SMALL, 2, 1)
    values = np.stack([np.arange(SMALL.slots), np.eye(1, SMALL.slots, 5)[0]]) / 128
    decrypted = shared_keys(SMALL).decrypt(shared_keys(SMALL).encrypt(values, type_), type_)
    np.testing.assert_allclose(decrypted, values, atol=1e-8)


def test_no_ciphertexts() -> None:
    type_ = cipher_type(SMALL, 0, 1)
    assert not shared_keys(SMALL).encrypt(np.empty((0, SMALL.slots)), type_)
    assert shared_keys(SMALL).decrypt(b"", type_).shape == (0, SMALL.slots)


def test_two_encryptions_differ() -> None:
    type_ = cipher_type(SMALL, 1, 1)
    values = np.zeros((1, SMALL.slots))
    assert shared_keys(SMALL).encrypt(values, type_) != shared_keys(SMALL).encrypt(values, type_)


@pytest.mark.parametrize("level", [0, 1, 3])
def test_wrong_key_is_noticed(level: int) -> None:
    type_ = cipher_type(SMALL, 1, level)
    payload = make_keys(SMALL).encrypt(np.ones((1, SMALL.slots)), type_)
    with pytest.raises(
        DecryptionFailed, match=r"decrypts to noise: it was made under another key or another program, or"
    ):
        shared_keys(SMALL).decrypt(payload, type_)


@pytest.mark.parametrize("level", [0, 3])
def test_an_altered_residue_is_noticed(level: int) -> None:
    type_ = cipher_type(SMALL, 1, level)
    payload = shared_keys(SMALL).encrypt(np.ones((1, SMALL.slots)), type_)
    primes = SMALL.primes[: level + 1]
    residues = read_ciphertexts(payload, 1, primes, SMALL.ring_dim)
    residues[0][0, 0, 7] ^= np.uint64(2**38)
    altered = write_ciphertexts(residues, primes)
    with pytest.raises(DecryptionFailed, match="decrypts to noise"):
        shared_keys(SMALL).decrypt(altered, type_)


def test_values_that_outgrow_the_modulus_are_not_noticed() -> None:
    """A sum of ciphertexts at level 0 that does not fit the first prime: the compiler's ranges must forbid it."""
    type_ = cipher_type(SMALL, 1, 0)
    values = np.full((1, SMALL.slots), 400.0)
    (residues,) = read_ciphertexts(shared_keys(SMALL).encrypt(values, type_), 1, SMALL.primes[:1], SMALL.ring_dim)
    sums = residues * np.uint64(3) % np.uint64(SMALL.primes[0])
    payload = write_ciphertexts([sums], SMALL.primes[:1])
    wrapped = 1200 - SMALL.primes[0] / type_.scale
    np.testing.assert_allclose(shared_keys(SMALL).decrypt(payload, type_), wrapped, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((1, 127)), r"must be float64 \(1, 128\), got float64 \(1, 127\)"),
        (np.zeros((2, 128)), r"must be float64 \(1, 128\), got float64 \(2, 128\)"),
        (np.zeros((1, 128), dtype=np.float32), r"must be float64 \(1, 128\), got float32"),
        (np.full((1, 128), np.nan), "must be finite and below 512, got nan"),
        (np.full((1, 128), np.inf), "must be finite and below 512, got inf"),
        (
            np.full((1, 128), 513.0),
            r"at level 0 and scale .* must be finite and below 512, got 513.0: check the inputs",
        ),
    ],
)
def test_values_that_cannot_be_encrypted(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueRangeError, match=message):
        shared_keys(SMALL).encrypt(values, cipher_type(SMALL, 1, 0))


@pytest.mark.parametrize("type_", [CkksType(1, 128), CkksType(1, 128, 1, 2.0**40, 3)], ids=str)
def test_types_that_do_not_cross_the_wire(type_: CkksType) -> None:
    with pytest.raises(ValueRangeError, match="at a level and a scale, in two parts, got ckks<1x128"):
        shared_keys(SMALL).encrypt(np.zeros((1, 128)), type_)
    with pytest.raises(ValueRangeError, match="at a level and a scale, in two parts, got ckks<1x128"):
        shared_keys(SMALL).decrypt(b"", type_)


def test_equal_parameters_share_a_context() -> None:
    again = CkksParameters.from_json(SMALL.to_json())
    assert open_context(again) is open_context(SMALL)
