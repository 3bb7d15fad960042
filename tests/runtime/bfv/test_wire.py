"""Bytes from outside reach OpenFHE only as checked residues in a frame made here."""

from __future__ import annotations

import struct

import numpy as np
import openfhe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.programs import SECURE_4096, SMALL, SMALL_CRT

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends import releases
from enclair.runtime.backends.bfv import context as context_module
from enclair.runtime.backends.bfv.context import open_contexts
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.secret import BfvKeyHolder, make_keys
from enclair.runtime.backends.bfv.wire import object_bytes
from enclair.runtime.backends.frames import check_tag, find_frame
from enclair.runtime.errors import OpenFheError, PayloadError
from enclair.runtime.limbs.packing import pack, row_words, unpack

PRIMES = np.array(SMALL.primes, dtype=np.uint64)
VALUES = np.arange(-64, 64).reshape(2, 64)


@given(data=st.data())
@settings(max_examples=20)
def test_any_residues_come_back(evaluator: BfvEvaluator, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32))
    limbs = np.random.default_rng(seed).integers(0, PRIMES[:, None], (3, 1, 2, 2, 64), dtype=np.uint64)
    limbs[0, 0, 0, :, 0] = PRIMES - 1
    np.testing.assert_array_equal(evaluator.load(evaluator.dump(limbs), 3), limbs)


@given(seed=st.integers(0, 2**32), size=st.sampled_from([16, 32, 64]), bits=st.integers(30, 60))
def test_packed_residues_come_back(seed: int, size: int, bits: int) -> None:
    """The bytes are one number, residue after residue; bits beyond the last residue must be zero."""
    primes = np.array([2**bits - 1, 2 ** (bits - 1) + 1], dtype=np.uint64)
    rows = np.random.default_rng(seed).integers(0, primes[:, None], (2, size), dtype=np.uint64)
    rows[:, -1] = primes - 1
    packed, again = np.zeros((2, row_words(size, bits)), dtype=np.uint64), np.empty_like(rows)
    pack(rows, bits, packed)
    for row, words in zip(rows, packed, strict=True):
        number = sum(int(residue) << bits * i for i, residue in enumerate(row))
        assert words.tobytes() == number.to_bytes(8 * words.size, "little")
    assert unpack(packed, bits, primes, again)
    np.testing.assert_array_equal(again, rows)
    if size * bits % 64:
        packed[1, -1] |= np.uint64(2**63)
        assert not unpack(packed, bits, primes, again)


@pytest.mark.parametrize("parameters", [SMALL, SMALL_CRT, SECURE_4096], ids=str)
def test_bytes_are_what_the_parameters_say(parameters: BfvParameters) -> None:
    (context, *_), moduli = open_contexts(parameters), len(parameters.plaintext_moduli)
    assert parameters.ciphertext_bytes == moduli * object_bytes(context.ciphertext)
    assert parameters.answer_bytes == moduli * object_bytes(context.answer)


