"""Real vectors as polynomials, and back: CKKS's canonical embedding.

Slot j of m(X) is its value at zeta^(5^j), zeta = exp(i pi / N); a real polynomial has the conjugate at zeta^(-5^j). The
powers 5^j are the exponents 4 t + 1, so that with V[t] the slot of that exponent the coefficients are, for k < N/2,
m_k = 2/N Re(zeta^-k F[k]) and m_(k + N/2) = 2/N Im(zeta^-k F[k]), where F is V's discrete Fourier transform: one of N/2
reals. (Cheon, Kim, Kim and Song, ASIACRYPT 2017.)
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from enclair.runtime.errors import ValueRangeError
from enclair.runtime.limbs.compiled import Floats, Integers
from enclair.runtime.rns.elementwise import reduce_row
from enclair.runtime.rns.ring import Ring
from enclair.runtime.rns.transforms import forward

LARGEST_QUOTIENT = 2.0**50


def coefficients(slots: Floats) -> Floats:
    """The coefficients (..., N) of the polynomials with these real slots (..., N/2), at scale 1."""
    ring_dim = 2 * slots.shape[-1]
    places, twist = _tables(ring_dim)
    values = np.empty_like(slots, dtype=np.float64)
    values[..., places] = slots
    twisted = np.fft.fft(values) * twist
    return np.concatenate([twisted.real, twisted.imag], axis=-1) * (2.0 / ring_dim)


def slots(coefficients: Floats) -> NDArray[np.complex128]:
    """The slots (..., N/2) of polynomials with these coefficients (..., N): the reverse of ``coefficients``."""
    half = coefficients.shape[-1] // 2
    places, twist = _tables(2 * half)
    twisted = (coefficients[..., :half] + 1j * coefficients[..., half:]) * twist.conj()
    return np.asarray((np.fft.ifft(twisted) * half)[..., places])


@lru_cache(maxsize=16)
def _tables(ring_dim: int) -> tuple[Integers, NDArray[np.complex128]]:
    """Where slot j is in V, and zeta^-k for k < N/2."""
    half = ring_dim // 2
    powers = [1]
    for _ in range(half - 1):
        powers.append(powers[-1] * 5 % (2 * ring_dim))
    places = (np.array(powers, dtype=np.int64) - 1) // 4
    return places, np.exp(-1j * np.pi / ring_dim * np.arange(half))


def check_size(ring: Ring, coefficients: Floats) -> None:
    """See that coefficients can be reduced modulo every prime.

    Raises:
        ValueRangeError: one is no number, or too large for float64 arithmetic modulo a prime.
    """
    largest, smallest = np.abs(coefficients).max(initial=0.0), float(ring.moduli.min())
    if not largest < LARGEST_QUOTIENT * smallest:
        raise ValueRangeError(
            f"a plaintext's coefficients must be below 2^50 times the smallest prime, {smallest:.0f}, got"
            f" {largest:.3g}: rescale before, or use smaller values"
        )


def residues(ring: Ring, coefficients: Floats, rows: Integers) -> Floats:
    """The element (len(rows), N) of real coefficients (N,), each rounded to the nearest integer.

    Raises:
        ValueRangeError: a coefficient that is no number, or too large for float64 arithmetic modulo a prime.
    """
    whole = np.rint(coefficients)
    check_size(ring, whole)
    out = np.empty((rows.size, ring.ring_dim))
    for to, row in zip(out, rows.tolist(), strict=True):
        reduce_to(ring, whole, row, to)
    return out


def reduce_to(ring: Ring, whole: Floats, row: int, out: Floats) -> None:
    """Out (N,) = the residues modulo one prime of whole coefficients (N,) of a checked size."""
    reduce_row(whole, float(ring.moduli[row]), out)
    forward(out, ring.tables[row], float(ring.moduli[row]))
