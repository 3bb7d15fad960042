"""The bytes on the wire: residues, checked before they are put into a frame.

A payload of ``count`` ciphertexts is an array u64 (count, moduli, 2, limbs, N), little-endian; ``moduli`` is the number
of plaintext moduli, and an answer has one limb. A public key is, for each plaintext modulus, the key tag (32 hex
digits) and residues (2, limbs, N).
"""

from __future__ import annotations

import hashlib

import numpy as np

from enclair.runtime.backends.bfv.context import Context
from enclair.runtime.backends.bfv.frame import Frame, Limbs, check_tag
from enclair.runtime.backends.interface import Payload
from enclair.runtime.errors import PayloadError

TAG_BYTES = 32


def read_payload(payload: Payload, count: int, moduli: int, frame: Frame) -> Limbs:
    """Checked residues (count, moduli, 2, limbs, N).

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    shape = (count, moduli, *frame.shape)
    needed = 8 * int(np.prod(shape))
    if len(payload) != needed:
        raise PayloadError(
            f"{count} x {frame.kind} need {needed} bytes, got {len(payload)}: the message is of another program or cut"
        )
    limbs = np.frombuffer(payload, dtype="<u8").reshape(shape)
    frame.check_residues(limbs)
    return limbs.astype(np.uint64)


def write_payload(limbs: Limbs) -> Payload:
    """The payload of residues (count, moduli, 2, limbs, N)."""
    return limbs.astype("<u8", copy=False).tobytes()


def read_public_key(data: bytes, contexts: tuple[Context, ...]) -> list[tuple[bytes, Limbs]]:
    """Key tag and checked residues (2, limbs, N) for each plaintext modulus.

    Raises:
        PayloadError: wrong length, a tag that is none, or a residue that is not below its prime.
    """
    needed = public_key_bytes(contexts)
    if len(data) != needed:
        raise PayloadError(f"a public key of these parameters has {needed} bytes, got {len(data)}")
    parts = [data[start : start + needed // len(contexts)] for start in range(0, needed, needed // len(contexts))]
    return [_read_key_part(part, context) for part, context in zip(parts, contexts, strict=True)]


def write_public_key(parts: list[tuple[bytes, Limbs]]) -> bytes:
    """The bytes of a public key."""
    return b"".join(tag + limbs.astype("<u8", copy=False).tobytes() for tag, limbs in parts)


def public_key_bytes(contexts: tuple[Context, ...]) -> int:
    """Length of a public key."""
    return sum(TAG_BYTES + 8 * int(np.prod(context.public_key.shape)) for context in contexts)


def key_id_of(public_key: bytes) -> str:
    """32 hex digits that name a key: the start of the sha256 of the public key's bytes."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def _read_key_part(part: bytes, context: Context) -> tuple[bytes, Limbs]:
    tag, frame = part[:TAG_BYTES], context.public_key
    check_tag(tag)
    limbs = np.frombuffer(part, dtype="<u8", offset=TAG_BYTES).reshape(frame.shape)
    frame.check_residues(limbs)
    return tag, limbs
