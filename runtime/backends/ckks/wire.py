"""The bytes on the wire: residues at their real width, checked before anything is computed with them.

A row is the N residues modulo one prime, packed (``limbs.packing``) to the bits of that prime. A ciphertext of level l
is rows (parts, l + 1); a payload is ciphertexts one after another. A public key is the key tag (32 hex digits) and rows
(2, levels + 1). Behind it stand the evaluation keys that the program names, relinearisation first, then rotations by
their steps; each is rows (digits, 2, limbs of Q and then of P).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import KeyNeeds
from enclair.runtime.backends.frames import check_tag
from enclair.runtime.backends.interface import Payload
from enclair.runtime.errors import PayloadError
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.limbs.packing import pack, row_words, unpack
from enclair.runtime.limbs.workers import parallel_parts
from enclair.runtime.rns.keys import EvaluationKeys

TAG_BYTES = 32


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
                    f"a {self.kind} has a residue that is not below its prime: the bytes were altered, or made"
                    " elsewhere"
                )


@lru_cache(maxsize=256)
def ciphertext_rows(parameters: CkksParameters, level: int, parts: int = 2) -> Rows:
    """The rows of a ciphertext of a level."""
    return _rows(f"ciphertext of level {level}", parameters.primes[: level + 1], parts, parameters.ring_dim)


@lru_cache(maxsize=32)
def public_key_rows(parameters: CkksParameters) -> Rows:
    """The rows of a public key."""
    return _rows("public key", parameters.primes, 2, parameters.ring_dim)


@lru_cache(maxsize=32)
def key_rows(parameters: CkksParameters) -> Rows:
    """The rows of an evaluation key."""
    primes = parameters.primes + parameters.special_primes
    return _rows("evaluation key", primes, 2 * parameters.digits, parameters.ring_dim)


def read_ciphertexts(payload: Payload, count: int, parameters: CkksParameters, level: int, parts: int = 2) -> Words:
    """Checked residues (count, parts, level + 1, N).

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    rows = ciphertext_rows(parameters, level, parts)
    packed = packed_ciphertexts(payload, count, rows)
    out = np.empty((count, parts, level + 1, parameters.ring_dim), dtype=np.uint64)

    def work(start: int, stop: int) -> None:
        for number in range(start, stop):
            rows.read(packed[number], out[number])

    parallel_parts(work, count)
    return out


def packed_ciphertexts(payload: Payload, count: int, rows: Rows) -> Words:
    """The packed words (count, words) of a payload; a view.

    Raises:
        PayloadError: wrong length.
    """
    needed = 8 * count * rows.words
    if len(payload) != needed:
        raise PayloadError(
            f"{count} x {rows.kind} need {needed} bytes, got {len(payload)}: the message is of another program or cut"
        )
    return np.frombuffer(payload, dtype="<u8").reshape(count, rows.words)


def write_ciphertexts(count: int, rows: Rows, make: Callable[[int], Words]) -> bytearray:
    """The payload of ``count`` ciphertexts, on all cores; ``make`` gives the residues (parts, limbs, N) of each."""
    payload = bytearray(8 * count * rows.words)
    packed = packed_ciphertexts(payload, count, rows)

    def work(start: int, stop: int) -> None:
        for number in range(start, stop):
            for row, residues in enumerate(make(number).reshape(-1, rows.ring_dim)):
                rows.write(row, residues, packed[number])

    parallel_parts(work, count)
    return payload


def registration_bytes(parameters: CkksParameters, needs: KeyNeeds) -> int:
    """Length of a public key with its evaluation keys."""
    return parameters.public_key_bytes + needs.count * parameters.key_bytes


def check_registration(data: Payload, parameters: CkksParameters, needs: KeyNeeds) -> None:
    """Refuse bytes that cannot be a public key with these evaluation keys.

    Raises:
        PayloadError: wrong length.
    """
    size = registration_bytes(parameters, needs)
    if len(data) != size:
        raise PayloadError(
            f"a public key of these parameters with {needs.count} evaluation keys has {size} bytes, got {len(data)}:"
            " make keys for this program"
        )


def write_public_key(tag: bytes, residues: Words, parameters: CkksParameters) -> bytes:
    """The bytes of a public key from its residues (2, levels + 1, N)."""
    return tag + bytes(write_ciphertexts(1, public_key_rows(parameters), lambda _: residues))


def read_public_key(data: Payload, parameters: CkksParameters) -> tuple[bytes, Words]:
    """Key tag and checked residues (2, levels + 1, N) of the public key that the data begin with.

    Raises:
        PayloadError: a tag that is none, or a residue that is not below its prime.
    """
    tag, rows = bytes(data[:TAG_BYTES]), public_key_rows(parameters)
    check_tag(tag)
    out = np.empty((2, parameters.levels + 1, parameters.ring_dim), dtype=np.uint64)
    rows.read(packed_ciphertexts(data[TAG_BYTES : parameters.public_key_bytes], 1, rows)[0], out)
    return tag, out


def packed_keys(data: Payload, parameters: CkksParameters, needs: KeyNeeds) -> Words:
    """The packed words (keys, words) of the evaluation keys behind a public key; a view."""
    keys = memoryview(data)[parameters.public_key_bytes :]
    return packed_ciphertexts(keys, needs.count, key_rows(parameters))


def read_evaluation_keys(data: Payload, parameters: CkksParameters, needs: KeyNeeds) -> EvaluationKeys:
    """The evaluation keys behind a public key; a rotation key is unpacked, and checked, when it is asked for.

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    check_registration(data, parameters, needs)
    packed = packed_keys(data, parameters, needs)
    rotations = PackedKeys(parameters, dict(zip(needs.rotations, packed[needs.relinearise :], strict=True)))
    relinearisation = PackedKeys(parameters, dict(enumerate(packed[: needs.relinearise])))
    return EvaluationKeys(relinearisation.get(0), rotations, key_id_of(data, parameters))


class PackedKeys(Mapping[int, Words]):
    """Evaluation keys by number; residues (digits, 2, limbs, N) are unpacked, and checked, whenever one is asked for.

    Unpacked they take an eighth more memory or half, which a server that prepares them in its own way need not have.
    """

    def __init__(self, parameters: CkksParameters, packed: Mapping[int, Words]) -> None:
        self._parameters = parameters
        self._packed = packed

    def __getitem__(self, number: int) -> Words:
        """The residues of a key.

        Raises:
            PayloadError: one is not below its prime.
        """
        rows, parameters = key_rows(self._parameters), self._parameters
        shape = (parameters.digits, 2, len(rows.primes), parameters.ring_dim)
        out = np.empty(shape, dtype=np.uint64)
        rows.read(self._packed[number], out)
        return out

    def __iter__(self) -> Iterator[int]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def key_id_of(public_key: Payload, parameters: CkksParameters) -> str:
    """32 hex digits that name a key: the start of the sha256 of the public key's bytes, without evaluation keys."""
    return hashlib.sha256(memoryview(public_key)[: parameters.public_key_bytes]).hexdigest()[:32]


def _rows(kind: str, primes: tuple[int, ...], polynomials: int, ring_dim: int) -> Rows:
    sizes = [row_words(ring_dim, prime.bit_length()) for prime in primes] * polynomials
    return Rows(kind, primes, polynomials, ring_dim, tuple(accumulate(sizes, initial=0)))
