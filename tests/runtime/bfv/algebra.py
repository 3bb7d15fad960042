"""The ring behind small ciphertexts, in Python integers: what a key holder could compute to see the noise."""

from __future__ import annotations

from functools import cache

import numpy as np

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.ring import open_ring
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.frames import Limbs


def coefficients(parameters: BfvParameters, limbs: Limbs) -> list[int]:
    """The polynomial with these residues (limbs, N) in evaluation form: N integers, centred modulo Q."""
    primes = parameters.primes[: len(limbs)]
    modulus = int(np.prod([int(p) for p in primes], dtype=object))
    parts = [
        (_inverse(parameters, i) @ limb.astype(object)) % p
        for i, (limb, p) in enumerate(zip(limbs, primes, strict=True))
    ]
    total = (
        sum(part * (modulus // p) * pow(modulus // p, -1, p) for part, p in zip(parts, primes, strict=True)) % modulus
    )
    return [int(c) - modulus if c > modulus // 2 else int(c) for c in total]


def noise_of(keys: BfvKeyHolder, limbs: Limbs, which: int = 0) -> int:
    """The largest error of the phase of a ciphertext (2, limbs, N): its distance to a multiple of Q/t."""
    parameters = keys.parameters
    t, primes = parameters.plaintext_moduli[which], parameters.primes[: limbs.shape[1]]
    secret = keys.secret_limbs()[which][1][0, : limbs.shape[1]].astype(object)
    column = np.array(primes, dtype=object)[:, None]
    phase = coefficients(parameters, (limbs[0].astype(object) + limbs[1].astype(object) * secret) % column)
    modulus = int(np.prod([int(p) for p in primes], dtype=object))
    return max(abs((2 * t * c + modulus) % (2 * modulus) - modulus) for c in phase) // (2 * t)


@cache
def _inverse(parameters: BfvParameters, limb: int) -> np.ndarray:
    """Matrix (N, N) from evaluation form to coefficients."""
    ring = open_ring(parameters.primes, parameters.ring_dim)
    prime, n = parameters.primes[limb], parameters.ring_dim
    points = [int(v) for v in ring.transforms[limb].points()]
    scale = pow(n, -1, prime)
    return np.array([[scale * pow(p, -j, prime) % prime for p in points] for j in range(n)], dtype=object)
