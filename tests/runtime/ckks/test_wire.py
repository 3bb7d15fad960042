"""Bytes that are not what they should be are refused before anything is computed with them."""

from __future__ import annotations

import numpy as np
import openfhe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.ckks.parameters import SMALL, UNEVEN, cipher_type, shared_keys

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import NO_KEYS, KeyNeeds
from enclair.runtime.backends.ckks import context as context_module
from enclair.runtime.backends.ckks.answers import AnsweringEvaluator
from enclair.runtime.backends.ckks.context import check_small, open_context, prove_round_trip
from enclair.runtime.backends.ckks.wire import (
    key_id_of,
    packed_keys,
    read_evaluation_keys,
    read_public_key,
    registration_bytes,
)
from enclair.runtime.errors import OpenFheError, PayloadError
from enclair.runtime.rns.wire import ciphertext_rows, read_ciphertexts, write_ciphertexts

NEEDS = KeyNeeds((3, 7), relinearise=True)
LOW = KeyNeeds((3, 7), relinearise=True, levels=(2, 0, 1))


@settings(deadline=None)
@given(level=st.integers(0, 4), parts=st.integers(2, 3), count=st.integers(0, 3), seed=st.integers(0, 99))
def test_ciphertexts_come_back(level: int, parts: int, count: int, seed: int) -> None:
    primes, rng = UNEVEN.primes[: level + 1], np.random.default_rng(seed)
    limits = np.array(primes, dtype=np.uint64)[:, None]
    words = [rng.integers(0, limits, (parts, level + 1, 256), dtype=np.uint64) for _ in range(count)]
    payload = write_ciphertexts(words, primes)
    assert len(payload) == count * UNEVEN.ciphertext_bytes(level, parts)
    again = read_ciphertexts(payload, count, primes, 256, parts)
    assert all(np.array_equal(one, other) for one, other in zip(words, again, strict=True))
    unaligned = memoryview(b"123" + payload)[3:]
    assert all(map(np.array_equal, words, read_ciphertexts(unaligned, count, primes, 256, parts)))


@pytest.mark.parametrize("change", [-1, 1, -8, 8])
def test_ciphertexts_of_another_length(change: int) -> None:
    type_ = cipher_type(SMALL, 2, 1)
    payload = shared_keys(SMALL).encrypt(np.zeros((2, 128)), type_)
    size = len(payload)
    with pytest.raises(
        PayloadError,
        match=rf"2 times a ciphertext of level 1 needs {size} bytes, got {size + change}: the message is of an",
    ):
        shared_keys(SMALL).decrypt(payload[:change] if change < 0 else bytes(payload) + bytes(change), type_)


@pytest.mark.parametrize("limb", [0, 1, 2, 3])
@pytest.mark.parametrize("part", [0, 1])
def test_residues_that_are_not_below_their_prime(part: int, limb: int) -> None:
    type_ = cipher_type(SMALL, 1, 3)
    words = read_ciphertexts(shared_keys(SMALL).encrypt(np.zeros((1, 128)), type_), 1, SMALL.primes, 256)
    words[0][part, limb, 17] = SMALL.primes[limb]
    payload = write_ciphertexts(words, SMALL.primes)
    with pytest.raises(PayloadError, match="a residue of a ciphertext of level 3 is not below its prime: the bytes"):
        shared_keys(SMALL).decrypt(payload, type_)
    with pytest.raises(PayloadError, match="is not below its prime"):
        AnsweringEvaluator(SMALL, NO_KEYS, shared_keys(SMALL).public_key()).load(payload, type_)


def test_bits_that_fill_up_a_row_must_be_zero() -> None:
    """At N = 16 a row of 41 bits takes 11 words with 48 bits to spare."""
    parameters = CkksParameters(16, 1, 40, 50, 1, SMALL.security)
    rows = ciphertext_rows(parameters.primes, 16)
    payload = bytearray(parameters.ciphertext_bytes(1))
    payload[8 * rows.places[2] - 1] = 1
    with pytest.raises(PayloadError, match="not below its prime"):
        read_ciphertexts(payload, 1, parameters.primes, 16)


@pytest.mark.parametrize("needs", [NO_KEYS, KeyNeeds((3,)), KeyNeeds((3, 7)), NEEDS, LOW], ids=str)
@pytest.mark.parametrize("parameters", [SMALL, UNEVEN], ids=str)
def test_keys_are_as_long_as_the_parameters_say(parameters: CkksParameters, needs: KeyNeeds) -> None:
    public_key = shared_keys(parameters, needs).public_key()
    assert len(public_key) == registration_bytes(parameters, needs)
    sizes = map(parameters.key_bytes_at, needs.key_levels(parameters.levels))
    assert len(public_key) == parameters.public_key_bytes + sum(sizes)
    keys = read_evaluation_keys(public_key, parameters, needs)
    assert tuple(keys.rotations) == needs.rotations
    assert (keys.relinearisation is not None) == needs.relinearise
    assert keys.key_id == shared_keys(parameters, needs).key_id


