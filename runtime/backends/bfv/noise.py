"""Flooding noise as residues: OpenFHE turns uniform digits into polynomials in evaluation form.

A context of the same primes, with the base of the digits as its plaintext modulus, serves as the transform alone:
nothing secret is encrypted in it. The ciphertext ``(base^i, 0)`` times a plaintext p is ``(base^i p, 0)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from enclair.compiler.parameters import INSECURE, BfvParameters
from enclair.runtime.backends.bfv.context import Ciphertext, Context, open_context
from enclair.runtime.backends.bfv.frame import Limbs
from enclair.runtime.flood import FloodDigits, flood_digits, uniform_integers


@dataclass(frozen=True, slots=True, eq=False)
class FloodNoise:
    """A source of flooding noise for one choice of parameters."""

    context: Context
    digits: FloodDigits
    powers: tuple[Ciphertext, ...]

    def sample(self) -> Limbs:
        """Residues (limbs, N), in evaluation form, of a polynomial with coefficients uniform in [0, digits.width)."""
        scheme = self.context.scheme
        terms = [scheme.EvalMult(power, self._digit()) for power in self.powers]
        for term in terms[1:]:
            scheme.EvalAddInPlace(terms[0], term)
        first: Limbs = self.context.write_ciphertext(terms[0])[0]
        return first

    def _digit(self) -> object:
        return self.context.encode(uniform_integers(self.digits.base, self.context.ring_dim))


def open_noise(parameters: BfvParameters) -> FloodNoise:
    """The source for these parameters."""
    digits = flood_digits(parameters)
    context = open_context(replace(parameters, plaintext_moduli=(digits.base,), security=INSECURE), digits.base)
    return FloodNoise(context, digits, tuple(_constant(context, digits.base**i) for i in range(digits.count)))


def _constant(context: Context, value: int) -> Ciphertext:
    """The ciphertext (value, 0): a constant polynomial has the same residue everywhere in evaluation form."""
    limbs = np.zeros(context.ciphertext.shape, dtype=np.uint64)
    for limb, prime in zip(limbs[0], context.ciphertext.primes, strict=True):
        limb[:] = value % prime
    return context.read_ciphertext(limbs, b"0" * 32)
