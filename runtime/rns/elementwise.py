"""What is done value by value modulo each prime: sums, products, sums of products, permutations.

Elements are (rows, N); ``moduli`` has the prime of each of its rows. All results are centred.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from enclair.runtime.limbs.compiled import BIT, FLOAT, INT, WORD, Floats, Integers, Word, Words, compiled, read, write
from enclair.runtime.rns.lanes import centred, full, gather, load, product, store

Places = NDArray[np.int32]
Kept = NDArray[np.float64 | np.int32]
"""Residues that are kept for long: int32 where all primes are below 2^31."""


@compiled(read(FLOAT, 3), read(FLOAT, 3), read(FLOAT, 1), BIT, write(FLOAT, 3))
def add(x: Floats, y: Floats, moduli: Floats, subtract: bool, out: Floats) -> None:
    """out = x + y, or x - y; all (parts, rows, N)."""
    parts, rows, size = x.shape
    sign = full(-1.0 if subtract else 1.0)
    for part in range(parts):
        for row in range(rows):
            p, n = full(moduli[row]), full(-1.0 / moduli[row])
            start = (part * rows + row) * size
            for j in range(start, start + size, 8):
                store(out, j, centred(load(x, j) + sign * load(y, j), p, n))


@compiled(read(FLOAT, 3), read(FLOAT, 2), read(FLOAT, 1), write(FLOAT, 3))
def multiply(x: Floats, factor: Floats, moduli: Floats, out: Floats) -> None:
    """Out (parts, rows, N) = x times the element ``factor`` (rows, N)."""
    parts, rows, size = x.shape
    for part in range(parts):
        for row in range(rows):
            p, n = full(moduli[row]), full(-1.0 / moduli[row])
            start, other = (part * rows + row) * size, row * size
            for j in range(0, size, 8):
                store(out, start + j, centred(product(load(x, start + j), load(factor, other + j), p, n), p, n))


@compiled(read(FLOAT, 3), read(FLOAT, 1), read(FLOAT, 1), write(FLOAT, 3))
def multiply_constant(x: Floats, factor: Floats, moduli: Floats, out: Floats) -> None:
    """Out (parts, rows, N) = x times an integer, given modulo each prime (rows,)."""
    parts, rows, size = x.shape
    for part in range(parts):
        for row in range(rows):
            p, n, f = full(moduli[row]), full(-1.0 / moduli[row]), full(factor[row])
            start = (part * rows + row) * size
            for j in range(start, start + size, 8):
                store(out, j, centred(product(load(x, j), f, p, n), p, n))


@compiled(read(FLOAT, 3), read(FLOAT, 3), read(FLOAT, 1), write(FLOAT, 3))
def multiply_ciphers(x: Floats, y: Floats, moduli: Floats, out: Floats) -> None:
    """The tensor product out (3, rows, N) of ciphertexts (2, rows, N)."""
    _, rows, size = x.shape
    for row in range(rows):
        p, n = full(moduli[row]), full(-1.0 / moduli[row])
        first, second, third = row * size, (rows + row) * size, (2 * rows + row) * size
        for j in range(0, size, 8):
            x0, x1, y0, y1 = load(x, first + j), load(x, second + j), load(y, first + j), load(y, second + j)
            store(out, first + j, centred(product(x0, y0, p, n), p, n))
            store(out, second + j, centred(product(x0, y1, p, n) + product(x1, y0, p, n), p, n))
            store(out, third + j, centred(product(x1, y1, p, n), p, n))


@compiled(read(FLOAT, 2), read(types.int32, 1), write(FLOAT, 2))
def permute(x: Floats, places: Places, out: Floats) -> None:
    """out[row, i] = x[row, places[i]]."""
    rows, size = x.shape
    for row in range(rows):
        for j in range(0, size, 8):
            store(out, row * size + j, gather(x, row * size, places, j))


@compiled(read(WORD, 2), read(INT, 1), read(WORD, 1), write(FLOAT, 2))
def from_words(words: Words, order: Integers, primes: Words, out: Floats) -> None:
    """Residues in [0, prime) to centred ones, value i from order[i]; row r is modulo primes[r % limbs]."""
    for row in range(words.shape[0]):
        prime = np.int64(primes[row % primes.size])
        for c in range(words.shape[1]):
            v = np.int64(words[row, order[c]])
            out[row, c] = v - (prime if v > prime >> 1 else 0)


@compiled(read(FLOAT, 2), read(INT, 1), read(WORD, 1), write(WORD, 2))
def to_words(values: Floats, order: Integers, primes: Words, out: Words) -> None:
    """The reverse of ``from_words``, for an order that is its own inverse."""
    for row in range(values.shape[0]):
        prime: Word = primes[row % primes.size]
        for c in range(values.shape[1]):
            v = np.int64(values[row, order[c]])
            out[row, c] = np.uint64(v) if v >= 0 else prime - np.uint64(-v)


@compiled(read(FLOAT, 1), FLOAT, write(FLOAT, 1))
def reduce_row(x: Floats, prime: float, out: Floats) -> None:
    """Integers (N,) below 2^50 times the prime, modulo the prime."""
    p, n = full(prime), full(-1.0 / prime)
    for j in range(0, x.size, 8):
        store(out, j, centred(load(x, j), p, n))
