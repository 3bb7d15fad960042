"""What every backend offers: an evaluator for the server, a key holder for the client.

A cipher array is a list of ``count`` ciphertexts of ``slots`` slots. On the wire it is a payload: the bytes of its
ciphertexts, one after another. Values are int64; a modulus above 2^50 is two plaintext moduli inside, which callers
never see.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
Cipher = TypeVar("Cipher")


class Evaluator(Protocol[Cipher]):
    """The server's operations. It can encrypt zeros, and decrypt nothing."""

    @property
    def key_id(self) -> str:
        """32 hex digits that name the client's key."""

    def load(self, payload: bytes, count: int) -> list[Cipher]:
        """The ciphertexts of a payload.

        Raises:
            PayloadError: wrong length, or a residue that is not below its prime.
        """

    def dump(self, x: list[Cipher]) -> bytes:
        """The payload of ciphertexts; ``load`` reads it back."""

    def linear_combination(
        self, x: list[Cipher], gather: Integers, weights: Integers, scatter: Integers, outputs: int
    ) -> list[Cipher]:
        """Sums of ciphertexts times integers: out[scatter[g, o, p]] = sum_k weights[g, o, k] x[gather[g, p, k]].

        Args:
            x: ciphertexts.
            gather: (groups, positions, taps), numbers of ciphertexts, -1 for none.
            weights: (groups, channels, taps).
            scatter: (groups, channels, positions), numbers of results, -1 for none.
            outputs: number of results; those without a term are zero.

        Raises:
            ValueRangeError: a weight beyond half the plaintext modulus.
        """

    def slot_combination(
        self, x: list[Cipher], rows: Integers, cols: Integers, vectors: Integers, outputs: int
    ) -> list[Cipher]:
        """Sums of ciphertexts times vectors: out[rows[i]] += vectors[i] x[cols[i]], vectors (terms, slots) slot by
        slot.

        Raises:
            ValueRangeError: a factor beyond half the plaintext modulus.
        """

    def add_vectors(self, x: list[Cipher], vectors: Integers) -> list[Cipher]:
        """Each ciphertext plus its vector; vectors (count, slots), or (count, 1) for the same number in all slots.

        Raises:
            ValueRangeError: a summand beyond half the plaintext modulus.
        """

    def add(self, x: list[Cipher], y: list[Cipher]) -> list[Cipher]:
        """The sums, ciphertext by ciphertext."""

    def subtract(self, x: list[Cipher], y: list[Cipher]) -> list[Cipher]:
        """The differences, ciphertext by ciphertext."""

    def answer(self, x: list[Cipher]) -> bytes:
        """The payload to send back: re-randomised, flooded, dropped to one prime.

        Raises:
            NoiseExhausted: the noise is known to leave no room for the flooding noise.
        """


class KeyHolder(Protocol):
    """The client's operations: keys, encryption, decryption."""

    @property
    def key_id(self) -> str:
        """32 hex digits that name the key."""

    def encrypt(self, values: Integers) -> bytes:
        """The payload of (count, slots) integers.

        Raises:
            ValueRangeError: not int64, another number of slots, or beyond half the plaintext modulus.
        """

    def decrypt(self, payload: bytes, count: int) -> Integers:
        """The (count, slots) integers of an answer, in [-largest_value, largest_value].

        Raises:
            PayloadError: wrong length, or a residue that is not below its prime.
        """

    def public_key(self) -> bytes:
        """The bytes that the server needs."""