def test_dump_of_computed_ciphertexts(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    ciphers = evaluator.load(keys.encrypt(VALUES), 2)
    again = evaluator.load(evaluator.dump(evaluator.add(ciphers, evaluator.select(ciphers, np.array([1, 0])))), 2)
    np.testing.assert_array_equal(keys.decrypt(evaluator.answer(again), 2), np.stack([VALUES.sum(axis=0)] * 2))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_payloads_of_another_length(keys: BfvKeyHolder, evaluator: BfvEvaluator, count: int) -> None:
    payload = keys.encrypt(VALUES)
    with pytest.raises(
        PayloadError, match=f"{count} x ciphertext need {count * 1920} bytes, got 3840: the message is of"
    ):
        evaluator.load(payload, count)
    with pytest.raises(PayloadError, match="2 x answer need 1920 bytes, got 3840"):
        keys.decrypt(payload, 2)


@given(position=st.integers(0, 2 * 2 * 2 * 64 - 1), excess=st.sampled_from([0, 1, 50]))
@settings(max_examples=20)
def test_residues_beyond_their_prime(evaluator: BfvEvaluator, position: int, excess: int) -> None:
    bits = (int(PRIMES[position // 64 % 2]) + excess) << 60 * position
    with pytest.raises(PayloadError, match="a ciphertext has a residue that is not below its prime"):
        evaluator.load(bits.to_bytes(2 * 1920, "little"), 2)


def test_answers_beyond_their_prime(keys: BfvKeyHolder) -> None:
    with pytest.raises(PayloadError, match=r"an? answer has a residue that is not below its prime"):
        keys.decrypt(b"\xff" * 960, 1)


def test_altered_public_keys(keys: BfvKeyHolder) -> None:
    good = keys.public_key()
    with pytest.raises(
        PayloadError, match=f"a public key of these parameters has {len(good)} bytes, got {len(good) - 1}"
    ):
        BfvEvaluator(SMALL, good[:-1])
    with pytest.raises(PayloadError, match="a key tag is 32 hex digits, got b'XXXX"):
        BfvEvaluator(SMALL, b"X" * 32 + good[32:])
    with pytest.raises(PayloadError, match="a public key has a residue that is not below its prime"):
        BfvEvaluator(SMALL, good[:-8] + b"\xff" * 8)
    with pytest.raises(PayloadError, match="a public key of these parameters has"):
        BfvEvaluator(SMALL_CRT, good)


@pytest.mark.parametrize("tag", [b"", b"0" * 31, b"G" * 32, b"0" * 32 + b"\n", b"A" * 32])
def test_tags_that_are_none(tag: bytes) -> None:
    with pytest.raises(PayloadError, match="a key tag is 32 hex digits"):
        check_tag(tag)


def test_answers_under_another_key_are_garbage(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    answer = evaluator.answer(evaluator.load(keys.encrypt(VALUES), 2))
    assert (make_keys(SMALL).decrypt(answer, 2) != VALUES).mean() > 0.9


def test_frames_of_another_serialisation(keys: BfvKeyHolder) -> None:
    (context,) = open_contexts(SMALL)
    data, tag = context.ciphertext.skeleton, b"0" * 32
    own_tag = data[context.ciphertext.tag_offset :][:32]
    with pytest.raises(OpenFheError, match="expected 2 x 2 limbs in a ciphertext, found 0: install the release"):
        find_frame("ciphertext", b"", SMALL.primes, 64, 2, tag)
    with pytest.raises(OpenFheError, match="expected 2 x 3 limbs in a ciphertext, found 4"):
        find_frame("ciphertext", data, (*SMALL.primes, 97), 64, 2, own_tag)
    with pytest.raises(OpenFheError, match="expected one key tag in a ciphertext, found 0"):
        find_frame("ciphertext", data, SMALL.primes, 64, 2, tag)
    swapped = data.replace(struct.pack("<Q", SMALL.primes[0]), struct.pack("<Q", SMALL.primes[1]))
    with pytest.raises(OpenFheError, match="limbs in a ciphertext"):
        find_frame("ciphertext", swapped, SMALL.primes, 64, 2, own_tag)


def test_contexts_that_do_not_read_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    (context,) = open_contexts(SMALL)
    zero = context.scheme.Encrypt(context.scheme.KeyGen().publicKey, context.encode_constant(0))
    monkeypatch.setattr(context_module.openfhe, "DeserializeCiphertextString", lambda *_: zero)
    with pytest.raises(OpenFheError, match=r"OpenFHE did not read a ciphertext as it was written: use OpenFHE 1.6.1"):
        context_module._prove_round_trip(context)


def test_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "version", lambda _: "1.5.0.0.22.4")
    with pytest.raises(OpenFheError, match=r"needs OpenFHE 1.6.1, found 1.5.0.0.22.4: pip install"):
        releases.check_release()


def test_no_openfhe(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise releases.PackageNotFoundError

    monkeypatch.setattr(releases, "version", missing)
    with pytest.raises(OpenFheError, match=r"needs OpenFHE 1.6.1: pip install 'openfhe==1.6.1.\*'"):
        releases.check_release()


def test_equal_parameters_share_a_context() -> None:
    before = len(openfhe.GetAllContexts())
    assert open_contexts(SMALL) == open_contexts(SMALL)
    make_keys(SMALL)
    assert len(openfhe.GetAllContexts()) == before