def test_key_ids_name_the_public_key() -> None:
    public_key = bytearray(shared_keys(SMALL, NEEDS).public_key())
    name = key_id_of(public_key, SMALL)
    assert name == key_id_of(public_key[: SMALL.public_key_bytes], SMALL)
    public_key[50] ^= 1
    assert name != key_id_of(public_key, SMALL)


def test_keys_for_other_needs() -> None:
    public_key = shared_keys(SMALL, NEEDS).public_key()
    size = registration_bytes(SMALL, KeyNeeds((3,)))
    with pytest.raises(
        PayloadError, match=rf"with 1 evaluation keys has {size} bytes, got .*: make keys for this prog"
    ):
        AnsweringEvaluator(SMALL, KeyNeeds((3,)), public_key)


def test_a_tag_that_is_none() -> None:
    public_key = b"Z" * 32 + bytes(shared_keys(SMALL).public_key())[32:]
    with pytest.raises(PayloadError, match=r"a key tag is 32 hex digits, got b'ZZZ"):
        AnsweringEvaluator(SMALL, NO_KEYS, public_key)


def test_a_public_key_with_a_residue_that_is_not_below_its_prime() -> None:
    public_key = bytearray(shared_keys(SMALL).public_key())
    public_key[32:48] = b"\xff" * 16
    with pytest.raises(PayloadError, match="a residue of a public key is not below its prime"):
        read_public_key(public_key, SMALL)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("place", [0, -1])
def test_an_evaluation_key_with_a_residue_that_is_not_below_its_prime(number: int, place: int) -> None:
    public_key = bytearray(shared_keys(SMALL, NEEDS).public_key())
    packed_keys(public_key, SMALL, NEEDS)[number][place] = np.uint64(2**64 - 1)
    with pytest.raises(PayloadError, match="a residue of an evaluation key is not below its prime"):
        dict(read_evaluation_keys(public_key, SMALL, NEEDS).rotations)


def test_answers_are_made_anew() -> None:
    """The same ciphertexts answered twice differ in both parts, and decrypt to the same."""
    keys, type_ = shared_keys(SMALL), cipher_type(SMALL, 2, 1)
    evaluator = AnsweringEvaluator(SMALL, NO_KEYS, keys.public_key())
    values = np.random.default_rng(0).uniform(-1, 1, (2, 128))
    x = evaluator.load(keys.encrypt(values, type_), type_)
    answers = [evaluator.answer(x) for _ in range(2)]
    one, other = (read_ciphertexts(answer, 2, SMALL.primes[:2], 256) for answer in answers)
    assert all((a != b).mean() > 0.99 for a, b in zip(one, other, strict=True))
    for answer in answers:
        np.testing.assert_allclose(keys.decrypt(answer, type_), values, atol=1e-7)


def test_an_answer_at_the_top_level() -> None:
    keys, type_ = shared_keys(SMALL), cipher_type(SMALL, 1, 3)
    evaluator = AnsweringEvaluator(SMALL, NO_KEYS, keys.public_key())
    values = np.ones((1, 128))
    answer = evaluator.answer(evaluator.load(keys.encrypt(values, type_), type_))
    np.testing.assert_allclose(keys.decrypt(answer, type_), values, atol=1e-6)


def test_an_object_that_does_not_come_back() -> None:
    context = open_context(SMALL)
    frame = context.frame(1)
    with pytest.raises(OpenFheError, match=r"OpenFHE did not read a ciphertext of level 1 as it was written: use Ope"):
        prove_round_trip(frame, context.read_ciphertext, lambda _: np.zeros(frame.shape, dtype=np.uint64))


def test_points_of_another_root() -> None:
    limbs = np.random.default_rng(0).integers(0, 2**30, (4, 256), dtype=np.uint64)
    with pytest.raises(OpenFheError, match=r"OpenFHE evaluates polynomials at other points than expected: use OpenFHE"):
        check_small(SMALL.primes, limbs, 2)


def test_parameters_that_openfhe_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("too deep")

    monkeypatch.setattr(openfhe, "GenCryptoContext", refuse)
    with pytest.raises(OpenFheError, match=r'OpenFHE makes no context of \{"digits":2.*: too deep'):
        context_module._make_scheme(SMALL)
