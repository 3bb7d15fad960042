"""The ring behind ciphertexts: from residues to coefficients, and the noise that whoever has the secret key sees."""

from __future__ import annotations

from functools import cache
from math import prod

import numpy as np
import openfhe
from numpy.typing import NDArray

from enclair.compiler.parameters import INSECURE, BfvParameters, smallest_prime
from enclair.runtime.backends.bfv.context import open_context
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.frames import Limbs

Numbers = NDArray[np.object_]
"""Python integers."""


def coefficients(parameters: BfvParameters, limbs: Limbs) -> Numbers:
    """The polynomial with these residues (limbs, N) in evaluation form: (N,) integers, centred modulo their primes."""
    primes = parameters.primes[: len(limbs)]
    modulus, total = prod(primes), np.zeros(parameters.ring_dim, dtype=object)
    for number, (limb, prime) in enumerate(zip(limbs, primes, strict=True)):
        others = modulus // prime
        total += _interpolated(parameters, number, limb) * (others * pow(others, -1, prime))
    return centred(total, modulus)


def centred(values: Numbers, modulus: int) -> Numbers:
    """The residues of least magnitude."""
    return (values + modulus // 2) % modulus - modulus // 2


def noise_of_zeros(keys: BfvKeyHolder, cipher: Limbs) -> Numbers:
    """The noise (N,) of an encryption (2, limbs, N) of zeros: its phase ``c0 + c1 s``."""
    limbs = cipher.shape[1]
    secret = keys.secret_limbs()[0][1][0, :limbs].astype(object)
    primes = np.array(keys.parameters.primes[:limbs], dtype=object)[:, None]
    return coefficients(keys.parameters, (cipher[0].astype(object) + cipher[1].astype(object) * secret) % primes)


def _interpolated(parameters: BfvParameters, limb: int, values: Limbs) -> Numbers:
    """Coefficients modulo a prime of the polynomial with these values (N,): a Fourier transform in Python integers.

    The points are odd powers ``root^(2k + 1)``, so ``value_k = sum_i (c_i root^i) (root^2)^(k i)``.
    """
    prime, order, root = parameters.primes[limb], *_points(parameters, limb)
    inverse = pow(root, -1, prime)
    sums = _transform(values.astype(object)[order], inverse * inverse % prime, prime)
    shift = _powers(inverse, values.size, prime) * pow(values.size, -1, prime)
    return sums * shift % prime


def _transform(values: Numbers, root: int, prime: int) -> Numbers:
    """The values of a polynomial at all powers of a root of unity (Cooley and Tukey, 1965)."""
    if values.size == 1:
        return values
    even, odd = (_transform(values[start::2], root * root % prime, prime) for start in (0, 1))
    odd = odd * _powers(root, odd.size, prime)
    return np.concatenate([even + odd, even - odd]) % prime


@cache
def _powers(base: int, count: int, prime: int) -> Numbers:
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * base % prime)
    return np.array(powers, dtype=object)


@cache
def _points(parameters: BfvParameters, limb: int) -> tuple[NDArray[np.int64], int]:
    """Where OpenFHE has the value at ``root^(2k + 1)``, for each k; and the root: the first of its points."""
    points = _values_of_x(parameters)[limb]
    prime, count = parameters.primes[limb], parameters.ring_dim
    place = {point: number for number, point in enumerate(points)}
    odd = _powers(points[0], 2 * count, prime)[1::2]
    return np.array([place[power] for power in odd]), points[0]


@cache
def _values_of_x(parameters: BfvParameters) -> list[list[int]]:
    """OpenFHE's evaluation form of the polynomial X, (limbs, N): the points themselves."""
    t = smallest_prime(1, parameters.ring_dim)
    small = BfvParameters(parameters.ring_dim, parameters.limbs, parameters.prime_bits, (t,), security=INSECURE)
    context = open_context(small, t)
    limbs = np.zeros(context.ciphertext.shape, dtype=np.uint64)
    limbs[0] = 1
    one = context.read_ciphertext(limbs, b"0" * 32)
    one.SetEncodingType(openfhe.PlaintextEncodings.COEF_PACKED_ENCODING)
    x = context.scheme.MakeCoefPackedPlaintext([0, 1] + [0] * (parameters.ring_dim - 2))
    values: list[list[int]] = context.write_ciphertext(context.scheme.EvalMult(one, x))[0].tolist()
    return values
