"""What every backend offers: an evaluator for the server, a key holder for the client.

A batch holds ``count`` ciphertexts of ``slots`` integers in the way of the backend; only the backend looks inside. On
the wire it is a payload: the bytes of its ciphertexts, one after another. Values are int64; a modulus above 2^50 is two
plaintext moduli inside, which callers never see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.types import Encoding

Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Payload: TypeAlias = bytes | bytearray | memoryview
Batch = TypeVar("Batch")


class Evaluator(Protocol[Batch]):
    """The server's operations. It can encrypt zeros, and decrypt nothing. No operation alters its arguments."""

    @property
    def key_id(self) -> str:
        """32 hex digits that name the client's key."""

    def load(self, payload: Payload, count: int) -> Batch:
        """The ciphertexts of a payload.

        Raises:
            PayloadError: wrong length, or a residue that is not below its prime.
        """

    def dump(self, x: Batch) -> Payload:
        """The payload of ciphertexts; ``load`` reads it back."""

    def count(self, x: Batch) -> int:
        """Number of ciphertexts."""

    def split(self, x: Batch, counts: Sequence[int]) -> list[Batch]:
        """Runs of so many ciphertexts each, without a copy."""

    def concat(self, batches: Sequence[Batch]) -> Batch:
        """All ciphertexts of the batches, one after another."""

    def select(self, x: Batch, numbers: Integers) -> Batch:
        """The ciphertexts with these numbers."""

    def linear_combination(
        self, x: Batch, gather: Integers, weights: Integers, scatter: Integers, outputs: int
    ) -> Batch:
        """Sums of ciphertexts times integers: out[scatter[g, o, p]] = sum_k weights[g, o, k] x[gather[g, p, k]].

        Args:
            x: ciphertexts.
            gather: (groups, positions, taps), numbers of ciphertexts, -1 for none.
            weights: (groups, channels, taps).
            scatter: (groups, channels, positions), numbers of results, each at most once, -1 for none.
            outputs: number of results; those without a term are zero.

        Raises:
            ValueRangeError: a weight beyond half the plaintext modulus.
        """

    def slot_combination(self, x: Batch, rows: Integers, cols: Integers, vectors: Integers, outputs: int) -> Batch:
        """Sums of ciphertexts times vectors: out[rows[i]] += vectors[i] x[cols[i]], vectors (terms, slots) slot by
        slot.

        Raises:
            ValueRangeError: a factor beyond half the plaintext modulus.
        """

    def polynomial_combination(self, x: Batch, weights: Integers, powers: Integers, blocks: int, chunks: int) -> Batch:
        """Sums of ciphertexts times polynomials in Y = X^(slots / blocks).

        out[chunk, o] = sum_k (sum_t weights[o, k, t] Y^powers[t]) x[chunk, k], on plaintexts in coefficients.

        Args:
            x: ciphertexts, the same number for each chunk.
            weights: (outputs, inputs, taps).
            powers: (taps,), each in [0, blocks), none twice.
            blocks: Y^blocks = -1; a power of two.
            chunks: that x is in.

        Raises:
            ValueRangeError: a weight beyond half the plaintext modulus.
        """

    def add_vectors(self, x: Batch, vectors: Integers, encoding: Encoding = Encoding.SLOTS) -> Batch:
        """Each ciphertext plus its vector of slots or coefficients; vectors (count, slots), or (count, 1) for the same
        number in all slots.

        Raises:
            ValueRangeError: a summand beyond half the plaintext modulus.
        """

    def hide(self, x: Batch, unheld: Flags, encoding: Encoding = Encoding.SLOTS) -> Batch:
        """Each ciphertext plus a vector that is uniformly random modulo the plaintext modulus where ``unheld`` (count,
        slots), zero elsewhere.
        """

    def add(self, x: Batch, y: Batch) -> Batch:
        """The sums, ciphertext by ciphertext."""

    def subtract(self, x: Batch, y: Batch) -> Batch:
        """The differences, ciphertext by ciphertext."""

    def answer(self, x: Batch) -> Payload:
        """The payload to send back: re-randomised, flooded, dropped to one prime.

        Raises:
            NoiseExhausted: the noise is known to leave no room for the flooding noise.
        """


class KeyHolder(Protocol):
    """The client's operations: keys, encryption, decryption."""

    @property
    def key_id(self) -> str:
        """32 hex digits that name the key."""

    def encrypt(self, values: Integers, encoding: Encoding = Encoding.SLOTS) -> Payload:
        """The payload of (count, slots) integers, as slots or as coefficients.

        Raises:
            ValueRangeError: not int64, another number of slots, or beyond half the plaintext modulus.
        """

    def decrypt(self, payload: Payload, count: int, encoding: Encoding = Encoding.SLOTS) -> Integers:
        """The (count, slots) integers of an answer, slots or coefficients, in [-largest_value, largest_value].

        Raises:
            PayloadError: wrong length, or a residue that is not below its prime.
        """

    def public_key(self) -> bytes:
        """The bytes that the server needs."""
