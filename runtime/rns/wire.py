"""CKKS on the wire: residues at their real width, checked before anything is computed with them.

A row is the N residues modulo one prime, packed (``limbs.packing``) to the bits of that prime, in OpenFHE's order. An
object is the rows of its polynomials, prime by prime; a payload is objects one after another, without a header.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np

from enclair.runtime.errors import PayloadError
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.limbs.packing import pack, row_words, unpack
from enclair.runtime.limbs.workers import parallel_parts, spread


@dataclass(frozen=True, slots=True)
class Rows:
    """How the rows of an object follow one another.

    Args:
        kind: for messages.
        primes: one per limb of a polynomial.
        polynomials: in an object.
        ring_dim: N.
        places: first word of each row, and the end of the last.
    """

    kind: str
    primes: tuple[int, ...]
    polynomials: int
    ring_dim: int
    places: tuple[int, ...]

    @property
    def words(self) -> int:
        """Of an object."""
        return self.places[-1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an object's residues: polynomials, limbs, ring dimension."""
        return self.polynomials, len(self.primes), self.ring_dim

    def write(self, number: int, residues: Words, out: Words) -> None:
        """Pack row ``number`` (N,) into the words (words,) of an object."""
        bits = self.primes[number % len(self.primes)].bit_length()
        pack(residues[None], bits, out[None, self.places[number] : self.places[number + 1]])

    def read(self, words: Words, out: Words) -> None:
        """Unpack the words (words,) of an object to residues of as many rows of N.

        Raises:
            PayloadError: a residue is not below its prime.
        """
        native = np.require(words, dtype=np.uint64, requirements="A")
        rows = out.reshape(-1, self.ring_dim)
        for number, (start, end) in enumerate(pairwise(self.places)):
            prime = self.primes[number % len(self.primes)]
            limit = np.array([prime], dtype=np.uint64)
            if not unpack(native[None, start:end], prime.bit_length(), limit, rows[number : number + 1]):
                raise PayloadError(
                    f"a residue of {self.kind} is not below its prime: the bytes were altered, or made elsewhere"
                )


@lru_cache(maxsize=512)
def rows_of(kind: str, primes: tuple[int, ...], polynomials: int, ring_dim: int) -> Rows:
    """The rows of objects of a kind."""
    sizes = [row_words(ring_dim, prime.bit_length()) for prime in primes] * polynomials
    return Rows(kind, primes, polynomials, ring_dim, tuple(accumulate(sizes, initial=0)))


def ciphertext_rows(primes: tuple[int, ...], ring_dim: int, parts: int = 2) -> Rows:
    """The rows of a ciphertext modulo these primes."""
    return rows_of(f"a ciphertext of level {len(primes) - 1}", primes, parts, ring_dim)


def packed_objects(payload: bytes | bytearray | memoryview, count: int, rows: Rows) -> Words:
    """The packed words (count, words) of a payload; a view.

    Raises:
        PayloadError: wrong length.
    """
    size = 8 * count * rows.words
    if len(payload) != size:
        raise PayloadError(
            f"{count} times {rows.kind} needs {size} bytes, got {len(payload)}: the message is of another program or"
            " cut"
        )
    return np.frombuffer(payload, dtype="<u8").reshape(count, rows.words)


def read_ciphertexts(
    payload: bytes | bytearray | memoryview, count: int, primes: tuple[int, ...], ring_dim: int, parts: int = 2
) -> list[Words]:
    """Checked residues (parts, limbs, N) of each ciphertext.

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    rows = ciphertext_rows(primes, ring_dim, parts)

    def read(words: Words) -> Words:
        out = np.empty(rows.shape, dtype=np.uint64)
        rows.read(words, out)
        return out

    return spread(read, list(packed_objects(payload, count, rows)))


def write_ciphertexts(ciphertexts: list[Words], primes: tuple[int, ...]) -> bytearray:
    """The payload of residues (parts, limbs, N), one array for each ciphertext."""
    if not ciphertexts:
        return bytearray()
    parts, _, ring_dim = ciphertexts[0].shape
    return write_objects(len(ciphertexts), ciphertext_rows(primes, ring_dim, parts), lambda i: ciphertexts[i])


def write_objects(count: int, rows: Rows, make: Callable[[int], Words]) -> bytearray:
    """The payload of ``count`` objects, on all cores; ``make`` gives the residues (polynomials, limbs, N) of each."""
    payload = bytearray(8 * count * rows.words)
    packed = packed_objects(payload, count, rows)

    def work(start: int, stop: int) -> None:
        for number in range(start, stop):
            for row, residues in enumerate(make(number).reshape(-1, rows.ring_dim)):
                rows.write(row, residues, packed[number])

    parallel_parts(work, count)
    return payload
