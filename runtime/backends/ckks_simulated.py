"""The backend that does in the clear what CKKS does: slots, levels, scales, and samples of the error of every slot.

The noise is that of ``compiler.planner.ckks_noise``, where the formulas are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    DropToLevel,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    Relinearise,
    Rescale,
    RotateSlots,
)
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.ckks_noise import SAMPLES, NoiseSimulator, Noisy, noise_model, scale_of
from enclair.runtime.backends.ckks_clear import check_reals
from enclair.runtime.backends.ckks_interface import Reals
from enclair.runtime.backends.interface import Integers, Payload
from enclair.runtime.backends.keyless import Keyless, KeylessHolder
from enclair.runtime.backends.rows import read_rows, write_rows
from enclair.runtime.errors import ValueRangeError


class CkksSimulatedEvaluator(Keyless):
    """The operations of ``ckks_interface.CkksEvaluator``, with samples of the error.

    Args:
        parameters: of the scheme.
        samples: of the error, for each slot.
        seed: of what is drawn.
    """

    def __init__(self, parameters: CkksParameters, samples: int = SAMPLES, seed: int = 0) -> None:
        self.parameters = parameters
        self._simulator = NoiseSimulator(noise_model(parameters), samples, seed)

    def load(self, payload: Payload, type_: CkksType) -> Noisy:
        """The ciphertexts of a payload."""
        return read_noisy(payload, type_, self._simulator.samples)

    def dump(self, x: Noisy) -> Payload:
        """The payload of ciphertexts: values, then samples."""
        return write_noisy(x)

    def count(self, x: Noisy) -> int:
        """Number of ciphertexts."""
        return x.type.count

    def select(self, x: Noisy, numbers: Integers) -> Noisy:
        """The ciphertexts with these numbers."""
        return self._apply(SelectCiphers(), replace(x.type, count=len(numbers)), x, numbers)

    def concat(self, batches: Sequence[Noisy]) -> Noisy:
        """All ciphertexts of the batches."""
        total = sum(batch.type.count for batch in batches)
        return self._apply(ConcatCiphers(), replace(batches[0].type, count=total), *batches)

    def add(self, x: Noisy, y: Noisy) -> Noisy:
        """The sums, ciphertext by ciphertext."""
        return self._typed(AddCiphers(), x, y)

    def subtract(self, x: Noisy, y: Noisy) -> Noisy:
        """The differences, ciphertext by ciphertext."""
        return self._typed(SubtractCiphers(), x, y)

    def add_plain(self, x: Noisy, vectors: Reals) -> Noisy:
        """Each ciphertext plus its vector."""
        return self._apply(AddPlainVectors(), x.type, x, vectors)

    def multiply_plain(self, x: Noisy, vectors: Reals, plain_scale: float) -> Noisy:
        """Each ciphertext times its vector."""
        type_ = replace(x.type, scale=scale_of(x.type) * plain_scale)
        return self._apply(MultiplyPlain(plain_scale), type_, x, vectors)

    def multiply(self, x: Noisy, y: Noisy) -> Noisy:
        """The products, ciphertext by ciphertext."""
        return self._typed(MultiplyCiphers(), x, y)

    def relinearise(self, x: Noisy) -> Noisy:
        """Of two parts again."""
        return self._typed(Relinearise(), x)

    def rescale(self, x: Noisy) -> Noisy:
        """One level lower."""
        return self._typed(Rescale(self.parameters.primes[level_of(x.type)]), x)

    def drop(self, x: Noisy, level: int) -> Noisy:
        """Brought to a lower level."""
        return self._typed(DropToLevel(level), x)

    def rotate(self, x: Noisy, steps: int) -> Noisy:
        """Slot i gets what slot i + steps held."""
        return self._typed(RotateSlots(steps % x.type.slots), x) if steps % x.type.slots else x

    def prepare_linear_transform(self, type_: CkksType, op: LinearTransform, *tables: Integers | Reals) -> None:
        """There is nothing to prepare."""

    def linear_transform(
        self,
        x: Noisy,
        op: LinearTransform,
        rows: Integers,
        cols: Integers,
        rotations: Integers,
        which: Integers,
        weights: Reals,
        vectors: Reals,
        prepared: None = None,  # noqa: ARG002
    ) -> Noisy:
        """The linear map."""
        type_ = replace(x.type, count=op.outputs, scale=scale_of(x.type) * (op.plain_scale or 1.0))
        return self._apply(op, type_, x, rows, cols, rotations, which, weights, vectors)

    def answer(self, x: Noisy) -> Payload:
        """The payload to send back."""
        return write_noisy(self._simulator.answer(x))

    def _typed(self, op: Op, *ciphers: Noisy) -> Noisy:
        """An op on ciphertexts alone, whose type rule says what comes out."""
        type_ = op.result_type(*(x.type for x in ciphers))
        if not isinstance(type_, CkksType):
            raise TypeError(f"{op!r} does not make CKKS ciphertexts")
        return self._apply(op, type_, *ciphers)

    def _apply(self, op: Op, type_: CkksType, *args: Noisy | Integers | Reals) -> Noisy:
        return fitting(self._simulator.apply(op, type_, *args), self.parameters)


class CkksSimulatedKeyHolder(KeylessHolder):
    """The operations of ``ckks_interface.CkksKeyHolder`` without keys.

    ``error_bound`` is the largest bound of the error of any answer decrypted so far, ``last_bound`` of the last one.
    """

    def __init__(self, parameters: CkksParameters, samples: int = SAMPLES, seed: int = 1) -> None:
        self.parameters = parameters
        self.error_bound = 0.0
        self.last_bound = 0.0
        self._simulator = NoiseSimulator(noise_model(parameters), samples, seed)

    def encrypt(self, values: Reals, type_: CkksType) -> Payload:
        """Fresh ciphertexts; see ``CkksKeyHolder.encrypt``."""
        check_reals(values, type_)
        return write_noisy(fitting(self._simulator.encrypt(values, type_), self.parameters))

    def decrypt(self, payload: Payload, type_: CkksType) -> Reals:
        """The values without their errors, of which ``error_bound`` takes note; see ``CkksKeyHolder.decrypt``."""
        answer = self._simulator.decrypt(read_noisy(payload, type_, self._simulator.samples))
        self.last_bound = answer.bound
        self.error_bound = max(self.error_bound, answer.bound)
        return answer.values


def fitting(x: Noisy, parameters: CkksParameters) -> Noisy:
    """Refuse values that may outgrow the modulus of their level.

    A coefficient is at most as large as the largest slot times the scale.

    Raises:
        ValueRangeError: says by how much.
    """
    level = level_of(x.type)
    room = parameters.room(level, scale_of(x.type))
    if not x.magnitude < room:
        raise ValueRangeError(
            f"a value of {x.magnitude:.4g} at level {level} and scale 2^{np.log2(scale_of(x.type)):.1f} may outgrow its"
            f" modulus, which holds values below {room:.4g}: check that inputs are in the range that the program was"
            " compiled for, or compile with a larger first prime"
        )
    return x


def level_of(type_: CkksType) -> int:
    """The level of ciphertexts of a LEVELED graph."""
    if type_.level is None:
        raise TypeError(f"{type_} has no level: place levels first")
    return type_.level


def write_noisy(x: Noisy) -> bytes:
    """Values, then samples."""
    return write_rows(x.values) + write_rows(x.errors.astype(np.float64))


def read_noisy(payload: Payload, type_: CkksType, samples: int) -> Noisy:
    """What ``write_noisy`` wrote.

    Raises:
        PayloadError: wrong length.
    """
    rows = read_rows(payload, (1 + samples, type_.count, type_.slots), np.float64)
    return Noisy(rows[0], rows[1:].astype(np.float32), type_)
