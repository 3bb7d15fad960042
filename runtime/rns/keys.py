"""Evaluation keys: as OpenFHE makes them, and brought to the special primes of a ``Ring``.

OpenFHE's special primes are of 60 bits, too wide for float64. A key modulo Q P is therefore brought to Q P': multiplied
by P'/P and rounded, as a rescaling does. From b + a s = e + P g (mod Q P), where g is the gadget times the secret that
the key holds, follows b' + a' s = e P'/P + r + P' g (mod Q P') with a rounding error r of about
sqrt((1 + 2 N / 3) / 12): larger than e, but divided by P' when the key is used, and ``SPECIAL_MARGIN`` is made for it.
Nothing but public key material goes in, so that security is that of OpenFHE's key.

The sum of the keys of several digits is the key of the digit that holds all their primes. Where OpenFHE's P is large
enough for such a digit, fewer and larger ones make less work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from enclair.runtime.errors import PayloadError
from enclair.runtime.limbs.compiled import (
    FLOAT,
    INT,
    WORD,
    Floats,
    Integers,
    Word,
    Words,
    compiled,
    high_product,
    read,
    write,
)
from enclair.runtime.limbs.ntt import Transform, inverse, smallest_root, with_quotients
from enclair.runtime.limbs.workers import spread
from enclair.runtime.rns.elementwise import Kept, from_words
from enclair.runtime.rns.lanes import centred, full, load, product, store
from enclair.runtime.rns.ring import Ring, RingParameters
from enclair.runtime.rns.transforms import forward, order

KEY_COST = {np.int32: 0.5, np.float64: 1.0}
"""Of the product of a digit and a key modulo one prime, in transforms: the key's memory takes longest."""

KEY_MARGIN = 2**5
"""OpenFHE's P is at least so many times a merged digit: errors in its keys then add less noise than rounding does."""

HALF = 30
"""Bits of the lower half of a residue of 60 bits."""


@dataclass(frozen=True, eq=False)
class EvaluationKeys:
    """OpenFHE's keys of hybrid key switching.

    A key is residues (digits, 2, limbs of Q and then of P, N) in evaluation form and in OpenFHE's order: b, then a.
    For the secret s' that it switches from, b + a s = e + P g s', g 1 modulo the digit's primes, 0 modulo others. One
    that is used at low levels alone has no more digits and limbs of Q than the highest of them takes.

    Args:
        relinearisation: from s^2; None where no product is relinearised.
        rotations: by steps: brings slot i + steps to slot i. From s; under the secret that the rotation turns into s.
        key_id: 32 hex digits that name the client's key.
    """

    relinearisation: Words | None = None
    rotations: Mapping[int, Words] = field(default_factory=dict)
    key_id: str = ""


