"""The negacyclic number-theoretic transform modulo primes below 2^50, eight lanes at a time.

Cooley and Tukey's butterflies forward, Gentleman and Sande's backward, two stages in one pass over the memory. The last
three stages forward, where partners are less than eight apart, are done across eight groups at once: each block of 64
values is transposed for them and stays so (``order``). Sums are reduced only as often as the bounds need: all values
are below four times the prime, at most 2^52.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from enclair.runtime.limbs.compiled import BIT, FLOAT, INT, Floats, Integers, compiled, read, write
from enclair.runtime.limbs.ntt import Transform, reversed_bits
from enclair.runtime.rns.lanes import centred, full, load, product, store, transposed

BLOCK = 2048
"""Values whose remaining passes are done together, in the nearest cache."""

SMALLEST_RING = 128

FORWARD, BACKWARD = 0, 1
ROOTS, TAILS = 0, 1


@lru_cache(maxsize=32)
def order(ring_dim: int) -> Integers:
    """Value i here is value order[i] of ``limbs.ntt`` and of OpenFHE. It is its own inverse."""
    return np.arange(ring_dim).reshape(-1, 8, 8).transpose(0, 2, 1).reshape(-1)


def tables(transform: Transform) -> Floats:
    """(2, 2, N): for each direction the roots, and the roots of the last three stages as they are needed there.

    The first root, which no butterfly uses, is 1 / N backward.
    """
    prime, ring_dim = transform.prime, transform.ring_dim
    roots = np.stack([_powers(root, prime, ring_dim) for root in (transform.root, pow(transform.root, -1, prime))])
    roots[1, 0] = centred_residues(np.array([pow(ring_dim, -1, prime)], dtype=np.uint64), prime)[0]
    return np.stack([roots, np.stack([_tails(row) for row in roots])], axis=1)


def _powers(root: int, prime: int, ring_dim: int) -> Floats:
    """(N,): the powers of a root, exponents with their bits reversed, centred."""
    powers = np.empty(ring_dim)
    words = np.array([pow(root, i, prime) for i in range(8)], dtype=np.uint64)
    powers[:8], count = centred_residues(words, prime), 8
    while count < ring_dim:
        _multiply(powers[:count], float(pow(root, count, prime)), float(prime), powers[count : 2 * count])
        count *= 2
    return powers[reversed_bits(ring_dim)]


@compiled(read(FLOAT, 1), FLOAT, FLOAT, write(FLOAT, 1))
def _multiply(x: Floats, factor: float, prime: float, out: Floats) -> None:
    """Out = x times a factor below the prime, centred."""
    p, n, f = full(prime), full(-1.0 / prime), full(factor)
    f = centred(f, p, n)
    for j in range(0, x.size, 8):
        store(out, j, centred(product(load(x, j), f, p, n), p, n))


def centred_residues(residues: np.ndarray[tuple[int, ...], np.dtype[np.uint64]], prime: int) -> Floats:
    """Residues in [0, prime) as float64, at most half the prime in magnitude."""
    signed = residues.astype(np.int64)
    return np.where(signed > prime // 2, signed - prime, signed).astype(np.float64)


def _tails(roots: Floats) -> Floats:
    """(N,): for each block of 64, seven vectors over its eight groups: one factor of the third-last stage, two of the
    second-last, four of the last.
    """
    blocks, out = roots.size // 64, np.zeros(roots.size)
    parts = [
        roots[roots.size >> k : roots.size >> (k - 1)].reshape(blocks, 8, -1).transpose(0, 2, 1) for k in (3, 2, 1)
    ]
    tails = np.concatenate(parts, axis=1)
    out[: tails.size] = tails.reshape(-1)
    return out


@compiled(FLOAT, FLOAT, returns=FLOAT)
def _after(bound: float, error: float) -> float:
    """The bound of values, in primes, after a stage forward: a sum with a product, itself at most 1/2 + error."""
    return bound + 0.5 + bound * error


@compiled(write(FLOAT, 1), INT, INT, INT, read(FLOAT, 1), FLOAT, BIT)
def _forward_two(a: Floats, begin: int, end: int, h: int, roots: Floats, prime: float, reduce: bool) -> None:
    """Two stages on a[begin : end], on groups of 4 h; ``reduce`` the values that are not multiplied first."""
    p, n = full(prime), full(-1.0 / prime)
    for first in range(begin, end, 4 * h):
        g = (a.size + first) // (4 * h)
        w1, w2, w3 = full(roots[g]), full(roots[2 * g]), full(roots[2 * g + 1])
        for j in range(first, first + h, 8):
            x0, x1 = load(a, j), load(a, j + h)
            if reduce:
                x0, x1 = centred(x0, p, n), centred(x1, p, n)
            x2, x3 = product(load(a, j + 2 * h), w1, p, n), product(load(a, j + 3 * h), w1, p, n)
            y0, y2 = x0 + x2, x0 - x2
            y1, y3 = product(x1 + x3, w2, p, n), product(x1 - x3, w3, p, n)
            store(a, j, y0 + y1)
            store(a, j + h, y0 - y1)
            store(a, j + 2 * h, y2 + y3)
            store(a, j + 3 * h, y2 - y3)


@compiled(write(FLOAT, 1), FLOAT, FLOAT)
def _forward_one(a: Floats, root: float, prime: float) -> None:
    """The first stage."""
    p, n, w, h = full(prime), full(-1.0 / prime), full(root), a.size >> 1
    for j in range(0, h, 8):
        x0, x1 = load(a, j), product(load(a, j + h), w, p, n)
        store(a, j, x0 + x1)
        store(a, j + h, x0 - x1)


@compiled(write(FLOAT, 1), INT, INT, read(FLOAT, 1), read(FLOAT, 1), FLOAT, BIT)
def _forward_tails(a: Floats, begin: int, end: int, roots: Floats, tails: Floats, prime: float, reduce: bool) -> None:
    """The last five stages on a[begin : end], and the centred results."""
    p, n = full(prime), full(-1.0 / prime)
    for b in range(begin, end, 64):
        g = (a.size + b) >> 5
        x0, x1, x4, x5 = load(a, b), load(a, b + 8), load(a, b + 32), load(a, b + 40)
        if reduce:
            x0, x1, x4, x5 = centred(x0, p, n), centred(x1, p, n), centred(x4, p, n), centred(x5, p, n)
        w, v = full(roots[g]), full(roots[g + 1])
        x2, x3 = product(load(a, b + 16), w, p, n), product(load(a, b + 24), w, p, n)
        x6, x7 = product(load(a, b + 48), v, p, n), product(load(a, b + 56), v, p, n)
        y0, y2, y4, y6 = x0 + x2, x0 - x2, x4 + x6, x4 - x6
        y1, y3 = product(x1 + x3, full(roots[2 * g]), p, n), product(x1 - x3, full(roots[2 * g + 1]), p, n)
        y5, y7 = product(x5 + x7, full(roots[2 * g + 2]), p, n), product(x5 - x7, full(roots[2 * g + 3]), p, n)
        x0, x1, x2, x3, x4, x5, x6, x7 = transposed((
            y0 + y1, y0 - y1, y2 + y3, y2 - y3, y4 + y5, y4 - y5, y6 + y7, y6 - y7
        ))  # fmt: skip
        k = (b >> 6) * 56
        w = load(tails, k)
        x4, x5, x6, x7 = product(x4, w, p, n), product(x5, w, p, n), product(x6, w, p, n), product(x7, w, p, n)
        y0, y1, y2, y3, y4, y5, y6, y7 = x0 + x4, x1 + x5, x2 + x6, x3 + x7, x0 - x4, x1 - x5, x2 - x6, x3 - x7
        w, v = load(tails, k + 8), load(tails, k + 16)
        y2, y3, y6, y7 = product(y2, w, p, n), product(y3, w, p, n), product(y6, v, p, n), product(y7, v, p, n)
        x0, x1, x2, x3, x4, x5, x6, x7 = y0 + y2, y1 + y3, y0 - y2, y1 - y3, y4 + y6, y5 + y7, y4 - y6, y5 - y7
        x1, x3 = product(x1, load(tails, k + 24), p, n), product(x3, load(tails, k + 32), p, n)
        x5, x7 = product(x5, load(tails, k + 40), p, n), product(x7, load(tails, k + 48), p, n)
        store(a, b, centred(x0 + x1, p, n))
        store(a, b + 8, centred(x0 - x1, p, n))
        store(a, b + 16, centred(x2 + x3, p, n))
        store(a, b + 24, centred(x2 - x3, p, n))
        store(a, b + 32, centred(x4 + x5, p, n))
        store(a, b + 40, centred(x4 - x5, p, n))
        store(a, b + 48, centred(x6 + x7, p, n))
        store(a, b + 56, centred(x6 - x7, p, n))


@compiled(write(FLOAT, 1), read(FLOAT, 3), FLOAT)
def forward(a: Floats, table: Floats, prime: float) -> None:
    """Centred coefficients (N,) to centred values, in place."""
    roots, tails, size = table[0, 0], table[0, 1], a.size
    most, error = 2.0**52 / prime, prime * 2.0**-53
    bound, h, stages = 0.5, size >> 2, 0
    while size >> (stages + 5) > 1:
        stages += 1
    if stages & 1:
        _forward_one(a, roots[1], prime)
        bound, h = _after(bound, error), size >> 3
    outer = h
    while 4 * outer > BLOCK:
        reduce = _after(bound, error) > most
        _forward_two(a, 0, size, outer, roots, prime, reduce)
        bound = _after(_after(0.5 + bound * error if reduce else bound, error), error)
        outer >>= 2
    length = max(4 * outer, 64)
    for begin in range(0, size, length):
        h, inside = outer, bound
        while h > 8:
            reduce = _after(inside, error) > most
            _forward_two(a, begin, begin + length, h, roots, prime, reduce)
            inside = _after(_after(0.5 + inside * error if reduce else inside, error), error)
            h >>= 2
        last = _after(_after(_after(_after(inside, error), error), error), error)
        _forward_tails(a, begin, begin + length, roots, tails, prime, last > most)


@compiled(write(FLOAT, 1), INT, INT, INT, read(FLOAT, 1), FLOAT, BIT)
def _backward_two(a: Floats, begin: int, end: int, h: int, roots: Floats, prime: float, reduce: bool) -> None:
    """Two stages on a[begin : end], on groups of 4 h; ``reduce`` the sums."""
    p, n = full(prime), full(-1.0 / prime)
    for first in range(begin, end, 4 * h):
        g = (a.size + first) // (4 * h)
        w1, w2, w3 = full(roots[g]), full(roots[2 * g]), full(roots[2 * g + 1])
        for j in range(first, first + h, 8):
            x0, x1, x2, x3 = load(a, j), load(a, j + h), load(a, j + 2 * h), load(a, j + 3 * h)
            y0, y2 = x0 + x1, x2 + x3
            y1, y3 = product(x0 - x1, w2, p, n), product(x2 - x3, w3, p, n)
            x0, x1 = y0 + y2, y1 + y3
            if reduce:
                x0, x1 = centred(x0, p, n), centred(x1, p, n)
            store(a, j, x0)
            store(a, j + h, x1)
            store(a, j + 2 * h, product(y0 - y2, w1, p, n))
            store(a, j + 3 * h, product(y1 - y3, w1, p, n))


@compiled(write(FLOAT, 1), FLOAT, FLOAT, FLOAT, FLOAT, FLOAT)
def _backward_last(a: Floats, root1: float, root2: float, root3: float, scale: float, prime: float) -> None:
    """The last two stages, times ``scale``, and the centred results."""
    p, n, w1, w2, w3, s = full(prime), full(-1.0 / prime), full(root1), full(root2), full(root3), full(scale)
    h, w1 = a.size >> 2, centred(product(w1, s, p, n), p, n)
    for j in range(0, h, 8):
        x0, x1, x2, x3 = load(a, j), load(a, j + h), load(a, j + 2 * h), load(a, j + 3 * h)
        y0, y2 = x0 + x1, x2 + x3
        y1, y3 = product(x0 - x1, w2, p, n), product(x2 - x3, w3, p, n)
        store(a, j, centred(product(y0 + y2, s, p, n), p, n))
        store(a, j + h, centred(product(y1 + y3, s, p, n), p, n))
        store(a, j + 2 * h, centred(product(y0 - y2, w1, p, n), p, n))
        store(a, j + 3 * h, centred(product(y1 - y3, w1, p, n), p, n))


@compiled(write(FLOAT, 1), INT, INT, read(FLOAT, 1), FLOAT)
def _backward_one(a: Floats, begin: int, end: int, roots: Floats, prime: float) -> None:
    """The fourth stage on a[begin : end]."""
    p, n = full(prime), full(-1.0 / prime)
    for b in range(begin, end, 16):
        x0, x1 = load(a, b), load(a, b + 8)
        store(a, b, centred(x0 + x1, p, n))
        store(a, b + 8, product(x0 - x1, full(roots[(a.size + b) >> 4]), p, n))


@compiled(write(FLOAT, 1), INT, INT, read(FLOAT, 1), FLOAT)
def _backward_tails(a: Floats, begin: int, end: int, tails: Floats, prime: float) -> None:
    """The first three stages on a[begin : end]; their sums are centred."""
    p, n = full(prime), full(-1.0 / prime)
    for b in range(begin, end, 64):
        k = (b >> 6) * 56
        x0, x1, x2, x3 = load(a, b), load(a, b + 8), load(a, b + 16), load(a, b + 24)
        x4, x5, x6, x7 = load(a, b + 32), load(a, b + 40), load(a, b + 48), load(a, b + 56)
        y0, y2, y4, y6 = x0 + x1, x2 + x3, x4 + x5, x6 + x7
        y1, y3 = product(x0 - x1, load(tails, k + 24), p, n), product(x2 - x3, load(tails, k + 32), p, n)
        y5, y7 = product(x4 - x5, load(tails, k + 40), p, n), product(x6 - x7, load(tails, k + 48), p, n)
        w, v = load(tails, k + 8), load(tails, k + 16)
        x0, x1, x4, x5 = y0 + y2, y1 + y3, y4 + y6, y5 + y7
        x2, x3 = product(y0 - y2, w, p, n), product(y1 - y3, w, p, n)
        x6, x7 = product(y4 - y6, v, p, n), product(y5 - y7, v, p, n)
        w = load(tails, k)
        y0, y1, y2, y3 = x0 + x4, x1 + x5, x2 + x6, x3 + x7
        y4, y5 = product(x0 - x4, w, p, n), product(x1 - x5, w, p, n)
        y6, y7 = product(x2 - x6, w, p, n), product(x3 - x7, w, p, n)
        y0, y1, y2, y3 = centred(y0, p, n), centred(y1, p, n), centred(y2, p, n), centred(y3, p, n)
        y0, y1, y2, y3, y4, y5, y6, y7 = transposed((y0, y1, y2, y3, y4, y5, y6, y7))
        store(a, b, y0)
        store(a, b + 8, y1)
        store(a, b + 16, y2)
        store(a, b + 24, y3)
        store(a, b + 32, y4)
        store(a, b + 40, y5)
        store(a, b + 48, y6)
        store(a, b + 56, y7)


@compiled(write(FLOAT, 1), read(FLOAT, 3), FLOAT, FLOAT)
def backward(a: Floats, table: Floats, scale: float, prime: float) -> None:
    """Centred values (N,) to centred coefficients times N ``scale``, in place; 1 / N is table[1, 0, 0]."""
    roots, tails, size, most = table[1, 0], table[1, 1], a.size, 2.0**52 / prime
    stages = 0
    while size >> (stages + 3) > 1:
        stages += 1
    length = max(64, min(BLOCK, size >> 2))
    h, bound = 8, 1.0
    for begin in range(0, size, length):
        _backward_tails(a, begin, begin + length, tails, prime)
        h, bound = 8, 1.0
        if stages & 1:
            _backward_one(a, begin, begin + length, roots, prime)
            h = 16
        while 4 * h <= length:
            reduce = 16.0 * bound > most
            _backward_two(a, begin, begin + length, h, roots, prime, reduce)
            h, bound = 4 * h, 1.0 if reduce else 4.0 * bound
    while 4 * h < size:
        reduce = 16.0 * bound > most
        _backward_two(a, 0, size, h, roots, prime, reduce)
        h, bound = 4 * h, 1.0 if reduce else 4.0 * bound
    _backward_last(a, roots[1], roots[2], roots[3], scale, prime)
