"""The last step of an answer on its limbs: plus an encryption of zero, plus flooding noise, primes dropped.

A prime p is dropped by rounding: the remainder modulo p, centred, is taken off, and what is left is divided by p. That
is what OpenFHE's ``Compress`` does.
"""

from __future__ import annotations

import numpy as np

from enclair.runtime.limbs.compiled import INT, WORD, Word, Words, compiled, high_product, read, write
from enclair.runtime.limbs.elementwise import reduce_wide, reduction_constants
from enclair.runtime.limbs.ntt import Transform, forward, inverse, with_quotients


def drop_tables(transforms: tuple[Transform, ...]) -> tuple[Words, Words, Words, Words]:
    """Forward and inverse roots (limbs, 2, N), ``reduction_constants``, and the inverse of prime j modulo prime i with
    its quotient (limbs, limbs, 2).
    """
    primes = tuple(transform.prime for transform in transforms)
    inverses = np.zeros((len(primes), len(primes), 2), dtype=np.uint64)
    for i, prime in enumerate(primes):
        for j, other in enumerate(primes):
            if i != j:
                inverses[i, j] = with_quotients([pow(other, -1, prime)], prime)[:, 0]
    return (
        np.stack([transform.forward_roots for transform in transforms]),
        np.stack([transform.inverse_roots for transform in transforms]),
        reduction_constants(primes),
        inverses,
    )


@compiled(read(WORD, 2), INT, read(WORD, 1), returns=WORD)
def residue(words: Words, c: int, constants: Words) -> Word:
    """The number words[:, c], lower words first, modulo the prime of ``constants``."""
    rest = np.uint64(0)
    for i in range(words.shape[0] - 1, -1, -1):
        rest = reduce_wide(rest, words[i, c], constants[0], constants[1], constants[2], constants[3])
    return rest


@compiled(write(WORD, 2), read(WORD, 2), read(WORD, 1))
def add_noise(coefficients: Words, noise: Words, constants: Words) -> None:
    """Add numbers (words, N) to coefficients (1, N), in place; no words are no noise."""
    if noise.shape[0] == 0:
        return
    prime = constants[0]
    for c in range(coefficients.shape[1]):
        v = coefficients[0, c] + residue(noise, c, constants)
        coefficients[0, c] = v - (prime if v >= prime else np.uint64(0))


@compiled(read(WORD, 2), WORD, read(WORD, 2), read(WORD, 1), write(WORD, 2))
def remainder(rest: Words, dropped: Word, noise: Words, constants: Words, out: Words) -> None:
    """What is taken off modulo another prime: out (1, N) = rest (1, N), centred modulo ``dropped``, minus the noise."""
    prime, one, half = constants[0], constants[1], dropped >> np.uint64(1)
    down = dropped - high_product(dropped, one) * prime
    down -= prime if down >= prime else np.uint64(0)
    for c in range(rest.shape[1]):
        v = rest[0, c]
        r = v - high_product(v, one) * prime
        r -= prime if r >= prime else np.uint64(0)
        r += prime - down if v > half else np.uint64(0)
        if noise.shape[0] > 0:
            r += prime - residue(noise, c, constants)
        r -= prime if r >= prime else np.uint64(0)
        out[0, c] = r - (prime if r >= prime else np.uint64(0))


@compiled(
    read(WORD, 3), read(WORD, 3), read(WORD, 2), read(WORD, 3), read(WORD, 3), read(WORD, 2), read(WORD, 3),
    write(WORD, 2),
)  # fmt: skip
def flood_and_drop(
    total: Words,
    zero: Words,
    noise: Words,
    roots: Words,
    inverse_roots: Words,
    constants: Words,
    inverses: Words,
    out: Words,
) -> None:
    """Out (2, N): what total + zero + (noise, 0) is modulo the first prime once the other primes are dropped.

    ``total`` and ``zero`` (2, limbs, N) are in evaluation form; ``noise`` (words, N) are coefficients, lower words
    first. Noise is added where coefficients are at hand: in the last limb, and in what is taken off of the others.
    """
    limbs, size = total.shape[1], total.shape[2]
    work, taken = np.empty((limbs, size), dtype=np.uint64), np.empty((1, size), dtype=np.uint64)
    rest = np.empty((1, size), dtype=np.uint64)
    for polynomial in range(2):
        for i in range(limbs):
            prime = constants[i, 0]
            for c in range(size):
                v = total[polynomial, i, c] + zero[polynomial, i, c]
                work[i, c] = v - (prime if v >= prime else np.uint64(0))
        for last in range(limbs - 1, 0, -1):
            words = noise if polynomial == 0 and last == limbs - 1 else noise[:0]
            rest[0] = work[last]
            inverse(rest, inverse_roots[last], constants[last, 0])
            add_noise(rest, words, constants[last])
            for i in range(last):
                prime, factor, quotient = constants[i, 0], inverses[i, last, 0], inverses[i, last, 1]
                remainder(rest, constants[last, 0], words, constants[i], taken)
                forward(taken, roots[i], prime)
                for c in range(size):
                    v = work[i, c] + prime - taken[0, c]
                    v = v * factor - high_product(v, quotient) * prime
                    work[i, c] = v - (prime if v >= prime else np.uint64(0))
        out[polynomial] = work[0]
