"""The bytes on the wire: residues at their real width, checked before they are put into a frame.

A payload of ``count`` ciphertexts is rows (count, moduli, 2, limbs) of N packed residues (``limbs.packing``);
``moduli`` is the number of plaintext moduli, and an answer has one limb. A public key is, for each plaintext modulus,
the key tag (32 hex digits) and rows (2, limbs).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from enclair.runtime.backends.bfv.context import Context
from enclair.runtime.backends.frames import Frame, Limbs, check_tag
from enclair.runtime.backends.interface import Payload
from enclair.runtime.errors import PayloadError
from enclair.runtime.limbs.packing import pack, row_words, unpack
from enclair.runtime.limbs.workers import parallel_parts

TAG_BYTES = 32
CIPHERTEXTS_AT_ONCE = 8


def object_bytes(frame: Frame) -> int:
    """Bytes of one object on the wire."""
    polynomials, limbs, ring_dim = frame.shape
    return 8 * polynomials * limbs * row_words(ring_dim, frame.bits)


def read_payload(payload: Payload, count: int, moduli: int, frame: Frame) -> Limbs:
    """Checked residues (count, moduli, 2, limbs, N).

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    rows = packed_rows(payload, count, moduli, frame)
    out = np.empty((count, moduli, *frame.shape), dtype=np.uint64)
    parallel_parts(
        lambda start, stop: read_rows(rows[start:stop], frame, out[start:stop]), count, at_least=CIPHERTEXTS_AT_ONCE
    )
    return out


def packed_rows(payload: Payload, count: int, moduli: int, frame: Frame) -> Limbs:
    """The packed rows (count, rows, words) of a payload; a view.

    Raises:
        PayloadError: wrong length.
    """
    needed = count * moduli * object_bytes(frame)
    if len(payload) != needed:
        raise PayloadError(
            f"{count} x {frame.kind} need {needed} bytes, got {len(payload)}: the message is of another program or cut"
        )
    words = row_words(frame.ring_dim, frame.bits)
    return np.frombuffer(payload, dtype="<u8").reshape(count, moduli * len(frame.offsets), words)


def read_rows(rows: Limbs, frame: Frame, out: Limbs) -> None:
    """Unpack rows (..., words) to residues of as many rows of N.

    Raises:
        PayloadError: a residue is not below its prime.
    """
    native = rows.astype(np.uint64, copy=False).reshape(-1, rows.shape[-1])
    primes = np.array(frame.primes, dtype=np.uint64)
    if not unpack(native, frame.bits, primes, out.reshape(-1, frame.ring_dim)):
        raise PayloadError(frame.beyond_prime)


def write_payload(count: int, moduli: int, frame: Frame, make: Callable[[int], Limbs], at_least: int = 1) -> Payload:
    """The payload of ``count`` ciphertexts, on all cores.

    Args:
        count: of ciphertexts.
        moduli: plaintext moduli.
        frame: of a ciphertext.
        make: gives the residues (moduli, 2, limbs, N) of a ciphertext by its number.
        at_least: so many ciphertexts are worth a thread.
    """
    payload = bytearray(count * moduli * object_bytes(frame))
    rows = packed_rows(payload, count, moduli, frame)

    def work(start: int, stop: int) -> None:
        for number in range(start, stop):
            pack(make(number).reshape(-1, frame.ring_dim), frame.bits, rows[number])

    parallel_parts(work, count, at_least=at_least)
    return payload


def read_public_key(data: bytes, contexts: tuple[Context, ...]) -> list[tuple[bytes, Limbs]]:
    """Key tag and checked residues (2, limbs, N) for each plaintext modulus.

    Raises:
        PayloadError: wrong length, a tag that is none, or a residue that is not below its prime.
    """
    needed = public_key_bytes(contexts)
    if len(data) != needed:
        raise PayloadError(f"a public key of these parameters has {needed} bytes, got {len(data)}")
    parts = [data[start : start + needed // len(contexts)] for start in range(0, needed, needed // len(contexts))]
    return [_read_key_part(part, context.public_key) for part, context in zip(parts, contexts, strict=True)]


def write_public_key(parts: list[tuple[bytes, Limbs]], frame: Frame) -> bytes:
    """The bytes of a public key."""
    keys = [limbs for _, limbs in parts]
    rows = bytes(write_payload(len(parts), 1, frame, lambda number: keys[number]))
    size = object_bytes(frame)
    return b"".join(tag + rows[i * size : (i + 1) * size] for i, (tag, _) in enumerate(parts))


def public_key_bytes(contexts: tuple[Context, ...]) -> int:
    """Length of a public key."""
    return sum(TAG_BYTES + object_bytes(context.public_key) for context in contexts)


def key_id_of(public_key: bytes) -> str:
    """32 hex digits that name a key: the start of the sha256 of the public key's bytes."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def _read_key_part(part: bytes, frame: Frame) -> tuple[bytes, Limbs]:
    tag = part[:TAG_BYTES]
    check_tag(tag)
    return tag, read_payload(part[TAG_BYTES:], 1, 1, frame)[0, 0]
