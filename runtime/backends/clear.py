"""The backend without encryption and without a modulus: exact integers on slot vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from enclair.compiler.ir.types import Encoding
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.exact import Exact, polynomial_sums, scalar_sums, vector_sums
from enclair.runtime.backends.integers import check_integers, check_slots
from enclair.runtime.backends.interface import Flags, Integers, Payload
from enclair.runtime.backends.keyless import Keyless, KeylessHolder
from enclair.runtime.backends.rows import RowBatches, read_rows, write_rows
from enclair.runtime.errors import ValueRangeError
from enclair.runtime.flood import uniform_integers

LARGEST = 2**62 - 1
HIDDEN = 2**40
"""Random integers in place of what is hidden are below: whatever they are multiplied by, they fit."""


class ClearEvaluator(Keyless, RowBatches[np.int64]):
    """The operations of ``interface.Evaluator`` on int64 rows of slots."""

    def __init__(self, parameters: BfvParameters) -> None:
        self.parameters = parameters

    def load(self, payload: Payload, count: int) -> Integers:
        """The rows of a payload; see ``Evaluator.load``."""
        return read_rows(payload, (count, self.parameters.slots), np.int64)

    def split(self, x: Integers, counts: Sequence[int]) -> list[Integers]:
        """Runs of so many rows each."""
        return split_rows(x, counts)

    def linear_combination(
        self, x: Integers, gather: Integers, weights: Integers, scatter: Integers, outputs: int
    ) -> Integers:
        """Exact sums; see ``Evaluator.linear_combination``.

        Raises:
            ValueRangeError: a sum does not fit 62 bits.
        """
        return _fitting(scalar_sums(x, gather, weights, scatter, outputs))

    def slot_combination(
        self, x: Integers, rows: Integers, cols: Integers, vectors: Integers, outputs: int
    ) -> Integers:
        """Exact sums; see ``Evaluator.slot_combination``.

        Raises:
            ValueRangeError: a sum does not fit 62 bits.
        """
        return _fitting(vector_sums(x, rows, cols, vectors, outputs))

    def polynomial_combination(
        self, x: Integers, weights: Integers, powers: Integers, blocks: int, chunks: int
    ) -> Integers:
        """Exact sums; see ``Evaluator.polynomial_combination``.

        Raises:
            ValueRangeError: a sum does not fit 62 bits.
        """
        return _fitting(polynomial_sums(x, weights, powers, blocks, chunks))

    def add_vectors(self, x: Integers, vectors: Integers, encoding: Encoding = Encoding.SLOTS) -> Integers:  # noqa: ARG002
        """Each row plus its vector."""
        return _fitting(x + vectors)

    def hide(self, x: Integers, unheld: Flags, encoding: Encoding = Encoding.SLOTS) -> Integers:  # noqa: ARG002
        """Random integers where nothing is held, whatever was there."""
        return np.where(unheld, random_rows(unheld, HIDDEN), x)

    def add(self, x: Integers, y: Integers) -> Integers:
        """The sums, row by row."""
        return _fitting(x + y)

    def subtract(self, x: Integers, y: Integers) -> Integers:
        """The differences, row by row."""
        return _fitting(x - y)


class ClearKeyHolder(KeylessHolder):
    """The operations of ``interface.KeyHolder`` without keys."""

    def __init__(self, parameters: BfvParameters) -> None:
        self.parameters = parameters

    def encrypt(self, values: Integers, encoding: Encoding = Encoding.SLOTS) -> Payload:  # noqa: ARG002
        """The rows as they are; see ``KeyHolder.encrypt``."""
        check_integers("a value to encrypt", values, LARGEST)
        check_slots("values to encrypt", values, (len(values), self.parameters.slots))
        return write_rows(values)

    def decrypt(self, payload: Payload, count: int, encoding: Encoding = Encoding.SLOTS) -> Integers:  # noqa: ARG002
        """The rows as they are; see ``KeyHolder.decrypt``."""
        return read_rows(payload, (count, self.parameters.slots), np.int64)


def split_rows(x: Integers, counts: Sequence[int]) -> list[Integers]:
    """Runs of so many rows each, without a copy."""
    stops = np.cumsum(counts, dtype=np.int64).tolist()
    return [x[stop - count : stop] for stop, count in zip(stops, counts, strict=True)]


def random_rows(flags: Flags, modulus: int) -> Integers:
    """(count, slots): integers uniform modulo an odd modulus where there is a flag, zero elsewhere."""
    out = np.zeros(flags.shape, dtype=np.int64)
    out[flags] = uniform_integers(modulus, int(flags.sum()))
    return out


def _fitting(sums: Exact) -> Integers:
    """Rows of int64. Two summands below 2^62 cannot overflow int64, so a sum beyond 2^62 is seen here.

    Raises:
        ValueRangeError: a sum does not fit 62 bits.
    """
    if sums.size and (sums.max() > LARGEST or sums.min() < -LARGEST):
        raise ValueRangeError(
            "a sum of the server does not fit 62 bits: compile with fewer bits for weights or activations"
        )
    return sums.astype(np.int64, copy=False)
