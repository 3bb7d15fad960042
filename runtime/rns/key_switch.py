"""The inner product of digits and a key, in the basis of Q and the special primes."""

from __future__ import annotations

import numpy as np
from numba import types

from enclair.runtime.limbs.compiled import FLOAT, INT, Floats, Integers, compiled, read, write
from enclair.runtime.rns.elementwise import Kept, Places
from enclair.runtime.rns.lanes import centred, compiled_for_both, full, gather, load, product, store

BLOCK = 64
"""An automorphism brings the values of such a block to the places of one such block."""


@compiled(read(types.int32, 1), INT, returns=types.Array(INT, 1, "C"))
def _targets(places: Places, size: int) -> Integers:
    """(N / BLOCK,): where the block of values goes that begins at each multiple of ``BLOCK``."""
    out = np.arange(0, size, BLOCK)
    for target in range(0, places.size, BLOCK):
        out[places[target] // BLOCK] = target
    return out


@compiled(read(FLOAT, 1), INT, INT, read(types.int32, 1), write(FLOAT, 4), INT, INT)
def _put(sums: Floats, start: int, block: int, places: Places, out: Floats, begin: int, target: int) -> None:
    """The values of a block, sums[start : start + BLOCK], to their places in the row of ``out`` that begins there."""
    if places.size == 0:
        for j in range(0, BLOCK, 8):
            store(out, begin + target + j, load(sums, start + j))
    else:
        for j in range(0, BLOCK, 8):
            store(out, begin + target + j, gather(sums, start - block, places, target + j))


@compiled_for_both(
    lambda kept: (
        read(FLOAT, 4), read(kept, 4), read(INT, 1), read(FLOAT, 1), INT, INT, read(types.int32, 1),
        read(FLOAT, 4), INT, read(FLOAT, 1), read(INT, 1), INT, write(FLOAT, 4),
    )
)  # fmt: skip
def switch_keys(
    digits: Floats,
    key: Kept,
    rows: Integers,
    moduli: Floats,
    first: int,
    last: int,
    places: Places,
    addends: Floats,
    added: int,
    factors: Floats,
    to: Integers,
    base: int,
    out: Floats,
) -> None:
    """out[to[c]] = permuted(factors * addends[c] + sum_d digits[c, d] key[d]), for rows ``first`` to ``last``.

    One key for all ciphertexts: a row of it stays in the cache.

    Args:
        digits: (ciphertexts, digits, rows, N).
        key: (at least digits, 2, at least as many rows as the digits, N).
        rows: of the key, one for each row of the digits.
        moduli: (rows,): of the digits.
        first: row of the first results.
        last: row after those.
        places: (N,) value i of a result is value places[i] of the sums; empty for none.
        addends: (ciphertexts, at least ``added``, at most rows, N).
        added: parts of them that are added.
        factors: (at least rows of the addends,).
        to: (ciphertexts,).
        base: row of the first of ``out``.
        out: (any, 2, rows, N).
    """
    ciphertexts, count, limbs, size = digits.shape
    every, parts, addend_rows = key.shape[2], addends.shape[1], addends.shape[2]
    sums, blocks = np.empty(2 * BLOCK), _targets(places, size)
    for r in range(first, last):
        row = rows[r]
        p, n = full(moduli[r]), full(-1.0 / moduli[r])
        for c in range(ciphertexts):
            add0, add1 = added > 0 and r < addend_rows, added > 1 and r < addend_rows
            other = (c * parts * addend_rows + r) * size
            factor = full(factors[r]) if r < addend_rows else full(0.0)
            digit, place = (c * count * limbs + r) * size, row * size
            for b in range(0, size, BLOCK):
                for j in range(0, BLOCK, 8):
                    sum0, sum1 = full(0.0), full(0.0)
                    if add0:
                        sum0 = product(load(addends, other + b + j), factor, p, n)
                    if add1:
                        sum1 = product(load(addends, other + addend_rows * size + b + j), factor, p, n)
                    for d in range(count):
                        x, k = load(digits, digit + d * limbs * size + b + j), place + d * 2 * every * size + b + j
                        sum0 = sum0 + product(x, load(key, k), p, n)
                        sum1 = sum1 + product(x, load(key, k + every * size), p, n)
                        if d & 3 == 3:
                            sum0, sum1 = centred(sum0, p, n), centred(sum1, p, n)
                    store(sums, j, centred(sum0, p, n))
                    store(sums, BLOCK + j, centred(sum1, p, n))
                for part in range(2):
                    begin = ((to[c] * 2 + part) * out.shape[2] + r - base) * size
                    _put(sums, part * BLOCK, b, places, out, begin, blocks[b // BLOCK])
