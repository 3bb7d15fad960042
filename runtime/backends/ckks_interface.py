"""What a backend for CKKS offers: an evaluator for the server, a key holder for the client.

A batch holds ciphertexts at one level and scale in the way of the backend; only the backend looks inside. On the wire a
ciphertext is its residues in OpenFHE's evaluation order, packed to the width of each prime. Values are float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.runtime.backends.interface import Integers, Payload

Reals: TypeAlias = NDArray[np.float64]
Batch = TypeVar("Batch")
Prepared = TypeVar("Prepared")


class CkksEvaluator(Protocol[Batch, Prepared]):
    """The server's operations. It can decrypt nothing. No operation alters its arguments."""

    @property
    def key_id(self) -> str:
        """32 hex digits that name the client's key."""

    def load(self, payload: Payload, type_: CkksType) -> Batch:
        """The ciphertexts of a payload.

        Raises:
            PayloadError: wrong length, or a residue that is not below its prime.
        """

    def dump(self, x: Batch) -> Payload:
        """The payload of ciphertexts; ``load`` reads it back."""

    def count(self, x: Batch) -> int:
        """Number of ciphertexts."""

    def select(self, x: Batch, numbers: Integers) -> Batch:
        """The ciphertexts with these numbers."""

    def concat(self, batches: Sequence[Batch]) -> Batch:
        """All ciphertexts of the batches, one after another."""

    def add(self, x: Batch, y: Batch) -> Batch:
        """The sums, ciphertext by ciphertext."""

    def subtract(self, x: Batch, y: Batch) -> Batch:
        """The differences, ciphertext by ciphertext."""

    def add_plain(self, x: Batch, vectors: Reals) -> Batch:
        """Each ciphertext plus its vector, encoded at its scale and level.

        Args:
            x: ciphertexts.
            vectors: (1 or count, 1 or slots).

        Raises:
            ValueRangeError: a plaintext too large to encode.
        """

    def multiply_plain(self, x: Batch, vectors: Reals, plain_scale: float) -> Batch:
        """Each ciphertext times its vector, encoded at ``plain_scale``; vectors as in ``add_plain``.

        Raises:
            ValueRangeError: a plaintext too large to encode.
        """

    def multiply(self, x: Batch, y: Batch) -> Batch:
        """The products, ciphertext by ciphertext, of three parts; the same batch twice is squared."""

    def relinearise(self, x: Batch) -> Batch:
        """Products of three parts to two.

        Raises:
            MissingKeyError: there is no relinearisation key.
        """

    def rescale(self, x: Batch) -> Batch:
        """Divided by the last prime: one level lower."""

    def drop(self, x: Batch, level: int) -> Batch:
        """Brought to a lower level; value and scale stay."""

    def rotate(self, x: Batch, steps: int) -> Batch:
        """Slot i gets what slot i + steps held.

        Raises:
            MissingKeyError: there is no key for it.
        """

    def prepare_linear_transform(
        self,
        type_: CkksType,
        op: LinearTransform,
        rows: Integers,
        cols: Integers,
        rotations: Integers,
        which: Integers,
        weights: Reals,
        vectors: Reals,
    ) -> Prepared:
        """What ``linear_transform`` can make of its tables beforehand, for inputs of a type."""

    def linear_transform(
        self,
        x: Batch,
        op: LinearTransform,
        rows: Integers,
        cols: Integers,
        rotations: Integers,
        which: Integers,
        weights: Reals,
        vectors: Reals,
        prepared: Prepared | None = None,
    ) -> Batch:
        """``LinearTransform``; ``prepared`` is what ``prepare_linear_transform`` made of the same tables.

        Raises:
            MissingKeyError: there is no key for one of its rotations.
            ValueRangeError: a plaintext too large to encode.
        """

    def answer(self, x: Batch) -> Payload:
        """The payload to send back."""


class CkksKeyHolder(Protocol):
    """The client's operations: keys, encryption, decryption."""

    @property
    def key_id(self) -> str:
        """32 hex digits that name the key."""

    def encrypt(self, values: Reals, type_: CkksType) -> Payload:
        """The payload of (count, slots) reals, at the type's level and scale.

        Raises:
            ValueRangeError: not float64, another number of slots, or beyond what the scale leaves room for.
        """

    def decrypt(self, payload: Payload, type_: CkksType) -> Reals:
        """The (count, slots) reals of an answer.

        Raises:
            PayloadError: wrong length, or a residue that is not below its prime.
        """

    def public_key(self) -> Payload:
        """The bytes that the server needs: evaluation keys for the rotations and products of a program."""
