"""OpenFHE's rings: at which points it evaluates polynomials, and which of them are the slots.

OpenFHE takes the smallest primitive 2N-th root of unity modulo each prime, and reverses the bits of the exponents. This
is proven for each context: a plaintext's limbs, brought back to coefficients, must be the same small integers modulo
every prime; any other root or order gives residues of the primes' size. The slots are found from one vector of
different integers, and proven with another. Nothing here is secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.context import Ciphertext, Context, Plaintext, open_context
from enclair.runtime.backends.frames import Limbs
from enclair.runtime.backends.integers import centred
from enclair.runtime.backends.interface import Integers
from enclair.runtime.backends.releases import RELEASE
from enclair.runtime.errors import OpenFheError
from enclair.runtime.limbs.answers import drop_tables
from enclair.runtime.limbs.elementwise import reduction_constants
from enclair.runtime.limbs.ntt import Transform, smallest_root
from enclair.runtime.limbs.plaintexts import lift, scale


@dataclass(frozen=True, eq=False)
class Ring:
    """The transform modulo each prime of Q, in OpenFHE's order."""

    transforms: tuple[Transform, ...]

    @cached_property
    def primes(self) -> tuple[int, ...]:
        """Of Q."""
        return tuple(transform.prime for transform in self.transforms)

    @cached_property
    def drop_tables(self) -> tuple[Limbs, Limbs, Limbs, Limbs]:
        """What ``flood_and_drop`` needs."""
        return drop_tables(self.transforms)

    @cached_property
    def constants(self) -> Limbs:
        """The primes' ``reduction_constants``."""
        return reduction_constants(self.primes)


@dataclass(frozen=True, eq=False)
class Plaintexts:
    """Polynomials modulo one plaintext modulus: their slots, their coefficients, and their limbs.

    Args:
        ring: of the ciphertexts.
        transform: modulo the plaintext modulus.
        order: slot i is value order[i] of the transform.
    """

    ring: Ring
    transform: Transform
    order: NDArray[np.int64]

    def coefficients(self, slots: Integers) -> Integers:
        """The coefficients (rows, N), in [0, t), of the polynomials with these slots (rows, N)."""
        values = np.empty(slots.shape, dtype=np.uint64)
        values[:, self.order] = slots % self.transform.prime
        return self.transform.coefficients(values).astype(np.int64)

    def slots(self, coefficients: Integers) -> Integers:
        """The slots (rows, N), in [0, t), of the polynomials with these coefficients (rows, N)."""
        values = self.transform.values((coefficients % self.transform.prime).astype(np.uint64))
        return values[:, self.order].astype(np.int64)

    def factors(self, coefficients: Integers) -> Limbs:
        """Limbs (rows, limbs, N) to multiply ciphertexts by: coefficients in [0, t), as OpenFHE lifts them."""
        return lift(coefficients, self.ring.transforms)

    def summands(self, coefficients: Integers) -> Limbs:
        """Limbs (rows, limbs, N) to add to ciphertexts: Q/t times the coefficients, rounded up as OpenFHE does."""
        return scale(coefficients, self.transform.prime, self.ring.transforms)


@lru_cache(maxsize=32)
def open_ring(primes: tuple[int, ...], ring_dim: int) -> Ring:
    """The ring of these primes; ``open_plaintexts`` proves it."""
    return Ring(tuple(Transform(prime, ring_dim, smallest_root(prime, ring_dim)) for prime in primes))


@lru_cache(maxsize=32)
def open_plaintexts(parameters: BfvParameters, plaintext_modulus: int) -> Plaintexts:
    """The slots of a plaintext modulus; the other fields of the parameters say N, Q and security.

    Raises:
        OpenFheError: OpenFHE evaluates polynomials or packs slots in an order that is not known here.
    """
    context, ring_dim = open_context(parameters, plaintext_modulus), parameters.ring_dim
    ring = open_ring(parameters.primes, ring_dim)
    transform = Transform(plaintext_modulus, ring_dim, smallest_root(plaintext_modulus, ring_dim))
    numbers = np.arange(ring_dim, dtype=np.int64)
    values = transform.values(_coefficients(context, ring, numbers))[0].astype(np.int64)
    if not np.array_equal(np.sort(values), numbers):
        raise OpenFheError(f"OpenFHE packs slots where they are not known to be: {_REMEDY}")
    plaintexts = Plaintexts(ring, transform, np.argsort(values))
    squares = numbers * numbers % plaintext_modulus
    if not np.array_equal(plaintexts.coefficients(squares[None]), _coefficients(context, ring, squares)):
        raise OpenFheError(f"OpenFHE packs slots in another order than expected: {_REMEDY}")
    return plaintexts


def constant(context: Context, value: int) -> Ciphertext:
    """The ciphertext (value, 0): a constant polynomial has the same residue everywhere in evaluation form."""
    limbs = np.zeros(context.ciphertext.shape, dtype=np.uint64)
    for limb, prime in zip(limbs[0], context.ciphertext.primes, strict=True):
        limb[:] = value % prime
    return context.read_ciphertext(limbs, b"0" * 32)


def _coefficients(context: Context, ring: Ring, slots: Integers) -> Limbs:
    """The coefficients (1, N) of the plaintext that OpenFHE makes of these slots (N,) in [0, t).

    Raises:
        OpenFheError: its limbs are not those of one polynomial with coefficients in [0, t).
    """
    plaintext: Plaintext = context.encode(centred(slots, context.plaintext_modulus))
    limbs = context.write_ciphertext(context.scheme.EvalMult(constant(context, 1), plaintext))[0]
    pairs = zip(ring.transforms, limbs, strict=True)
    rows = np.stack([transform.coefficients(limb[None])[0] for transform, limb in pairs])
    if rows.max() >= context.plaintext_modulus or (rows != rows[0]).any():
        raise OpenFheError(f"OpenFHE evaluates polynomials at other points than expected: {_REMEDY}")
    return rows[:1]


_REMEDY = f"use OpenFHE {RELEASE}"
