"""Operations on ciphertexts (parts, rows, N) at a level, by the kernels and the tables of a ring.

An element is ``extended`` when its rows are the primes of Q at its level and then the special primes: it then stands
for P' times its value, and ``mod_down`` brings it back.
"""

from __future__ import annotations

import numpy as np

from enclair.runtime.limbs.compiled import Floats, Integers
from enclair.runtime.limbs.workers import spread
from enclair.runtime.rns import elementwise
from enclair.runtime.rns.conversion import divide, raise_digit, scratch
from enclair.runtime.rns.elementwise import Kept, Places
from enclair.runtime.rns.key_switch import switch_keys
from enclair.runtime.rns.ring import Ring

NOT_PERMUTED: Places = np.empty(0, dtype=np.int32)
FIRST: Integers = np.zeros(1, dtype=np.int64)


def moduli(ring: Ring, level: int, *, extended: bool = False) -> Floats:
    """(rows,): the primes of an element."""
    return ring.moduli[ring.rows(level, extended=extended)]


def add(x: Floats, y: Floats, primes: Floats, *, subtract: bool = False, out: Floats | None = None) -> Floats:
    """X + y or x - y, modulo these primes; ``out`` may be one of them."""
    made: Floats = np.empty_like(x) if out is None else out
    elementwise.add(x, y, primes, subtract, made)
    return made


def decompose(ring: Ring, x: Floats, level: int, out: Floats | None = None) -> Floats:
    """The digits (digits, rows, N) of an element (level + 1, N), modulo Q and the special primes."""
    rows, digits = ring.rows(level, extended=True), ring.digits(level)
    made: Floats = np.empty((len(digits), rows.size, ring.ring_dim)) if out is None else out

    def work(number: int) -> None:
        begin, end = digits[number]
        c, scaled, digit = ring.conversion(tuple(range(begin, end))), scratch(end - begin, ring.ring_dim), made[number]
        tables = (c.scales, c.inverses, c.factors, ring.tables, ring.moduli)
        raise_digit(x, begin, end, rows, *tables, scaled, digit)

    spread(work, range(len(digits)))
    return made


def inner_products(
    ring: Ring,
    digits: Floats,
    key: Kept,
    level: int,
    places: Places,
    addends: Floats,
    added: int,
    to: Integers,
    out: Floats,
    part: range | None = None,
) -> None:
    """Extended ciphertexts out[to[c]] = permuted(P' addends[c] + sum of digits[c] times key).

    Args:
        ring: of all.
        digits: (ciphertexts, digits, rows, N).
        key: (digits, 2, rows of the ciphertexts' level or of a higher one, N).
        level: of the ciphertexts.
        places: of ``Ring.rotation``, or ``NOT_PERMUTED``.
        addends: (ciphertexts, parts, rows, N): modulo Q, or extended, and then not multiplied by P'.
        added: parts of them that are added.
        to: (ciphertexts,).
        out: (any, 2, all rows or those of ``part``, N).
        part: of the rows that is to be made; None for all.
    """
    rows = ring.rows(level, extended=True)
    part = range(rows.size) if part is None else part
    count, base = addends.shape[2], 0 if out.shape[2] == rows.size else part.start
    factors = np.ones(count) if count == rows.size else ring.special_factors
    of_key = rows - (rows > level) * (len(ring.every_prime) - key.shape[2])
    moduli, first, last = ring.moduli[rows], part.start, part.stop
    switch_keys(digits, key, of_key, moduli, first, last, places, addends, added, factors, to, base, out)


def switch(ring: Ring, x: Floats, key: Kept, level: int, places: Places, addend: Floats, added: int) -> Floats:
    """The extended ciphertext (2, rows, N) that an element x (level + 1, N) makes with a key, plus P' times the first
    ``added`` parts of ``addend``, permuted.
    """
    rows = ring.rows(level, extended=True).size
    out, digits = np.empty((1, 2, rows, ring.ring_dim)), decompose(ring, x, level)[None]

    def work(part: range) -> None:
        inner_products(ring, digits, key, level, places, addend[None], added, FIRST, out, part)

    spread(work, [range(rows // 2), range(rows // 2, rows)])
    made: Floats = out[0]
    return made


def rotate(ring: Ring, x: Floats, key: Kept, level: int, steps: int) -> Floats:
    """A ciphertext (2, level + 1, N), rotated and extended."""
    return switch(ring, x[1], key, level, ring.rotation(steps), x, 1)


def relinearise(ring: Ring, x: Floats, key: Kept, level: int) -> Floats:
    """A product (3, level + 1, N) as an extended ciphertext of two parts."""
    return switch(ring, x[2], key, level, NOT_PERMUTED, x, 2)


def mod_down(ring: Ring, x: Floats, level: int, *, drop: int = 0) -> Floats:
    """An extended ciphertext (parts, rows, N), divided by the special primes and by the last ``drop`` primes of Q."""
    rows = ring.rows(level, extended=True)
    return _divide(ring, x, rows, level + 1 - drop)


def rescale(ring: Ring, x: Floats, level: int) -> Floats:
    """A ciphertext (parts, level + 1, N), divided by its last prime."""
    return _divide(ring, x, ring.rows(level, extended=False), level)


def _divide(ring: Ring, x: Floats, rows: Integers, kept: int) -> Floats:
    c = ring.conversion(tuple(rows[kept:].tolist()))
    out: Floats = np.empty((len(x), kept, ring.ring_dim))

    def work(part: int) -> None:
        scaled, tables = scratch(rows.size - kept, ring.ring_dim), (ring.tables, ring.moduli)
        divide(x[part], rows, c.scales, c.inverses, c.factors, c.quotients, *tables, scaled, out[part])

    spread(work, range(len(x)))
    return out


def extend(ring: Ring, x: Floats, level: int, out: Floats | None = None) -> Floats:
    """The extended form of a ciphertext (parts, level + 1, N): P' times it."""
    rows, limbs = ring.rows(level, extended=True), level + 1
    out = np.empty((len(x), rows.size, ring.ring_dim)) if out is None else out
    factor = ring.special_factors[:limbs]
    for part, to in zip(x, out, strict=True):
        elementwise.multiply_constant(part[None], factor, ring.moduli[:limbs], to[None, :limbs])
    out[:, limbs:] = 0.0
    return out


def multiply_special(ring: Ring, x: list[Floats], row: int, to: Integers, out: Floats) -> None:
    """out[to[i], :, 0] = P' times row ``row`` of ciphertexts x[i] (2, rows, N)."""
    factor, modulus = ring.special_factors[row : row + 1], ring.moduli[row : row + 1]
    for one, place in zip(x, to.tolist(), strict=True):
        for part in range(2):
            elementwise.multiply_constant(one[part, None, row : row + 1], factor, modulus, out[place, part, None])
