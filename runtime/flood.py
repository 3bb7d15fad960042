"""The flooding noise of an answer: randomness from the operating system, and why it is enough.

An answer is ``sum_k w_k ct_k + Enc(0) + (e, 0)``. The client made the ``ct_k`` and knows their noise ``e_k``, so the
noise of the bare sum, ``sum_k w_k e_k``, would tell it about the weights beyond what the decrypted values tell. The
encryption of zero hides the second polynomial (ring-LWE, with the ternary ``u`` of the encryption as the secret); ``e``
hides the noise of the first.

Smudging lemma (Asharov, Jain, Lopez-Alt, Tromer, Vaikuntanathan, Wichs, Eurocrypt 2012, lemma 1): for ``|b| <= B`` and
``e`` uniform on ``W`` consecutive integers, the distributions of ``e`` and ``e + b`` are within statistical distance
``B / W``. Here ``B <= W / 2^flood_bits``, which the compiler proves from ``sum |w|``; over the N coefficients of a
ciphertext the distance is at most ``N / 2^flood_bits``. W is the largest value that decryption bears,
``2^flood_noise_bits``, so that the distance is as small as the parameters allow. Dropping primes afterwards is public
post-processing.

The claim is about the ciphertext alone: the decrypted values still say what they say.

This is the one piece of encryption that is not OpenFHE's. Each coefficient of ``e`` is ``flood_noise_bits`` bits from
the system's random source.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray


def flooding_noise(bits: int, count: int) -> NDArray[np.uint64]:
    """(words, count) words, the lower first: ``count`` numbers uniform in [0, 2^bits)."""
    words = -(-bits // 64)
    drawn = np.frombuffer(os.urandom(8 * words * count), dtype="<u8").reshape(words, count).astype(np.uint64)
    drawn[words - 1] &= np.uint64(2 ** (bits - 64 * (words - 1)) - 1)
    return drawn


def uniform_integers(modulus: int, count: int) -> NDArray[np.int64]:
    """Integers from the system's random source, uniform in [-(modulus - 1) / 2, (modulus - 1) / 2]; odd modulus."""
    drawn = np.empty(0, dtype=np.uint64)
    mask = np.uint64(2 ** modulus.bit_length() - 1)
    while drawn.size < count:
        fresh = np.frombuffer(os.urandom(8 * 2 * count), dtype="<u8") & mask
        drawn = np.concatenate([drawn, fresh[fresh < modulus]])
    return drawn[:count].astype(np.int64) - (modulus - 1) // 2
