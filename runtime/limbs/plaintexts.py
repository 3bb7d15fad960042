"""Plaintext polynomials as limbs: lifted, to multiply ciphertexts by, or scaled by Q/t, to be added to them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from enclair.runtime.limbs.compiled import WORD, Word, Words, compiled, high_product, read, write
from enclair.runtime.limbs.ntt import Transform, forward, with_quotients


def lift(coefficients: NDArray[np.int64], transforms: tuple[Transform, ...]) -> Words:
    """Limbs (rows, limbs, N), in evaluation form, of coefficients (rows, N) in [0, t)."""
    factors = np.stack([with_quotients([1], transform.prime)[:, 0] for transform in transforms])
    return _transformed(coefficients.astype(np.uint64), factors, transforms)


def scale(coefficients: NDArray[np.int64], t: int, transforms: tuple[Transform, ...]) -> Words:
    """Limbs (rows, limbs, N), in evaluation form, of Q/t times coefficients (rows, N) in [0, t), rounded up.

    With r = -Q m modulo t, the result is (Q m + r) / t, which is r / t modulo each prime of Q (Halevi, Polyakov, Shoup,
    eprint 2018/117).
    """
    modulus = math.prod(transform.prime for transform in transforms)
    rests = np.empty(coefficients.shape, dtype=np.uint64)
    multiply(coefficients.astype(np.uint64), with_quotients([-modulus % t], t)[:, 0], t, rests)
    inverses = [with_quotients([pow(t, -1, transform.prime)], transform.prime)[:, 0] for transform in transforms]
    return _transformed(rests, np.stack(inverses), transforms)


def _transformed(rows: Words, factors: Words, transforms: tuple[Transform, ...]) -> Words:
    out = np.empty((len(rows), len(transforms), rows.shape[1]), dtype=np.uint64)
    for i, transform in enumerate(transforms):
        products = np.empty(rows.shape, dtype=np.uint64)
        multiply(rows, factors[i], transform.prime, products)
        forward(products, transform.forward_roots, transform.prime)
        out[:, i] = products
    return out


@compiled(read(WORD, 2), read(WORD, 1), WORD, write(WORD, 2))
def multiply(rows: Words, factor: Words, prime: Word, out: Words) -> None:
    """Out (rows, N) = rows times a factor, given with its quotient, modulo the prime; rows may be beyond the prime."""
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            v = rows[r, c] * factor[0] - high_product(rows[r, c], factor[1]) * prime
            out[r, c] = v - (prime if v >= prime else np.uint64(0))
