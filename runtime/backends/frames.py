"""OpenFHE's bytes taken apart and put together again, so that it never parses bytes from outside.

OpenFHE does not survive malformed bytes: some kill the process, most are computed on. On the wire are therefore
residues alone, little-endian u64. A frame is the serialisation of one kind of object (ciphertext, answer, key) of a
context, made on the spot from a throw-away key pair. To rebuild an object, checked residues and a checked key tag are
written into the frame, and that is what OpenFHE reads.

In OpenFHE's binary serialisation a limb is the u64 N, then N residues, then the prime as u64; nothing else of an object
depends on its values, but for the key tag, 32 hex digits. ``find_frame`` looks for exactly that, and the context proves
it by a round trip.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.runtime.errors import OpenFheError, PayloadError

Limbs: TypeAlias = NDArray[np.uint64]

TAG_PATTERN = re.compile(rb"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Frame:
    """The serialisation of one kind of object, and where its residues are.

    Args:
        kind: for messages.
        skeleton: the bytes; what the residues were does not matter.
        offsets: of each limb's first residue, polynomial by polynomial.
        primes: one per limb of a polynomial.
        ring_dim: residues per limb.
        tag_offset: where the key tag is.
    """

    kind: str
    skeleton: bytes
    offsets: tuple[int, ...]
    primes: tuple[int, ...]
    ring_dim: int
    tag_offset: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the residues: polynomials, limbs, ring dimension."""
        return len(self.offsets) // len(self.primes), len(self.primes), self.ring_dim

    @property
    def bits(self) -> int:
        """Of the widest prime."""
        return max(self.primes).bit_length()

    @property
    def beyond_prime(self) -> str:
        """The message for a residue that is not below its prime."""
        return f"a {self.kind} has a residue that is not below its prime: the bytes were altered, or made elsewhere"

    def split(self, data: bytes) -> Limbs:
        """The residues in bytes that OpenFHE wrote.

        Raises:
            OpenFheError: the limbs are not all there.
        """
        out = np.empty(self.shape, dtype=np.uint64)
        self.split_into(data, out)
        return out

    def split_into(self, data: bytes, out: Limbs) -> None:
        """Write the residues in bytes that OpenFHE wrote to an array of ``shape``.

        An object that OpenFHE read before has its limbs at other places than one that it made: the places are looked
        for once for each length.

        Raises:
            OpenFheError: the limbs are not all there.
        """
        places = _seen_places.get((self.kind, self.primes, self.ring_dim, len(data)))
        if places is None or not self._are_places(data, places):
            places = find_limbs(self.kind, data, self.primes, self.ring_dim, self.shape[0])
            _seen_places[self.kind, self.primes, self.ring_dim, len(data)] = places
        for limb, place in zip(out.reshape(-1, self.ring_dim), places, strict=True):
            limb[:] = np.frombuffer(data, dtype="<u8", count=self.ring_dim, offset=place)

    def _are_places(self, data: bytes, places: tuple[int, ...]) -> bool:
        """Whether limbs are there: N before, the prime after."""
        primes, end = self.primes * self.shape[0], 8 * self.ring_dim
        return all(
            (_word(data, place - 8), _word(data, place + end)) == (self.ring_dim, prime)
            for place, prime in zip(places, primes, strict=True)
        )

    def join(self, limbs: Limbs, tag: bytes) -> bytes:
        """Bytes for OpenFHE to read, from residues and a tag that were checked."""
        data = bytearray(self.skeleton)
        data[self.tag_offset : self.tag_offset + 32] = tag
        for offset, limb in zip(self.offsets, limbs.reshape(-1, self.ring_dim), strict=True):
            np.frombuffer(data, dtype="<u8", count=self.ring_dim, offset=offset)[:] = limb
        return bytes(data)

    def check_residues(self, limbs: Limbs) -> None:
        """Refuse residues (..., polynomials, limbs, ring dimension) that are not below their primes.

        Raises:
            PayloadError: there is one.
        """
        primes = np.array(self.primes, dtype=np.uint64)[:, None]
        if (limbs >= primes).any():
            raise PayloadError(self.beyond_prime)


def find_frame(kind: str, data: bytes, primes: Sequence[int], ring_dim: int, polynomials: int, tag: bytes) -> Frame:
    """Make a frame of bytes that OpenFHE wrote.

    Raises:
        OpenFheError: the limbs or the tag are not where the known serialisation has them.
    """
    offsets = find_limbs(kind, data, primes, ring_dim, polynomials)
    if data.count(tag) != 1:
        raise OpenFheError(f"expected one key tag in a {kind}, found {data.count(tag)}: {_INSTALL}")
    return Frame(kind, data, offsets, tuple(primes), ring_dim, data.index(tag))


def find_limbs(kind: str, data: bytes, primes: Sequence[int], ring_dim: int, polynomials: int) -> tuple[int, ...]:
    """Where the limbs are in bytes that OpenFHE wrote: those of the first polynomial, of the second, ...

    Raises:
        OpenFheError: other limbs are found than expected.
    """
    offsets = tuple(_limb_offsets(data, primes, ring_dim))
    found = [_word(data, offset + 8 * ring_dim) for offset in offsets]
    if found != list(primes) * polynomials:
        raise OpenFheError(f"expected {polynomials} x {len(primes)} limbs in a {kind}, found {len(found)}: {_INSTALL}")
    return offsets


def check_tag(tag: bytes) -> None:
    """Refuse what is not a key tag.

    Raises:
        PayloadError: not 32 hex digits.
    """
    if TAG_PATTERN.fullmatch(tag) is None:
        raise PayloadError(f"a key tag is 32 hex digits, got {tag[:40]!r}")


def _word(data: bytes, place: int) -> int:
    word: int = struct.unpack_from("<Q", data, place)[0]
    return word


def _limb_offsets(data: bytes, primes: Sequence[int], ring_dim: int) -> Iterator[int]:
    length, known = struct.pack("<Q", ring_dim), {struct.pack("<Q", prime) for prime in primes}
    start = data.find(length)
    while start >= 0:
        end = start + 8 + 8 * ring_dim
        is_limb = data[end : end + 8] in known
        if is_limb:
            yield start + 8
        start = data.find(length, end if is_limb else start + 1)


_seen_places: dict[tuple[str, tuple[int, ...], int, int], tuple[int, ...]] = {}
"""Where limbs were found, by kind, primes, ring dimension and length of the bytes."""

_INSTALL = "install the release that pyproject.toml names"
