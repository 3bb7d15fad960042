"""Batches in the clear: an array with a row of slots for each ciphertext, and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from enclair.runtime.backends.interface import Integers, Payload
from enclair.runtime.errors import PayloadError

Number = TypeVar("Number", np.int64, np.float64)
NAMES = {np.int64: "integers", np.float64: "reals"}


class RowBatches(Generic[Number]):
    """What evaluators do with whole rows (count, slots)."""

    def dump(self, x: NDArray[Number]) -> Payload:
        """The payload of rows."""
        return write_rows(x)

    def answer(self, x: NDArray[Number]) -> Payload:
        """The rows."""
        return write_rows(x)

    def count(self, x: NDArray[Number]) -> int:
        """Number of rows."""
        return len(x)

    def select(self, x: NDArray[Number], numbers: Integers) -> NDArray[Number]:
        """The rows with these numbers."""
        return x[numbers]

    def concat(self, batches: Sequence[NDArray[Number]]) -> NDArray[Number]:
        """All rows."""
        return np.concatenate(batches)


def write_rows(x: NDArray[Number]) -> bytes:
    """Little-endian, eight bytes a number, whatever it had."""
    return x.astype(f"<{x.dtype.kind}8", copy=False).tobytes()


def read_rows(payload: Payload, shape: tuple[int, ...], number: type[Number]) -> NDArray[Number]:
    """The array (..., count, slots) of a payload.

    Raises:
        PayloadError: wrong length.
    """
    needed = 8 * prod(shape)
    if len(payload) != needed:
        raise PayloadError(f"{shape[-2]} rows of {shape[-1]} {NAMES[number]} need {needed} bytes, got {len(payload)}")
    return np.frombuffer(payload, dtype=np.dtype(number).newbyteorder("<")).reshape(shape).astype(number)
