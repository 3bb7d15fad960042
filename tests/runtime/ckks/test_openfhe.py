"""Sums, products and rescalings are OpenFHE's own, limb for limb.

Key switching is not: OpenFHE's base conversion is approximate and its special primes are others. What it decrypts to is
held equal instead, by OpenFHE's own keys where they are made, and by the tests' client in ``test_evaluate``.
"""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
import openfhe
import pytest

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.parameters import INSECURE
from enclair.runtime.backends.ckks.ciphers import Ciphers
from enclair.runtime.backends.ckks.evaluate import CkksEvaluator
from enclair.runtime.rns.keys import EvaluationKeys

RING_DIM, DEPTH, SCALE = 1024, 3, 2.0**40


@cache
def context() -> openfhe.CryptoContext:
    wanted = openfhe.CCParamsCKKSRNS()
    wanted.SetRingDim(RING_DIM)
    wanted.SetSecurityLevel(openfhe.HEStd_NotSet)
    wanted.SetMultiplicativeDepth(DEPTH)
    wanted.SetScalingModSize(40)
    wanted.SetFirstModSize(49)
    wanted.SetScalingTechnique(openfhe.FIXEDMANUAL)
    made = openfhe.GenCryptoContext(wanted)
    for feature in (openfhe.PKE, openfhe.KEYSWITCH, openfhe.LEVELEDSHE):
        made.Enable(feature)
    return made


@cache
def keys() -> openfhe.KeyPair:
    return context().KeyGen()


def words(ciphertext: openfhe.Ciphertext, limbs: int) -> np.ndarray:
    """The residues (parts, limbs, N): each row of them is written behind its length."""
    data, mark, rows, start = openfhe.Serialize(ciphertext, openfhe.BINARY), struct.pack("<Q", RING_DIM), [], 0
    while (start := data.find(mark, start)) >= 0:
        row = np.frombuffer(data[start + 8 : start + 8 + 8 * RING_DIM].ljust(8 * RING_DIM, b"\xff"), dtype="<u8")
        if row.max() < 2**50:
            rows.append(row)
            start += 8 * RING_DIM
        start += 8
    return np.stack(rows).reshape(-1, limbs, RING_DIM).astype(np.uint64)


def encrypt(seed: int) -> openfhe.Ciphertext:
    values = np.random.default_rng(seed).uniform(-1, 1, RING_DIM // 2).tolist()
    return context().Encrypt(keys().publicKey, context().MakeCKKSPackedPlaintext(values))


@pytest.fixture(scope="module")
def evaluator() -> CkksEvaluator:
    chosen = CkksParameters(RING_DIM, DEPTH, 40, 49, 2, INSECURE)
    return CkksEvaluator(chosen, EvaluationKeys())


def read(evaluator: CkksEvaluator, ciphertext: openfhe.Ciphertext, level: int = DEPTH) -> Ciphers:
    return evaluator.from_words([words(ciphertext, level + 1)], level, SCALE)


def assert_same(evaluator: CkksEvaluator, got: Ciphers, want: openfhe.Ciphertext) -> None:
    np.testing.assert_array_equal(evaluator.to_words(got)[0], words(want, got.level + 1))


def test_sums_and_products(evaluator: CkksEvaluator) -> None:
    one, other = encrypt(1), encrypt(2)
    x, y = read(evaluator, one), read(evaluator, other)
    assert_same(evaluator, evaluator.add(x, y), context().EvalAdd(one, other))
    assert_same(evaluator, evaluator.subtract(x, y), context().EvalSub(one, other))
    assert_same(evaluator, evaluator.multiply(x, y), context().EvalMultNoRelin(one, other))
    assert_same(evaluator, evaluator.multiply(x, x), context().EvalMultNoRelin(one, one))


def test_rescaling(evaluator: CkksEvaluator) -> None:
    one = encrypt(3)
    x = read(evaluator, one)
    product, want = evaluator.multiply(x, x), context().EvalMultNoRelin(one, one)
    for _ in range(DEPTH - 1):
        product, want = evaluator.rescale(product), context().Rescale(want)
        assert_same(evaluator, product, want)
