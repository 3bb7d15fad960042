"""The primes of a ring and every table that arithmetic modulo them needs.

Rows are numbered once for all: first the primes of Q, then the special primes that key switching works with. Those are
not OpenFHE's, which are of 60 bits: see ``keys``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.parameters import largest_prime
from enclair.runtime.errors import RuntimeFailure
from enclair.runtime.limbs.compiled import Floats, Integers
from enclair.runtime.limbs.ntt import Transform, reversed_bits, smallest_root
from enclair.runtime.rns import transforms

LARGEST_PRIME = 2**50
NARROW = 2**31
SPECIAL_MARGIN = 2**8
"""The special primes' product is at least so many times the largest digit: key switching then adds less noise than
rounding does."""


class RingParameters(Protocol):
    """What is read of the parameters of a program."""

    def __hash__(self) -> int:
        """Equal parameters have equal hashes."""

    @property
    def ring_dim(self) -> int:
        """N."""

    @property
    def primes(self) -> tuple[int, ...]:
        """Of Q, the first is kept longest."""

    @property
    def special_primes(self) -> tuple[int, ...]:
        """Of P, in the keys that OpenFHE makes."""

    @property
    def digit_size(self) -> int:
        """Primes of a digit of key switching."""


@dataclass(frozen=True)
class Conversion:
    """From residues modulo some primes, the sources, to residues modulo others.

    Args:
        sources: rows of the primes, one after another.
        scales: (sources,) for ``backward``: (S / s)^-1 / N modulo each source s, where S is their product.
        inverses: (sources,): 1 / s.
        factors: (sources + 1, rows): S / s modulo every prime, and S.
        quotients: (rows,): 1 / S modulo every prime that is not a source.
    """

    sources: Integers
    scales: Floats
    inverses: Floats
    factors: Floats
    quotients: Floats


@dataclass(frozen=True, eq=False)
class Ring:
    """Primes of Q and special primes, all below 2^50 and 1 modulo 2N.

    Args:
        ring_dim: N, at least 128.
        primes: of Q.
        digit_size: primes of Q in a digit of key switching.
    """

    ring_dim: int
    primes: tuple[int, ...]
    digit_size: int
    _conversions: dict[tuple[int, ...], Conversion] = field(default_factory=dict, repr=False)
    _permutations: dict[int, NDArray[np.int32]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.ring_dim < transforms.SMALLEST_RING:
            raise RuntimeFailure(f"a ring needs N >= {transforms.SMALLEST_RING}, got {self.ring_dim}: use a larger one")
        if wrong := [p for p in self.primes if p >= LARGEST_PRIME or p % (2 * self.ring_dim) != 1]:
            raise RuntimeFailure(
                f"primes of Q must be below 2^50 and 1 modulo 2N, got {wrong} for N = {self.ring_dim}:"
                " compile again with smaller scales"
            )

    @cached_property
    def special(self) -> tuple[int, ...]:
        """As few primes as the largest digit needs: the largest below 2^31 where those of Q are, too, or below 2^50."""
        primes, needed = self.primes, SPECIAL_MARGIN * self.largest_digit
        chosen: list[int] = []
        candidate = NARROW if max(primes) < NARROW else LARGEST_PRIME
        while math.prod(chosen) < needed:
            candidate = largest_prime(candidate, self.ring_dim)
            if candidate not in primes:
                chosen.append(candidate)
        return tuple(chosen)

    @cached_property
    def largest_digit(self) -> int:
        """The largest product of the primes of a digit."""
        size, primes = self.digit_size, self.primes
        return max(math.prod(primes[i : i + size]) for i in range(0, len(primes), size))

    @cached_property
    def every_prime(self) -> tuple[int, ...]:
        """Of Q, then the special ones: one a row."""
        return (*self.primes, *self.special)

    @cached_property
    def kept_as(self) -> type[np.int32 | np.float64]:
        """How residues are kept for long, to take less memory."""
        return np.int32 if max(self.every_prime) < NARROW else np.float64

    @cached_property
    def moduli(self) -> Floats:
        """(rows,): ``every_prime``."""
        return np.array(self.every_prime, dtype=np.float64)

    @cached_property
    def transforms(self) -> tuple[Transform, ...]:
        """One a row, by OpenFHE's roots."""
        return tuple(Transform(p, self.ring_dim, smallest_root(p, self.ring_dim)) for p in self.every_prime)

    @cached_property
    def tables(self) -> Floats:
        """(rows, 2, 2, N): ``transforms.tables``."""
        return np.stack([transforms.tables(transform) for transform in self.transforms])

    def rows(self, level: int, *, extended: bool) -> Integers:
        """The rows of an element at a level: its primes of Q and, ``extended``, the special ones."""
        special = range(len(self.primes), len(self.every_prime)) if extended else range(0)
        return np.array([*range(level + 1), *special], dtype=np.int64)

    def digits(self, level: int) -> list[tuple[int, int]]:
        """First row and end of each digit at a level."""
        limbs, size = level + 1, self.digit_size
        return [(start, min(start + size, limbs)) for start in range(0, limbs, size)]

    def conversion(self, sources: tuple[int, ...]) -> Conversion:
        """The tables for these source rows."""
        if sources not in self._conversions:
            self._conversions[sources] = self._conversion(sources)
        return self._conversions[sources]

    def _conversion(self, sources: tuple[int, ...]) -> Conversion:
        primes = self.every_prime
        chosen = [primes[row] for row in sources]
        whole = math.prod(chosen)
        scales = [pow(whole // s * self.ring_dim, -1, s) for s in chosen]
        factors = [[_centred(f, p) for p in primes] for f in (*(whole // s for s in chosen), whole)]
        quotients = [0 if row in sources else _centred(pow(whole, -1, p), p) for row, p in enumerate(primes)]
        return Conversion(
            np.array(sources, dtype=np.int64),
            np.array([_centred(f, s) for f, s in zip(scales, chosen, strict=True)], dtype=np.float64),
            np.array([1.0 / s for s in chosen]),
            np.array(factors, dtype=np.float64),
            np.array(quotients, dtype=np.float64),
        )

    def residues(self, number: int) -> Floats:
        """(rows,): an integer modulo every prime, centred."""
        return np.array([_centred(number, p) for p in self.every_prime], dtype=np.float64)

    @cached_property
    def special_product(self) -> int:
        """Of the special primes."""
        return math.prod(self.special)

    @cached_property
    def special_factors(self) -> Floats:
        """(rows,): the special primes' product modulo every prime."""
        return self.residues(self.special_product)

    def permutation(self, element: int) -> NDArray[np.int32]:
        """(N,): value i of p(X^element) is value permutation[i] of p."""
        element %= 2 * self.ring_dim
        if element not in self._permutations:
            self._permutations[element] = _permutation(self.ring_dim, element)
        return self._permutations[element]

    def rotation(self, steps: int) -> NDArray[np.int32]:
        """The permutation that brings slot i + steps to slot i."""
        return self.permutation(pow(5, steps % (self.ring_dim // 2), 2 * self.ring_dim))


def _permutation(ring_dim: int, element: int) -> NDArray[np.int32]:
    exponents = (2 * reversed_bits(ring_dim) + 1)[transforms.order(ring_dim)]
    places = np.empty(2 * ring_dim, dtype=np.int32)
    places[exponents] = np.arange(ring_dim, dtype=np.int32)
    out: NDArray[np.int32] = places[exponents * element % (2 * ring_dim)]
    return out


def _centred(number: int, prime: int) -> int:
    residue = number % prime
    return residue - prime if residue > prime // 2 else residue
