"""The backend for CKKS without encryption: float64 slots, exact but for float rounding."""

from __future__ import annotations

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.runtime.backends.ckks_interface import Reals
from enclair.runtime.backends.interface import Integers, Payload
from enclair.runtime.backends.keyless import Keyless, KeylessHolder
from enclair.runtime.backends.rows import RowBatches, read_rows, write_rows
from enclair.runtime.errors import ValueRangeError


class CkksClearEvaluator(Keyless, RowBatches[np.float64]):
    """The operations of ``ckks_interface.CkksEvaluator`` on float64 rows of slots (count, slots)."""

    def __init__(self, parameters: CkksParameters) -> None:
        self.parameters = parameters

    def load(self, payload: Payload, type_: CkksType) -> Reals:
        """The rows of a payload."""
        return read_rows(payload, (type_.count, self.parameters.slots), np.float64)

    def add(self, x: Reals, y: Reals) -> Reals:
        """The sums, row by row."""
        return np.asarray(x + y)

    def subtract(self, x: Reals, y: Reals) -> Reals:
        """The differences, row by row."""
        return np.asarray(x - y)

    def add_plain(self, x: Reals, vectors: Reals) -> Reals:
        """Each row plus its vector."""
        return np.asarray(x + vectors)

    def multiply_plain(self, x: Reals, vectors: Reals, plain_scale: float) -> Reals:  # noqa: ARG002
        """Each row times its vector."""
        return np.asarray(x * vectors)

    def multiply(self, x: Reals, y: Reals) -> Reals:
        """The products, row by row."""
        return np.asarray(x * y)

    def relinearise(self, x: Reals) -> Reals:
        """The rows as they are."""
        return x

    def rescale(self, x: Reals) -> Reals:
        """The rows as they are."""
        return x

    def drop(self, x: Reals, level: int) -> Reals:  # noqa: ARG002
        """The rows as they are."""
        return x

    def rotate(self, x: Reals, steps: int) -> Reals:
        """The rows rolled."""
        return np.roll(x, -steps, axis=1)

    def prepare_linear_transform(self, type_: CkksType, op: LinearTransform, *tables: Integers | Reals) -> None:
        """There is nothing to prepare."""

    def linear_transform(
        self,
        x: Reals,
        op: LinearTransform,
        rows: Integers,
        cols: Integers,
        rotations: Integers,
        which: Integers,
        weights: Reals,
        vectors: Reals,
        prepared: None = None,  # noqa: ARG002
    ) -> Reals:
        """The meaning of the op."""
        return op.evaluate(x, rows, cols, rotations, which, weights, vectors)


class CkksClearKeyHolder(KeylessHolder):
    """The operations of ``ckks_interface.CkksKeyHolder`` without keys."""

    def __init__(self, parameters: CkksParameters) -> None:
        self.parameters = parameters

    def encrypt(self, values: Reals, type_: CkksType) -> Payload:
        """The rows as they are; see ``CkksKeyHolder.encrypt``."""
        check_reals(values, type_)
        return write_rows(values)

    def decrypt(self, payload: Payload, type_: CkksType) -> Reals:
        """The rows as they are; see ``CkksKeyHolder.decrypt``."""
        return read_rows(payload, (type_.count, self.parameters.slots), np.float64)


def check_reals(values: Reals, type_: CkksType) -> None:
    """Refuse values that do not fit a type.

    Raises:
        ValueRangeError: says what is needed and what came.
    """
    needed = (type_.count, type_.slots)
    if values.dtype != np.float64 or values.shape != needed:
        raise ValueRangeError(f"values to encrypt must be float64 {needed}, got {values.dtype} {values.shape}")
    if not np.isfinite(values).all():
        raise ValueRangeError("values to encrypt must be finite, got infinities or NaN: check the inputs")
