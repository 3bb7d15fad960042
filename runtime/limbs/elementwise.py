"""What is done to limbs residue by residue: sums, differences, sums of products with plaintexts."""

from __future__ import annotations

import numpy as np

from enclair.runtime.limbs.compiled import BIT, INT, WORD, Integers, Word, Words, compiled, high_product, read, write

LAZY_TERMS = 64
"""Products below 2^122 that are added up in 128 bits before a reduction."""


def reduction_constants(primes: tuple[int, ...]) -> Words:
    """(limbs, 4) for each prime q: q, floor(2^64 / q), 2^64 mod q, and floor(2^64 (2^64 mod q) / q)."""
    return np.array(
        [(q, 2**64 // q, 2**64 % q, 2**64 * (2**64 % q) // q) for q in primes],
        dtype=np.uint64,
    )


@compiled(WORD, WORD, WORD, WORD, WORD, WORD, returns=WORD)
def reduce_wide(high: Word, low: Word, prime: Word, one: Word, carry: Word, carry_quotient: Word) -> Word:
    """(2^64 high + low) modulo a prime below 2^61, by the prime's ``reduction_constants``."""
    upper = high * carry - high_product(high, carry_quotient) * prime
    lower = low - high_product(low, one) * prime
    total = upper + lower
    total -= prime + prime if total >= prime + prime else np.uint64(0)
    return total - (prime if total >= prime else np.uint64(0))


@compiled(read(WORD, 2), read(WORD, 2), read(WORD, 1), BIT, write(WORD, 2))
def add_rows(x: Words, y: Words, primes: Words, subtract: bool, out: Words) -> None:
    """out = x + y, or x - y; row r is modulo primes[r % limbs]. All (rows, N)."""
    for r in range(x.shape[0]):
        prime = primes[r % primes.size]
        for c in range(x.shape[1]):
            v = x[r, c] + (prime - y[r, c] if subtract else y[r, c])
            out[r, c] = v - (prime if v >= prime else np.uint64(0))


@compiled(read(WORD, 3), INT, read(INT, 1), read(WORD, 3), INT, read(INT, 1), read(WORD, 1), write(WORD, 1))
def sum_products(
    x: Words, plane: int, cols: Integers, factors: Words, limb: int, which: Integers, constants: Words, out: Words
) -> None:
    """out (N,) = sum_i factors[which[i], limb] x[cols[i], plane], modulo the prime of ``constants``."""
    prime, one, carry, carry_quotient = constants[0], constants[1], constants[2], constants[3]
    size, block = out.size, 512
    high, low = np.empty(block, dtype=np.uint64), np.empty(block, dtype=np.uint64)
    for start in range(0, size, block):
        n = min(block, size - start)
        high[:] = np.uint64(0)
        low[:] = np.uint64(0)
        for i in range(cols.size):
            if i % LAZY_TERMS == LAZY_TERMS - 1:
                for c in range(n):
                    low[c] = reduce_wide(high[c], low[c], prime, one, carry, carry_quotient)
                    high[c] = np.uint64(0)
            row, factor = x[cols[i], plane, start : start + n], factors[which[i], limb, start : start + n]
            for c in range(n):
                product = row[c] * factor[c]
                total = low[c] + product
                high[c] += high_product(row[c], factor[c]) + (np.uint64(1) if total < product else np.uint64(0))
                low[c] = total
        for c in range(n):
            out[start + c] = reduce_wide(high[c], low[c], prime, one, carry, carry_quotient)
