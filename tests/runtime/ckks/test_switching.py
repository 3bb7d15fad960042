"""Evaluation keys: what they are, and that OpenFHE's own operations take them for its own."""

from __future__ import annotations

import math

import numpy as np
import openfhe
import pytest
from tests.runtime.ckks.parameters import SECURE, SMALL, UNEVEN, shared_keys

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import KeyNeeds
from enclair.runtime.backends.ckks.context import open_transform
from enclair.runtime.backends.ckks.secret import CkksKeyHolder
from enclair.runtime.backends.ckks.switching import coefficients, rotated
from enclair.runtime.backends.ckks.wire import read_evaluation_keys
from enclair.runtime.backends.frames import find_limbs

NEEDS = KeyNeeds((1, 3, 64, 127), relinearise=True)


def exact(polynomial: np.ndarray, prime: int) -> np.ndarray:
    """Integer coefficients (N,) to values, as Python integers."""
    residues = np.array([int(c) % prime for c in polynomial], dtype=np.uint64)
    return open_transform(prime, residues.size).values(residues[None])[0].astype(object)


def errors(keys: CkksKeyHolder, key: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """e in b + a after = e + P before (mod the digit's primes), e (mod others): (digits, primes, N), centred."""
    parameters = keys.parameters
    primes, special = parameters.primes + parameters.special_primes, math.prod(parameters.special_primes)
    out = np.empty((parameters.digits, len(primes), parameters.ring_dim), dtype=np.int64)
    for digit in range(parameters.digits):
        held = range(digit * parameters.digit_size, min((digit + 1) * parameters.digit_size, len(parameters.primes)))
        for limb, prime in enumerate(primes):
            b, a = key[digit, :, limb].astype(object)
            values = b + a * exact(after, prime) - (special * exact(before, prime) if limb in held else 0)
            row = open_transform(prime, parameters.ring_dim).coefficients((values % prime).astype(np.uint64)[None])[0]
            out[digit, limb] = np.where(row > prime // 2, row.astype(np.int64) - prime, row.astype(np.int64))
    return out


def square(polynomial: np.ndarray) -> np.ndarray:
    """The negacyclic square of integer coefficients."""
    ring_dim = polynomial.size
    full = np.convolve(polynomial, polynomial)
    out = full[:ring_dim].copy()
    out[: ring_dim - 1] -= full[ring_dim:]
    return out


@pytest.mark.parametrize("parameters", [SMALL, UNEVEN], ids=str)
def test_keys_switch_between_the_right_secrets(parameters: CkksParameters) -> None:
    keys = shared_keys(parameters, NEEDS)
    made = read_evaluation_keys(keys.public_key(), parameters, NEEDS)
    secret = coefficients(keys._secret)
    order = 2 * parameters.ring_dim
    cases = [(made.rotations[steps], secret, rotated(secret, pow(5, -steps, order))) for steps in NEEDS.rotations]
    for key, before, after in [*cases, (made.relinearisation, square(secret), secret)]:
        error = errors(keys, key, before, after)
        assert 0 < np.abs(error).max() <= 12 * 3.2
        assert (error == error[:, :1]).all()


def test_rotated_secret() -> None:
    """X -> X^5 on X, X^2 and X^103 at N = 256."""
    polynomial = np.zeros(256, dtype=np.int64)
    polynomial[[1, 2, 103]] = 1, -1, 1
    turned = rotated(polynomial, 5)
    assert {int(i): int(turned[i]) for i in np.flatnonzero(turned)} == {5: 1, 10: -1, 515 - 512: 1}
    assert rotated(polynomial, 3 + 2 * 256).tolist() == rotated(polynomial, 3).tolist()
    assert rotated(np.eye(1, 256, 100, dtype=np.int64)[0], 3)[300 - 256] == -1


@pytest.mark.parametrize(("parameters", "steps"), [(SMALL, 3), (UNEVEN, 127), (SECURE, 1)], ids=str)
def test_openfhe_rotates_with_our_key(parameters: CkksParameters, steps: int) -> None:
    needs = KeyNeeds((steps,))
    keys = shared_keys(parameters, needs)
    key = read_evaluation_keys(keys.public_key(), parameters, needs).rotations[steps]
    secret, scheme = keys._secret, keys._secret.context.scheme
    values = np.linspace(-1, 1, parameters.slots)
    cipher = scheme.Encrypt(secret.key, secret.context.encode(values, parameters.levels))
    try:
        insert(scheme, parameters, key, pow(5, steps, 2 * parameters.ring_dim), secret.tag)
        plaintext = scheme.Decrypt(secret.key, scheme.EvalRotate(cipher, steps))
    finally:
        scheme.ClearEvalAutomorphismKeys()
    slots = np.asarray(plaintext.GetRealPackedValueArray())[: parameters.slots]
    np.testing.assert_allclose(slots, np.roll(values, -steps), atol=2.0 ** (22 - parameters.scale_bits))


def insert(scheme: object, parameters: CkksParameters, key: np.ndarray, index: int, tag: bytes) -> None:
    """Our residues in the place of those of a key that OpenFHE made for a throw-away secret."""
    throw_away = scheme.KeyGen().secretKey
    data = bytearray(openfhe.Serialize(scheme.EvalAutomorphismKeyGen(throw_away, [index]), openfhe.BINARY))
    primes = parameters.primes + parameters.special_primes
    places = find_limbs("key", bytes(data), primes, parameters.ring_dim, 2 * parameters.digits)
    rows = key.swapaxes(0, 1)[::-1].reshape(-1, parameters.ring_dim)
    for place, row in zip(places, rows, strict=True):
        data[place : place + row.nbytes] = row.tobytes()
    read = openfhe.DeserializeEvalKeyMapString(
        bytes(data).replace(throw_away.GetKeyTag().encode(), tag), openfhe.BINARY
    )
    scheme.InsertEvalAutomorphismKey(read, tag.decode())


def test_no_key_stays_in_openfhes_maps() -> None:
    keys = shared_keys(SMALL, NEEDS)
    assert keys._secret.tag.decode() not in keys._secret.context.scheme.GetAllEvalAutomorphismKeys()
    assert keys._secret.tag.decode() not in keys._secret.context.scheme.GetAllEvalMultKeys()
