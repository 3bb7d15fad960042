"""Small rings, residues at their extremes, and references in Python integers."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from enclair.compiler.parameters import largest_prime
from enclair.runtime.limbs.compiled import Floats
from enclair.runtime.rns import transforms
from enclair.runtime.rns.ring import Ring

RING_DIM = 128


def ring(bits: tuple[int, ...] = (50, 40, 40, 27, 26, 20), digit_size: int = 2, ring_dim: int = RING_DIM) -> Ring:
    primes: list[int] = []
    for width in bits:
        bound = 2**width
        while (prime := largest_prime(bound, ring_dim)) in primes:
            bound = prime
        primes.append(prime)
    return Ring(ring_dim, tuple(primes), digit_size)


def centred(numbers: np.ndarray, prime: int) -> np.ndarray:
    """Python integers modulo a prime, at most half of it in magnitude."""
    rest = numbers % prime
    return np.where(rest > prime // 2, rest - prime, rest)


def residues(rng: np.random.Generator, prime: int, shape: tuple[int, ...]) -> Floats:
    """Centred residues, many of them extreme."""
    half = prime // 2
    spread = rng.integers(-half, half + 1, shape)
    extreme = rng.choice([-half, half, 0, 1, -1, half - 1], shape)
    return np.where(rng.random(shape) < rng.choice([0.0, 0.5, 1.0]), extreme, spread).astype(np.float64)


def element(rng: np.random.Generator, ring: Ring, rows: np.ndarray, parts: int = 2) -> Floats:
    """(parts, rows, N)."""
    rows_ = [residues(rng, ring.every_prime[row], (parts, ring.ring_dim)) for row in rows.tolist()]
    return np.ascontiguousarray(np.stack(rows_, axis=1))


def exact(x: Floats) -> np.ndarray:
    """As Python integers."""
    return x.astype(np.int64).astype(object)


def coefficients(ring: Ring, x: Floats, row: int) -> np.ndarray:
    """Of values (N,) modulo the prime of a row: Python integers in [0, prime), by the transform of OpenFHE's order."""
    words = (exact(x) % ring.every_prime[row]).astype(np.uint64)
    ordered = words[transforms.order(ring.ring_dim)]
    return ring.transforms[row].coefficients(ordered[None])[0].astype(object)


def lifted(ring: Ring, x: Floats, rows: list[int]) -> np.ndarray:
    """The coefficients of an element (rows, N), centred modulo the product of its primes."""
    whole = math.prod(ring.every_prime[row] for row in rows)
    total = np.zeros(ring.ring_dim, dtype=object)
    for values, row in zip(x, rows, strict=True):
        prime = ring.every_prime[row]
        total += coefficients(ring, values, row) * (whole // prime * pow(whole // prime, -1, prime))
    return centred(total, whole)


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
