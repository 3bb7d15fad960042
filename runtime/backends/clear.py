"""The backend without encryption and without a modulus: exact integers on slot vectors."""

from __future__ import annotations

import numpy as np

from enclair.compiler.ir.ops.packed import terms
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.exact import Exact, scalar_sums, vector_sums
from enclair.runtime.backends.integers import check_integers, check_slots
from enclair.runtime.backends.interface import Integers
from enclair.runtime.errors import PayloadError, ValueRangeError

KEY_ID = "0" * 32
LARGEST = 2**62 - 1


class ClearEvaluator:
    """The operations of ``interface.Evaluator`` on int64 rows of slots."""

    def __init__(self, parameters: BfvParameters) -> None:
        self.parameters = parameters

    @property
    def key_id(self) -> str:
        """There is no key: zeros."""
        return KEY_ID

    def load(self, payload: bytes, count: int) -> list[Integers]:
        """The rows of a payload; see ``Evaluator.load``."""
        return list(read_rows(payload, count, self.parameters.slots))

    def dump(self, x: list[Integers]) -> bytes:
        """The payload of rows."""
        return b"".join(row.astype("<i8", copy=False).tobytes() for row in x)

    def linear_combination(
        self, x: list[Integers], gather: Integers, weights: Integers, scatter: Integers, outputs: int
    ) -> list[Integers]:
        """Exact sums; see ``Evaluator.linear_combination``.

        Raises:
            ValueRangeError: a sum does not fit 62 bits.
        """
        rows, cols, values = terms(gather, weights, scatter)
        return _fitting(scalar_sums(np.stack(x), rows, cols, values, outputs))

    def slot_combination(
        self, x: list[Integers], rows: Integers, cols: Integers, vectors: Integers, outputs: int
    ) -> list[Integers]:
        """Exact sums; see ``Evaluator.slot_combination``.

        Raises:
            ValueRangeError: a sum does not fit 62 bits.
        """
        return _fitting(vector_sums(np.stack(x), rows, cols, vectors, outputs))

    def add_vectors(self, x: list[Integers], vectors: Integers) -> list[Integers]:
        """Each row plus its vector."""
        return _fitting(np.stack(x) + vectors)

    def add(self, x: list[Integers], y: list[Integers]) -> list[Integers]:
        """The sums, row by row."""
        return _fitting(np.stack(x) + np.stack(y))

    def subtract(self, x: list[Integers], y: list[Integers]) -> list[Integers]:
        """The differences, row by row."""
        return _fitting(np.stack(x) - np.stack(y))

    def answer(self, x: list[Integers]) -> bytes:
        """The rows."""
        return self.dump(x)


class ClearKeyHolder:
    """The operations of ``interface.KeyHolder`` without keys."""

    def __init__(self, parameters: BfvParameters) -> None:
        self.parameters = parameters

    @property
    def key_id(self) -> str:
        """There is no key: zeros."""
        return KEY_ID

    def public_key(self) -> bytes:
        """There is none."""
        return b""

    def encrypt(self, values: Integers) -> bytes:
        """The rows as they are; see ``KeyHolder.encrypt``."""
        check_integers("a value to encrypt", values, LARGEST)
        check_slots("values to encrypt", values, (len(values), self.parameters.slots))
        return values.astype("<i8", copy=False).tobytes()

    def decrypt(self, payload: bytes, count: int) -> Integers:
        """The rows as they are; see ``KeyHolder.decrypt``."""
        return read_rows(payload, count, self.parameters.slots)


def read_rows(payload: bytes, count: int, slots: int) -> Integers:
    """The int64 rows of a payload.

    Raises:
        PayloadError: wrong length.
    """
    if len(payload) != 8 * count * slots:
        raise PayloadError(f"{count} rows of {slots} integers need {8 * count * slots} bytes, got {len(payload)}")
    return np.frombuffer(payload, dtype="<i8").reshape(count, slots).astype(np.int64)


def _fitting(sums: Exact) -> list[Integers]:
    """Rows of int64. Two summands below 2^62 cannot overflow int64, so a sum beyond 2^62 is seen here.

    Raises:
        ValueRangeError: a sum does not fit 62 bits.
    """
    if sums.size and (sums.max() > LARGEST or sums.min() < -LARGEST):
        raise ValueRangeError(
            "a sum of the server does not fit 62 bits: compile with fewer bits for weights or activations"
        )
    return list(sums.astype(np.int64, copy=False))
