"""Operations on ciphertexts (parts, rows, N) at a level, by the kernels and the tables of a ring.

An element is ``extended`` when its rows are the primes of Q at its level and then the special primes: it then stands
for P' times its value, and ``mod_down`` brings it back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from enclair.runtime.limbs.compiled import Floats, Integers
from enclair.runtime.rns import elementwise
from enclair.runtime.rns.conversion import divide, raise_digit, scratch
from enclair.runtime.rns.key_switch import switch_key
from enclair.runtime.rns.ring import Ring

NOT_PERMUTED: NDArray[np.int32] = np.empty(0, dtype=np.int32)


def moduli(ring: Ring, level: int, *, extended: bool = False) -> Floats:
    """(rows,): the primes of an element."""
    return ring.moduli[ring.rows(level, extended=extended)]


def add(x: Floats, y: Floats, primes: Floats, *, subtract: bool = False) -> Floats:
    """X + y or x - y, modulo these primes."""
    out = np.empty_like(x)
    elementwise.add(x, y, primes, subtract, out)
    return out


def decompose(ring: Ring, x: Floats, level: int) -> Floats:
    """The digits (digits, rows, N) of an element (level + 1, N), modulo Q and the special primes."""
    rows, digits = ring.rows(level, extended=True), ring.digits(level)
    out = np.empty((len(digits), rows.size, ring.ring_dim))
    work = scratch(ring.digit_size, ring.ring_dim)
    for (begin, end), digit in zip(digits, out, strict=True):
        c = ring.conversion(tuple(range(begin, end)))
        raise_digit(
            x, begin, end, rows, c.scales, c.inverses, c.factors, ring.tables, ring.moduli, work[: end - begin], digit
        )
    return out


def inner_product(
    ring: Ring,
    digits: Floats,
    key: Floats,
    level: int,
    places: NDArray[np.int32] = NOT_PERMUTED,
    addend: Floats | None = None,
    out: Floats | None = None,
) -> Floats:
    """The extended ciphertext (2, rows, N): permuted((addend, 0) + sum of digits times key)."""
    rows = ring.rows(level, extended=True)
    out = np.empty((2, rows.size, ring.ring_dim)) if out is None else out
    addend = np.empty((0, ring.ring_dim)) if addend is None else addend
    switch_key(digits, key, rows, ring.moduli, places, addend, np.empty(2 * ring.ring_dim), out)
    return out


def mod_down(ring: Ring, x: Floats, level: int, *, drop: int = 0) -> Floats:
    """An extended ciphertext (parts, rows, N), divided by the special primes and by the last ``drop`` primes of Q."""
    rows = ring.rows(level, extended=True)
    return _divide(ring, x, rows, level + 1 - drop)


def rescale(ring: Ring, x: Floats, level: int) -> Floats:
    """A ciphertext (parts, level + 1, N), divided by its last prime."""
    return _divide(ring, x, ring.rows(level, extended=False), level)


def _divide(ring: Ring, x: Floats, rows: Integers, kept: int) -> Floats:
    c = ring.conversion(tuple(rows[kept:].tolist()))
    out = np.empty((len(x), kept, ring.ring_dim))
    work = scratch(rows.size - kept, ring.ring_dim)
    for part, to in zip(x, out, strict=True):
        divide(part, rows, c.scales, c.inverses, c.factors, c.quotients, ring.tables, ring.moduli, work, to)
    return out


def special_multiple(ring: Ring, x: Floats) -> Floats:
    """P' times elements (parts, level + 1, N), modulo the primes of Q."""
    factor = ring.residues(ring.special_product)[: x.shape[1]]
    out = np.empty_like(x)
    elementwise.multiply_constant(x, factor, ring.moduli[: x.shape[1]], out)
    return out


def extend(ring: Ring, x: Floats, level: int, out: Floats | None = None) -> Floats:
    """The extended form of a ciphertext (parts, level + 1, N): P' times it."""
    rows = ring.rows(level, extended=True)
    out = np.empty((len(x), rows.size, ring.ring_dim)) if out is None else out
    out[:, : level + 1] = special_multiple(ring, x)
    out[:, level + 1 :] = 0.0
    return out


def relinearise(ring: Ring, x: Floats, key: Floats, level: int) -> Floats:
    """A product (3, level + 1, N) as an extended ciphertext of two parts."""
    out = inner_product(ring, decompose(ring, x[2], level), key, level)
    primes = moduli(ring, level)
    first = special_multiple(ring, x[:2])
    out[:, : level + 1] = add(np.ascontiguousarray(out[:, : level + 1]), first, primes)
    return out
