"""The backend that does in the clear what BFV does: integers modulo t, and a bound of the noise of every ciphertext.

The noise bounds are those of ``compiler.parameters``; they are counted per plaintext modulus, since weights are reduced
modulo each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.ops.packed import terms
from enclair.compiler.ir.types import Encoding
from enclair.compiler.parameters import (
    BfvParameters,
    flood_noise_bits,
    fresh_noise_bits,
    slot_vector_bits,
    sum_room_bits,
    zero_noise_bits,
)
from enclair.runtime.backends.clear import random_rows
from enclair.runtime.backends.exact import Exact, polynomial_sums, scalar_sums, vector_sums, weight_matrix
from enclair.runtime.backends.integers import centred, check_integers, check_slots
from enclair.runtime.backends.interface import Flags, Integers, Payload
from enclair.runtime.backends.keyless import Keyless, KeylessHolder
from enclair.runtime.errors import NoiseExhausted, PayloadError


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedBatch:
    """What ciphertexts hold.

    Args:
        slots: (count, slots), or coefficients.
        noise: (count, moduli), a bound of the noise under each plaintext modulus.
    """

    slots: Integers
    noise: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.slots)


class SimulatedEvaluator(Keyless):
    """The operations of ``interface.Evaluator``, with noise.

    ``room_left_bits`` is what the answers so far left of the room for sums: infinite before the first, never negative.
    """

    def __init__(self, parameters: BfvParameters) -> None:
        self.parameters = parameters
        self.room_left_bits = math.inf

    def load(self, payload: Payload, count: int) -> SimulatedBatch:
        """The ciphertexts of a payload; see ``Evaluator.load``."""
        return read_batch(payload, count, self.parameters)

    def dump(self, x: SimulatedBatch) -> Payload:
        """The payload of ciphertexts: of each its slots, then its noise, as eight bytes each."""
        return write_batch(x)

    def count(self, x: SimulatedBatch) -> int:
        """Number of ciphertexts."""
        return len(x)

    def split(self, x: SimulatedBatch, counts: Sequence[int]) -> list[SimulatedBatch]:
        """Runs of so many ciphertexts each."""
        stops = np.cumsum(counts, dtype=np.int64).tolist()
        runs = [slice(stop - count, stop) for stop, count in zip(stops, counts, strict=True)]
        return [SimulatedBatch(x.slots[run], x.noise[run]) for run in runs]

    def concat(self, batches: Sequence[SimulatedBatch]) -> SimulatedBatch:
        """All ciphertexts."""
        return SimulatedBatch(
            np.concatenate([batch.slots for batch in batches]), np.concatenate([batch.noise for batch in batches])
        )

    def select(self, x: SimulatedBatch, numbers: Integers) -> SimulatedBatch:
        """The ciphertexts with these numbers."""
        return SimulatedBatch(x.slots[numbers], x.noise[numbers])

    def linear_combination(
        self, x: SimulatedBatch, gather: Integers, weights: Integers, scatter: Integers, outputs: int
    ) -> SimulatedBatch:
        """Sums modulo t; see ``Evaluator.linear_combination``.

        The noise grows by the sum of the magnitudes of the weights.
        """
        check_integers("a weight", weights, self.parameters.largest_value)
        rows, cols, values = terms(gather, weights, scatter)
        noise = self._grown(x, rows, cols, self._magnitudes(values), outputs)
        return self._batch(scalar_sums(x.slots, gather, weights, scatter, outputs), noise)

    def slot_combination(
        self, x: SimulatedBatch, rows: Integers, cols: Integers, vectors: Integers, outputs: int
    ) -> SimulatedBatch:
        """Sums modulo t; see ``Evaluator.slot_combination``. The noise grows by N t for each term."""
        check_integers("a factor", vectors, self.parameters.largest_value)
        term = np.full(len(rows), 2.0 ** slot_vector_bits(self.parameters))
        noise = self._grown(x, rows, cols, [term] * len(self.parameters.plaintext_moduli), outputs)
        return self._batch(vector_sums(x.slots, rows, cols, vectors, outputs), noise)

    def polynomial_combination(
        self, x: SimulatedBatch, weights: Integers, powers: Integers, blocks: int, chunks: int
    ) -> SimulatedBatch:
        """Sums modulo t; see ``Evaluator.polynomial_combination``.

        The noise grows by the sum of the magnitudes of the coefficients.
        """
        check_integers("a weight", weights, self.parameters.largest_value)
        before = x.noise.reshape(chunks, weights.shape[1], -1)
        parts = [
            before[:, :, i] @ growth.sum(axis=2).T  # (chunks, outputs)
            for i, growth in enumerate(self._magnitudes(weights))
        ]
        sums = polynomial_sums(x.slots, weights, powers, blocks, chunks)
        return self._batch(sums, np.stack(parts, axis=2).reshape(-1, len(parts)))

    def add_vectors(
        self,
        x: SimulatedBatch,
        vectors: Integers,
        encoding: Encoding = Encoding.SLOTS,  # noqa: ARG002
    ) -> SimulatedBatch:
        """Each ciphertext plus its vector; the noise grows by the rounding of Q/t m."""
        check_integers("a summand", vectors, self.parameters.largest_value)
        return self._batch(x.slots + vectors, x.noise + 1)

    def hide(self, x: SimulatedBatch, unheld: Flags, encoding: Encoding = Encoding.SLOTS) -> SimulatedBatch:
        """Random integers where nothing is held: nobody may read what is there."""
        return self.add_vectors(x, random_rows(unheld, self.parameters.modulus), encoding)

    def add(self, x: SimulatedBatch, y: SimulatedBatch) -> SimulatedBatch:
        """The sums, ciphertext by ciphertext."""
        return self._batch(x.slots + y.slots, x.noise + y.noise)

    def subtract(self, x: SimulatedBatch, y: SimulatedBatch) -> SimulatedBatch:
        """The differences, ciphertext by ciphertext."""
        return self._batch(x.slots - y.slots, x.noise + y.noise)

    def answer(self, x: SimulatedBatch) -> Payload:
        """The payload to send back, flooded.

        Raises:
            NoiseExhausted: the flooding noise would not be ``flood_bits`` above the noise of the sums.
        """
        if len(x):
            worst = int(np.argmax(x.noise.max(axis=1)))
            self._check_room(worst, float(np.log2(max(x.noise.max(), 1.0))))
        return write_batch(SimulatedBatch(x.slots, x.noise + self._flood()))

    def _check_room(self, number: int, noise_bits: float) -> None:
        room = sum_room_bits(self.parameters) - (noise_bits - fresh_noise_bits())
        if room < 0:
            raise NoiseExhausted(
                f"the noise of answer {number} may reach 2^{noise_bits:.1f}; the flooding noise,"
                f" 2^{flood_noise_bits(self.parameters)}, must be"
                f" {self.parameters.flood_bits} bits above it, {-room:.1f} bits are missing: compile with more"
                " limbs, a larger ring,"
                " or fewer bits for weights"
            )
        self.room_left_bits = min(self.room_left_bits, room)

    def _flood(self) -> float:
        bits = (flood_noise_bits(self.parameters), zero_noise_bits(self.parameters.ring_dim))
        return sum(math.ldexp(1.0, math.ceil(bit)) for bit in bits)

    def _magnitudes(self, weights: Integers) -> list[NDArray[np.float64]]:
        """Of the weights reduced modulo each plaintext modulus."""
        return [np.abs(centred(weights, t)).astype(np.float64) for t in self.parameters.plaintext_moduli]

    def _grown(
        self, x: SimulatedBatch, rows: Integers, cols: Integers, growth: list[NDArray[np.float64]], outputs: int
    ) -> NDArray[np.float64]:
        """Noise (outputs, moduli) of sums; none where a sum has no term."""
        shape = (outputs, len(x))
        parts = [weight_matrix(rows, cols, factors, shape) @ x.noise[:, i] for i, factors in enumerate(growth)]
        return np.stack(parts, axis=1)

    def _batch(self, slots: Exact, noise: NDArray[np.float64]) -> SimulatedBatch:
        return SimulatedBatch(wrap(slots, self.parameters.modulus), noise)


class SimulatedKeyHolder(KeylessHolder):
    """The operations of ``interface.KeyHolder`` without keys."""

    def __init__(self, parameters: BfvParameters) -> None:
        self.parameters = parameters

    def encrypt(self, values: Integers, encoding: Encoding = Encoding.SLOTS) -> Payload:  # noqa: ARG002
        """The slots with the noise of a fresh encryption; see ``KeyHolder.encrypt``."""
        check_integers("a value to encrypt", values, self.parameters.largest_value)
        check_slots("values to encrypt", values, (len(values), self.parameters.slots))
        noise = np.full((len(values), len(self.parameters.plaintext_moduli)), 2.0 ** fresh_noise_bits())
        return write_batch(SimulatedBatch(values, noise))

    def decrypt(self, payload: Payload, count: int, encoding: Encoding = Encoding.SLOTS) -> Integers:  # noqa: ARG002
        """The slots; see ``KeyHolder.decrypt``."""
        return read_batch(payload, count, self.parameters).slots


def wrap(values: Exact, modulus: int) -> Integers:
    """Integers, of any size, modulo an odd modulus below 2^62, centred."""
    if values.dtype == np.int64:
        return centred(values, modulus)
    half: Any = (modulus - 1) // 2
    return np.asarray((values + half) % modulus - half, dtype=np.int64)


def write_batch(x: SimulatedBatch) -> bytes:
    """The payload of simulated ciphertexts."""
    rows: Integers = np.concatenate([x.slots.astype("<i8"), x.noise.astype("<f8").view("<i8")], axis=1)
    return rows.tobytes()


def read_batch(payload: Payload, count: int, parameters: BfvParameters) -> SimulatedBatch:
    """The simulated ciphertexts of a payload.

    Raises:
        PayloadError: wrong length.
    """
    slots, moduli = parameters.slots, len(parameters.plaintext_moduli)
    needed = 8 * count * (slots + moduli)
    if len(payload) != needed:
        raise PayloadError(f"{count} simulated ciphertexts need {needed} bytes, got {len(payload)}")
    rows = np.frombuffer(payload, dtype="<i8").reshape(count, slots + moduli)
    noise = np.ascontiguousarray(rows[:, slots:]).view("<f8")
    return SimulatedBatch(rows[:, :slots].astype(np.int64), noise.astype(np.float64))
