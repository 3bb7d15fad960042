"""Residues at their real width: a residue modulo a prime of 54 bits takes 54 bits of the wire, not 64.

A row of N residues is one run of N * bits bits, the lowest first, in little-endian words; the bits that fill up the
last word are zero.
"""

from __future__ import annotations

import numpy as np

from enclair.runtime.limbs.compiled import BIT, INT, WORD, Word, Words, compiled, read, write


def row_words(ring_dim: int, bits: int) -> int:
    """Words of a packed row."""
    return -(-ring_dim * bits // 64)


@compiled(read(WORD, 2), INT, write(WORD, 2))
def pack(rows: Words, bits: int, out: Words) -> None:
    """Rows (count, N) of residues below 2^bits to out (count, row_words)."""
    for r in range(rows.shape[0]):
        word, filled, place = np.uint64(0), 0, 0
        for c in range(rows.shape[1]):
            v: Word = rows[r, c]
            word |= v << np.uint64(filled)
            filled += bits
            if filled >= 64:
                out[r, place] = word
                place, filled = place + 1, filled - 64
                word = v >> np.uint64(bits - filled) if filled > 0 else np.uint64(0)
        if filled > 0:
            out[r, place] = word


@compiled(read(WORD, 2), INT, read(WORD, 1), write(WORD, 2), returns=BIT)
def unpack(rows: Words, bits: int, primes: Words, out: Words) -> bool:
    """Packed rows (count, row_words) to out (count, N); row r is modulo primes[r % limbs].

    Returns whether all residues are below their primes, and the bits that fill up are zero.
    """
    good, mask, size = True, (np.uint64(1) << np.uint64(bits)) - np.uint64(1), out.shape[1]
    for r in range(rows.shape[0]):
        prime = primes[r % primes.size]
        for c in range(size):
            place, shift = (c * bits) >> 6, (c * bits) & 63
            v = rows[r, place] >> np.uint64(shift)
            if shift + bits > 64:
                v |= rows[r, place + 1] << np.uint64(64 - shift)
            v &= mask
            good &= v < prime
            out[r, c] = v
        used = (size * bits) & 63
        if used > 0:
            good &= rows[r, rows.shape[1] - 1] >> np.uint64(used) == np.uint64(0)
    return good