@lru_cache(maxsize=8)
def open_ring(parameters: RingParameters) -> Ring:
    """The ring whose digits, of one or more of OpenFHE's, make least work; the same for all evaluators of a process."""
    primes, size, whole = parameters.primes, parameters.digit_size, math.prod(parameters.special_primes)
    rings = [Ring(parameters.ring_dim, primes, size * merged) for merged in range(1, -(-len(primes) // size) + 1)]
    return min((ring for ring in rings if ring is rings[0] or KEY_MARGIN * ring.largest_digit <= whole), key=_work)


def _work(ring: Ring) -> float:
    """Of a rotation, in transforms: digits, products with the key, and two polynomials to bring back."""
    rows, digits = len(ring.every_prime), len(ring.digits(len(ring.primes) - 1))
    return rows * (digits * (1 + KEY_COST[ring.kept_as]) + 2)


@dataclass(frozen=True, eq=False)
class SwitchTables:
    """What bringing keys to a ring's special primes needs.

    Args:
        ring: that they are brought to.
        merged: OpenFHE's digits in one of the ring's.
        transforms: modulo OpenFHE's special primes.
        scales: (special, 2): P' (P / p)^-1 modulo each of them, and Shoup's quotient.
        inverses: (special,): 1 / p.
        factors: (2 special + 1, rows of the ring): P / p and 2^30 P / p modulo its primes, and -P.
        quotients: (rows,): 1 / P modulo its primes.
        multipliers: (rows,): P' / P modulo its primes.
    """

    ring: Ring
    merged: int
    transforms: tuple[Transform, ...]
    scales: Words
    inverses: Floats
    factors: Floats
    quotients: Floats
    multipliers: Floats


def switch_tables(parameters: RingParameters, ring: Ring) -> SwitchTables:
    """The tables for the special primes of these parameters."""
    special, target = parameters.special_primes, ring.special_product
    whole = math.prod(special)
    scales = [with_quotients([target * pow(whole // p, -1, p) % p], p)[:, 0] for p in special]
    factors = [ring.residues(whole // p * power) for p in special for power in (1, 2**HALF)]
    quotients = [pow(whole, -1, prime) for prime in ring.every_prime]
    return SwitchTables(
        ring,
        ring.digit_size // parameters.digit_size,
        tuple(Transform(p, ring.ring_dim, smallest_root(p, ring.ring_dim)) for p in special),
        np.stack(scales),
        np.array([1.0 / p for p in special]),
        np.stack([*factors, ring.residues(-whole)]),
        np.array([ring.residues(q)[row] for row, q in enumerate(quotients)]),
        np.array([ring.residues(target * q)[row] for row, q in enumerate(quotients)]),
    )


def bring_key(key: Words, tables: SwitchTables, level: int, name: str) -> Kept:
    """What a level takes of a key: (digits, 2, rows of the level, N) modulo the primes of the ring.

    Raises:
        PayloadError: it is of a shape that serves no level so high; ``name`` says which key.
    """
    ring, merged = tables.ring, tables.merged
    _check_shape(key, tables, level, name)
    own, rows = len(ring.digits(level)), ring.rows(level, extended=True)
    given = [*range(level + 1), *range(key.shape[2] - len(tables.transforms), key.shape[2])]
    out = np.empty((own, 2, rows.size, ring.ring_dim), dtype=ring.kept_as)

    def work(place: tuple[int, ...]) -> None:
        digit, part = place
        words = key[digit * merged : (digit + 1) * merged, part]
        out[place] = _bring(_sum_words(words[:, given], tables), tables, rows)

    spread(work, list(np.ndindex(own, 2)))
    return out


def _check_shape(key: Words, tables: SwitchTables, level: int, name: str) -> None:
    ring, special = tables.ring, len(tables.transforms)
    served = min(max(level, key.shape[2] - special - 1), len(ring.primes) - 1) if key.ndim == 4 else level
    digits = -(-(served + 1) * tables.merged // ring.digit_size)
    needed = (digits, 2, served + 1 + special, ring.ring_dim)
    if key.shape != needed or key.dtype != np.uint64:
        raise PayloadError(
            f"the {name} key needs uint64 residues of shape {needed} (digits, 2, limbs, N), got {key.dtype}"
            f" {key.shape}: make keys for these parameters"
        )


def cut_key(ring: Ring, key: Kept, level: int) -> Kept:
    """What a level takes of a key (digits, 2, rows of a higher level, N) that was brought."""
    special = len(ring.special)
    rows = [*range(level + 1), *range(key.shape[2] - special, key.shape[2])]
    return np.ascontiguousarray(key[: len(ring.digits(level)), :, rows])


def _sum_words(words: Words, tables: SwitchTables) -> Words:
    """The sum (limbs, N) of elements (digits, limbs, N)."""
    special = [transform.prime for transform in tables.transforms]
    primes = [*tables.ring.primes[: words.shape[1] - len(special)], *special]
    moduli: Words = np.array(primes, dtype=np.uint64)[:, None]
    total: Words = words[0].copy()
    for other in words[1:]:
        total += other
        np.subtract(total, moduli, out=total, where=total >= moduli)
    return total


def _bring(words: Words, tables: SwitchTables, rows: Integers) -> Floats:
    """One element (limbs, N) as (rows, N), these rows of the ring."""
    ring, limbs = tables.ring, len(words) - len(tables.transforms)
    out = np.zeros((rows.size, ring.ring_dim))
    rest = words[limbs:].copy()
    for row, transform, scale in zip(rest, tables.transforms, tables.scales, strict=True):
        inverse(row[None], transform.inverse_roots, transform.prime)
        _scale(row, scale, np.uint64(transform.prime))
    primes = np.array(ring.primes[:limbs], dtype=np.uint64)
    from_words(np.ascontiguousarray(words[:limbs]), order(ring.ring_dim), primes, out[:limbs])
    parts, taken = _parts(rest, tables.inverses), np.empty(ring.ring_dim)
    for made, row in zip(out, rows.tolist(), strict=True):
        prime = float(ring.every_prime[row])
        _sum(parts, tables.factors, row, prime, taken)
        forward(taken, ring.tables[row], prime)
        _combine(made, tables.multipliers[row], taken, -tables.quotients[row], prime)
    return out


def _parts(rest: Words, inverses: Floats) -> Floats:
    """(2 special + 1, N): the halves of the y of ``conversion``, the lower first, and v."""
    halves = np.stack([rest & np.uint64((1 << HALF) - 1), rest >> np.uint64(HALF)], axis=1).astype(np.float64)
    v = np.rint((rest.astype(np.float64) * inverses[:, None]).sum(axis=0))
    return np.concatenate([halves.reshape(-1, rest.shape[1]), v[None]])


@compiled(write(WORD, 1), read(WORD, 1), WORD)
def _scale(row: Words, scale: Words, prime: Word) -> None:
    """Times scale[0], in place; below the prime."""
    for j in range(row.size):
        v = row[j] * scale[0] - high_product(row[j], scale[1]) * prime
        row[j] = v - (prime if v >= prime else np.uint64(0))


@compiled(read(FLOAT, 2), read(FLOAT, 2), INT, FLOAT, write(FLOAT, 1))
def _sum(parts: Floats, factors: Floats, row: int, prime: float, out: Floats) -> None:
    """Out (N,) = sum_k parts[k] factors[k, row] modulo the prime."""
    count, size = parts.shape
    p, n = full(prime), full(-1.0 / prime)
    for j in range(0, size, 8):
        total = full(0.0)
        for k in range(count):
            total = centred(total + product(load(parts, k * size + j), full(factors[k, row]), p, n), p, n)
        store(out, j, total)


@compiled(write(FLOAT, 1), FLOAT, read(FLOAT, 1), FLOAT, FLOAT)
def _combine(x: Floats, factor: float, y: Floats, other: float, prime: float) -> None:
    """X (N,) = x factor + y other modulo the prime, in place."""
    p, n, f, g = full(prime), full(-1.0 / prime), full(factor), full(other)
    for j in range(0, x.size, 8):
        store(x, j, centred(product(load(x, j), f, p, n) + product(load(y, j), g, p, n), p, n))
