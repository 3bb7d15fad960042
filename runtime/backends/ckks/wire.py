"""Keys on the wire, as rows of residues (``rns.wire``).

A public key is the key tag (32 hex digits) and rows (2, levels + 1). Behind it stand the evaluation keys that the
program needs, relinearisation first, then rotations by their steps; each is rows (digits, 2, limbs of Q and then of P),
of Q and of the digits no more than the highest level takes at which the key is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import KeyNeeds
from enclair.runtime.backends.frames import check_tag
from enclair.runtime.backends.interface import Payload
from enclair.runtime.errors import PayloadError
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.rns.keys import EvaluationKeys
from enclair.runtime.rns.wire import Rows, packed_objects, rows_of, write_objects

TAG_BYTES = 32


def public_key_rows(parameters: CkksParameters) -> Rows:
    """The rows of a public key."""
    return rows_of("a public key", parameters.primes, 2, parameters.ring_dim)


def key_rows(parameters: CkksParameters, level: int) -> Rows:
    """The rows of an evaluation key that serves a level and lower ones."""
    primes = parameters.primes[: level + 1] + parameters.special_primes
    return rows_of("an evaluation key", primes, 2 * parameters.digits_at(level), parameters.ring_dim)


def registration_bytes(parameters: CkksParameters, needs: KeyNeeds) -> int:
    """Length of a public key with its evaluation keys."""
    return parameters.public_key_bytes + sum(_key_sizes(parameters, needs))


def _key_sizes(parameters: CkksParameters, needs: KeyNeeds) -> list[int]:
    return [parameters.key_bytes_at(level) for level in needs.key_levels(parameters.levels)]


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
    return tag + bytes(write_objects(1, public_key_rows(parameters), lambda _: residues))


def read_public_key(data: Payload, parameters: CkksParameters) -> tuple[bytes, Words]:
    """Key tag and checked residues (2, levels + 1, N) of the public key that the data begin with.

    Raises:
        PayloadError: a tag that is none, or a residue that is not below its prime.
    """
    tag, rows = bytes(data[:TAG_BYTES]), public_key_rows(parameters)
    check_tag(tag)
    out = np.empty((2, parameters.levels + 1, parameters.ring_dim), dtype=np.uint64)
    rows.read(packed_objects(data[TAG_BYTES : parameters.public_key_bytes], 1, rows)[0], out)
    return tag, out


def packed_keys(data: Payload, parameters: CkksParameters, needs: KeyNeeds) -> list[Words]:
    """The packed words (words,) of each evaluation key behind a public key; views."""
    keys, levels = memoryview(data)[parameters.public_key_bytes :], needs.key_levels(parameters.levels)
    places = pairwise(accumulate(_key_sizes(parameters, needs), initial=0))
    return [
        packed_objects(keys[start:end], 1, key_rows(parameters, level))[0]
        for level, (start, end) in zip(levels, places, strict=True)
    ]


def read_evaluation_keys(data: Payload, parameters: CkksParameters, needs: KeyNeeds) -> EvaluationKeys:
    """The evaluation keys behind a public key; a rotation key is unpacked, and checked, when it is asked for.

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    check_registration(data, parameters, needs)
    packed = list(zip(needs.key_levels(parameters.levels), packed_keys(data, parameters, needs), strict=True))
    rotations = PackedKeys(parameters, dict(zip(needs.rotations, packed[needs.relinearise :], strict=True)))
    relinearisation = PackedKeys(parameters, dict(enumerate(packed[: needs.relinearise])))
    return EvaluationKeys(relinearisation.get(0), rotations, key_id_of(data, parameters))


class PackedKeys(Mapping[int, Words]):
    """Evaluation keys by number; residues (digits, 2, limbs, N) are unpacked, and checked, whenever one is asked for.

    Unpacked they take an eighth more memory or half, which a server that prepares them in its own way need not have.

    Args:
        parameters: of the program.
        packed: the level that each key serves, and its words.
    """

    def __init__(self, parameters: CkksParameters, packed: Mapping[int, tuple[int, Words]]) -> None:
        self._parameters = parameters
        self._packed = packed

    def __getitem__(self, number: int) -> Words:
        """The residues of a key.

        Raises:
            PayloadError: one is not below its prime.
        """
        level, words = self._packed[number]
        rows = key_rows(self._parameters, level)
        shape = (self._parameters.digits_at(level), 2, len(rows.primes), rows.ring_dim)
        out = np.empty(shape, dtype=np.uint64)
        rows.read(words, out)
        return out

    def __iter__(self) -> Iterator[int]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def key_id_of(public_key: Payload, parameters: CkksParameters) -> str:
    """32 hex digits that name a key: the start of the sha256 of the public key's bytes, without evaluation keys."""
    return hashlib.sha256(memoryview(public_key)[: parameters.public_key_bytes]).hexdigest()[:32]
