"""CKKS ciphertexts on the wire: residues in OpenFHE's order at the width of their prime.

A payload of ``count`` ciphertexts is, for each ciphertext, each part and each prime, N packed residues
(``limbs.packing``); there is no header.
"""

from __future__ import annotations

import numpy as np

from enclair.runtime.errors import PayloadError
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.limbs.packing import pack, row_words, unpack
from enclair.runtime.limbs.workers import spread


def ciphertext_bytes(primes: tuple[int, ...], ring_dim: int, parts: int = 2) -> int:
    """Bytes of a ciphertext modulo these primes."""
    return 8 * parts * sum(row_words(ring_dim, prime.bit_length()) for prime in primes)


def read_ciphertexts(
    payload: bytes | bytearray | memoryview, count: int, primes: tuple[int, ...], ring_dim: int, parts: int = 2
) -> list[Words]:
    """Checked residues (parts, limbs, N) of each ciphertext.

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    size = ciphertext_bytes(primes, ring_dim, parts)
    if len(payload) != count * size:
        raise PayloadError(
            f"{count} x ciphertext of {parts} parts modulo {len(primes)} primes need {count * size} bytes, got"
            f" {len(payload)}: the message is of another program or cut"
        )
    words = np.frombuffer(payload, dtype="<u8").astype(np.uint64, copy=False).reshape(count, size // 8)
    return spread(lambda row: _read(row, primes, ring_dim, parts), list(words))


def write_ciphertexts(ciphertexts: list[Words], primes: tuple[int, ...]) -> bytes:
    """The payload of residues (parts, limbs, N), one array for each ciphertext."""
    return b"".join(spread(lambda words: _write(words, primes), ciphertexts))


def _read(words: Words, primes: tuple[int, ...], ring_dim: int, parts: int) -> Words:
    out, start = np.empty((parts, len(primes), ring_dim), dtype=np.uint64), 0
    for part, limb in np.ndindex(parts, len(primes)):
        bits = primes[limb].bit_length()
        end = start + row_words(ring_dim, bits)
        row = np.ascontiguousarray(words[None, start:end])
        if not unpack(row, bits, np.array(primes[limb : limb + 1], dtype=np.uint64), out[part, limb : limb + 1]):
            raise PayloadError(
                f"a residue of the ciphertext is not below its prime {primes[limb]}: the message was altered, or made"
                " for other parameters"
            )
        start = end
    return out


def _write(words: Words, primes: tuple[int, ...]) -> bytes:
    rows = []
    for part, limb in np.ndindex(words.shape[:2]):
        bits = primes[limb].bit_length()
        row = np.empty((1, row_words(words.shape[2], bits)), dtype=np.uint64)
        pack(np.ascontiguousarray(words[part, limb : limb + 1]), bits, row)
        rows.append(row.astype("<u8", copy=False).tobytes())
    return b"".join(rows)
