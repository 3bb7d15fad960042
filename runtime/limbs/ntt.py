"""The negacyclic number-theoretic transform: coefficients to values at the primitive 2N-th roots of unity, and back.

Value i is at ``root^(2 r + 1)``, where r is i with its bits reversed. Butterflies after Longa and Naehrig (CANS 2016)
with Shoup's and Harvey's lazy reductions (J. Symbolic Computation 60, 2014): values stay below four times the prime,
which is below 2^61.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from enclair.runtime.limbs.compiled import WORD, Word, Words, compiled, high_product, read, write


@dataclass(frozen=True)
class Transform:
    """The transform modulo a prime that is 1 modulo 2N, for a primitive 2N-th root of unity."""

    prime: int
    ring_dim: int
    root: int

    @cached_property
    def forward_roots(self) -> Words:
        """(2, N): the powers of the root, exponents with their bits reversed, and Shoup's quotients."""
        return with_quotients(self._powers(self.root), self.prime)

    @cached_property
    def inverse_roots(self) -> Words:
        """(2, N): the inverses of ``forward_roots``; the first entry, which no butterfly uses, is 1/N."""
        powers = self._powers(pow(self.root, -1, self.prime))
        powers[0] = pow(self.ring_dim, -1, self.prime)
        return with_quotients(powers, self.prime)

    def values(self, coefficients: Words) -> Words:
        """Coefficients (rows, N) below the prime to values."""
        out = coefficients.copy()
        forward(out, self.forward_roots, self.prime)
        return out

    def coefficients(self, values: Words) -> Words:
        """Values (rows, N) below the prime to coefficients."""
        out = values.copy()
        inverse(out, self.inverse_roots, self.prime)
        return out

    def points(self) -> Words:
        """(N,): where the values are, in their order."""
        x = np.zeros((1, self.ring_dim), dtype=np.uint64)
        x[0, 1] = 1
        values: Words = self.values(x)[0]
        return values

    def _powers(self, root: int) -> list[int]:
        powers = [1]
        for _ in range(self.ring_dim - 1):
            powers.append(powers[-1] * root % self.prime)
        return [powers[i] for i in reversed_bits(self.ring_dim).tolist()]


def with_quotients(factors: list[int], prime: int) -> Words:
    """(2, n): factors, and floor(2^64 factor / prime), for products without a division."""
    return np.array([factors, [(factor << 64) // prime for factor in factors]], dtype=np.uint64)


@lru_cache(maxsize=32)
def reversed_bits(size: int) -> NDArray[np.int64]:
    """0, 1, ..., size - 1 with their bits reversed; size is a power of two."""
    out: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
    while out.size < size:
        out = np.concatenate([2 * out, 2 * out + 1])
    return out


def smallest_root(prime: int, ring_dim: int) -> int:
    """The smallest primitive 2N-th root of unity modulo a prime that is 1 modulo 2N."""
    exponent = (prime - 1) // (2 * ring_dim)
    root = next(r for x in range(2, prime) if pow(r := pow(x, exponent, prime), ring_dim, prime) == prime - 1)
    square, smallest = root * root % prime, root
    for _ in range(ring_dim - 1):
        root = root * square % prime
        smallest = min(smallest, root)
    return smallest


@compiled(write(WORD, 2), read(WORD, 2), WORD)
def forward(rows: Words, roots: Words, prime: Word) -> None:
    """Coefficients to values, in place; the results are below the prime."""
    size, twice = rows.shape[1], prime + prime
    for r in range(rows.shape[0]):
        a = rows[r]
        half, groups = size // 2, 1
        while half > 0:
            for g in range(groups):
                factor, quotient, begin = roots[0, groups + g], roots[1, groups + g], 2 * g * half
                for j in range(begin, begin + half):
                    u, v = a[j], a[j + half]
                    u -= twice if u >= twice else np.uint64(0)
                    v = v * factor - high_product(v, quotient) * prime
                    a[j], a[j + half] = u + v, u - v + twice
            half, groups = half // 2, groups * 2
        for j in range(size):
            u = a[j]
            u -= twice if u >= twice else np.uint64(0)
            a[j] = u - (prime if u >= prime else np.uint64(0))


@compiled(write(WORD, 2), read(WORD, 2), WORD)
def inverse(rows: Words, roots: Words, prime: Word) -> None:
    """Values to coefficients, in place; the results are below the prime."""
    size, twice = rows.shape[1], prime + prime
    for r in range(rows.shape[0]):
        a = rows[r]
        half, groups = 1, size // 2
        while groups > 0:
            for g in range(groups):
                factor, quotient, begin = roots[0, groups + g], roots[1, groups + g], 2 * g * half
                for j in range(begin, begin + half):
                    u, v = a[j], a[j + half]
                    total, difference = u + v, u - v + twice
                    a[j] = total - (twice if total >= twice else np.uint64(0))
                    a[j + half] = difference * factor - high_product(difference, quotient) * prime
            half, groups = half * 2, groups // 2
        for j in range(size):
            u = a[j] * roots[0, 0] - high_product(a[j], roots[1, 0]) * prime
            a[j] = u - (prime if u >= prime else np.uint64(0))
