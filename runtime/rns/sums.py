"""Sums of ciphertexts times plaintexts or numbers, modulo one prime at a time.

Ciphertexts are x (count, 2, rows, N), of which the rows may be only some: row r of the sums is row r - ``first`` of x.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from enclair.compiler.ir.weight_columns import TILE
from enclair.runtime.limbs.compiled import FLOAT, INT, Floats, Integers, compiled, read, write
from enclair.runtime.rns.elementwise import Kept
from enclair.runtime.rns.lanes import MAGIC, Lanes, centred, compiled_for_both, full, load, multiply_add, product, store

CHUNK = 512
"""Values that are summed together, in the nearest cache."""

STRIP = 64
"""Values of these."""

SPLIT = 2.0**25
"""Residues are cut into halves for weighted sums: an upper and a lower one of at most 2^24."""


@compiled_for_both(
    lambda kept: (
        read(FLOAT, 4), read(kept, 3), INT, read(INT, 1), read(INT, 1), FLOAT, INT, INT, write(FLOAT, 3),
    )
)  # fmt: skip
def sum_products(
    x: Floats,
    factors: Kept,
    place: int,
    cols: Integers,
    which: Integers,
    prime: float,
    row: int,
    first: int,
    out: Floats,
) -> None:
    """out[:, row] = sum_t x[cols[t], :, row - first] factors[which[t], place].

    Args:
        x: (count, 2, rows, N).
        factors: (distinct, rows, N).
        place: the row of them that is for this prime.
        cols: (terms,).
        which: (terms,).
        prime: of the row.
        row: of the result.
        first: row of the first values of x.
        out: (2, rows, N).
    """
    _, _, rows, size = x.shape
    p, n, chunk, distance = full(prime), full(-1.0 / prime), min(CHUNK, size), out.shape[1] * size
    sums = np.empty(2 * chunk)
    for start in range(0, size, chunk):
        sums[:] = 0.0
        for t in range(cols.size):
            begin = (cols[t] * 2 * rows + row - first) * size + start
            other = (which[t] * factors.shape[1] + place) * size + start
            for j in range(0, chunk, 8):
                sum0, sum1, factor = load(sums, j), load(sums, chunk + j), load(factors, other + j)
                if t & 3 == 3:
                    sum0, sum1 = centred(sum0, p, n), centred(sum1, p, n)
                store(sums, j, sum0 + product(load(x, begin + j), factor, p, n))
                store(sums, chunk + j, sum1 + product(load(x, begin + rows * size + j), factor, p, n))
        for j in range(0, chunk, 8):
            store(out, row * size + start + j, centred(load(sums, j), p, n))
            store(out, distance + row * size + start + j, centred(load(sums, chunk + j), p, n))


@compiled(read(FLOAT, 4), read(FLOAT, 2), INT, read(INT, 1), read(INT, 1), FLOAT, INT, INT, write(FLOAT, 3))
def sum_multiples(
    x: Floats,
    factors: Floats,
    place: int,
    cols: Integers,
    which: Integers,
    prime: float,
    row: int,
    first: int,
    out: Floats,
) -> None:
    """``sum_products`` for integers, given modulo each prime: factors (distinct, rows)."""
    _, _, rows, size = x.shape
    p, n, chunk, distance = full(prime), full(-1.0 / prime), min(CHUNK, size), out.shape[1] * size
    sums = np.empty(2 * chunk)
    for start in range(0, size, chunk):
        sums[:] = 0.0
        for t in range(cols.size):
            begin, factor = (cols[t] * 2 * rows + row - first) * size + start, full(factors[which[t], place])
            for j in range(0, chunk, 8):
                sum0, sum1 = load(sums, j), load(sums, chunk + j)
                if t & 3 == 3:
                    sum0, sum1 = centred(sum0, p, n), centred(sum1, p, n)
                store(sums, j, sum0 + product(load(x, begin + j), factor, p, n))
                store(sums, chunk + j, sum1 + product(load(x, begin + rows * size + j), factor, p, n))
        for j in range(0, chunk, 8):
            store(out, row * size + start + j, centred(load(sums, j), p, n))
            store(out, distance + row * size + start + j, centred(load(sums, chunk + j), p, n))


@compiled_for_both(
    lambda kept: (
        read(FLOAT, 4), INT, read(kept, 3), INT, read(INT, 1), read(INT, 1), FLOAT, INT, INT, write(FLOAT, 2),
    )
)  # fmt: skip
def _make_tile(
    x: Floats,
    line: int,
    factors: Kept,
    place: int,
    cols: Integers,
    which: Integers,
    prime: float,
    begin: int,
    start: int,
    out: Floats,
) -> None:
    """Products of the terms from ``begin`` on, on a strip of values from ``start`` on, in halves: out (TILE, 2 STRIP).

    ``line`` is the row of x[col], of all parts.
    """
    size, lines = x.shape[3], x.shape[1] * x.shape[2]
    p, n, magic, split, shrink = full(prime), full(-1.0 / prime), full(MAGIC), full(-SPLIT), full(1.0 / SPLIT)
    for t in range(begin, min(begin + TILE, cols.size)):
        value, factor = (cols[t] * lines + line) * size, (which[t] * factors.shape[1] + place) * size
        for j in range(0, STRIP, 8):
            made = centred(product(load(x, value + start + j), load(factors, factor + start + j), p, n), p, n)
            upper = multiply_add(made, shrink, magic) - magic
            to = (t - begin) * 2 * STRIP + j
            store(out, to, upper)
            store(out, to + STRIP, multiply_add(upper, split, made))


@njit(inline="always")
def _joined(total: Lanes, upper: Lanes, lower: Lanes, split: Lanes, p: Lanes, n: Lanes) -> Lanes:
    """The total plus the sum of halves, centred."""
    return centred(total + product(upper, split, p, n) + centred(lower, p, n), p, n)


@compiled(read(FLOAT, 2), read(FLOAT, 2), INT, FLOAT, write(FLOAT, 2))
def _add_tile(tile: Floats, weights: Floats, begin: int, prime: float, sums: Floats) -> None:
    """sums (results, STRIP) += weights[:, begin:] times the tile; four results at a time."""
    p, n, split = full(prime), full(-1.0 / prime), full(SPLIT)
    count = min(TILE, weights.shape[1] - begin)
    for o in range(0, weights.shape[0], 4):
        for j in range(0, STRIP, 8):
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = full(0.0)
            for t in range(count):
                upper, lower = load(tile, t * 2 * STRIP + j), load(tile, t * 2 * STRIP + STRIP + j)
                w = full(weights[o, begin + t])
                a0, b0 = multiply_add(upper, w, a0), multiply_add(lower, w, b0)
                w = full(weights[o + 1, begin + t])
                a1, b1 = multiply_add(upper, w, a1), multiply_add(lower, w, b1)
                w = full(weights[o + 2, begin + t])
                a2, b2 = multiply_add(upper, w, a2), multiply_add(lower, w, b2)
                w = full(weights[o + 3, begin + t])
                a3, b3 = multiply_add(upper, w, a3), multiply_add(lower, w, b3)
            place = o * STRIP + j
            store(sums, place, _joined(load(sums, place), a0, b0, split, p, n))
            store(sums, place + STRIP, _joined(load(sums, place + STRIP), a1, b1, split, p, n))
            store(sums, place + 2 * STRIP, _joined(load(sums, place + 2 * STRIP), a2, b2, split, p, n))
            store(sums, place + 3 * STRIP, _joined(load(sums, place + 3 * STRIP), a3, b3, split, p, n))


@compiled_for_both(
    lambda kept: (
        read(FLOAT, 4), read(kept, 3), INT, read(INT, 1), read(INT, 1), read(FLOAT, 2), FLOAT, INT, INT,
        read(INT, 1), write(FLOAT, 4),
    )
)  # fmt: skip
def sum_weighted(
    x: Floats,
    factors: Kept,
    place: int,
    cols: Integers,
    which: Integers,
    weights: Floats,
    prime: float,
    row: int,
    first: int,
    to: Integers,
    out: Floats,
) -> None:
    """out[to[o], :, row] = sum_t weights[o, t] x[cols[t], :, row - first] factors[which[t], place].

    Args:
        x: (count, 2, rows, N).
        factors: (distinct, rows, N).
        place: the row of them that is for this prime.
        cols: (terms,).
        which: (terms,).
        weights: (results, terms) integers, results filled up with zeros to a multiple of four; the sum of the
            magnitudes of ``TILE`` following ones of a result is below ``weight_columns.MOST_WEIGHT``.
        prime: of the row.
        row: of the results.
        first: row of the first values of x.
        to: (results,).
        out: (any, 2, rows, N).
    """
    size, rows = x.shape[3], out.shape[2]
    tile, sums = np.empty((TILE, 2 * STRIP)), np.empty((weights.shape[0], STRIP))
    for part in range(2):
        line = part * x.shape[2] + row - first
        for start in range(0, size, STRIP):
            sums[:] = 0.0
            for begin in range(0, cols.size, TILE):
                _make_tile(x, line, factors, place, cols, which, prime, begin, start, tile)
                _add_tile(tile, weights, begin, prime, sums)
            for o in range(to.size):
                begin = ((to[o] * 2 + part) * rows + row) * size + start
                for j in range(0, STRIP, 8):
                    store(out, begin + j, load(sums, o * STRIP + j))
