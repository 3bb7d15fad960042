"""The backend that does in the clear what BFV does: integers modulo t, and a bound of the noise of every ciphertext.

The noise bounds are those of ``compiler.parameters``; they are counted per plaintext modulus, since weights are reduced
modulo each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.ops.packed import terms
from enclair.compiler.parameters import (
    BfvParameters,
    flood_noise_bits,
    fresh_noise_bits,
    slot_vector_bits,
    sum_room_bits,
    zero_noise_bits,
)
from enclair.runtime.backends.exact import Exact, scalar_sums, vector_sums, weight_matrix
from enclair.runtime.backends.integers import centred, check_integers, check_slots
from enclair.runtime.backends.interface import Integers
from enclair.runtime.errors import NoiseExhausted, PayloadError

KEY_ID = "0" * 32


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedCipher:
    """What a ciphertext holds: its slots, and a bound of its noise under each plaintext modulus."""

    slots: Integers
    noise: NDArray[np.float64]


class SimulatedEvaluator:
    """The operations of ``interface.Evaluator``, with noise.

    ``room_left_bits`` is what the answers so far left of the room for sums: infinite before the first, never negative.
    """

    def __init__(self, parameters: BfvParameters) -> None:
        self.parameters = parameters
        self.room_left_bits = math.inf

    @property
    def key_id(self) -> str:
        """There is no key: zeros."""
        return KEY_ID

    def load(self, payload: bytes, count: int) -> list[SimulatedCipher]:
        """The ciphertexts of a payload; see ``Evaluator.load``."""
        return read_ciphers(payload, count, self.parameters)

    def dump(self, x: list[SimulatedCipher]) -> bytes:
        """The payload of ciphertexts: slots, then noise, as eight bytes each."""
        return write_ciphers(x)

    def linear_combination(
        self, x: list[SimulatedCipher], gather: Integers, weights: Integers, scatter: Integers, outputs: int
    ) -> list[SimulatedCipher]:
        """Sums modulo t; see ``Evaluator.linear_combination``.

        The noise grows by the sum of the magnitudes of the weights.
        """
        check_integers("a weight", weights, self.parameters.largest_value)
        rows, cols, values = terms(gather, weights, scatter)
        growth = [np.abs(centred(values, t)).astype(np.float64) for t in self.parameters.plaintext_moduli]
        noise = self._grown(x, rows, cols, growth, outputs)
        return self._ciphers(scalar_sums(_slots(x), rows, cols, values, outputs), noise)

    def slot_combination(
        self, x: list[SimulatedCipher], rows: Integers, cols: Integers, vectors: Integers, outputs: int
    ) -> list[SimulatedCipher]:
        """Sums modulo t; see ``Evaluator.slot_combination``. The noise grows by N t for each term."""
        check_integers("a factor", vectors, self.parameters.largest_value)
        term = np.full(len(rows), 2.0 ** slot_vector_bits(self.parameters))
        noise = self._grown(x, rows, cols, [term] * len(self.parameters.plaintext_moduli), outputs)
        return self._ciphers(vector_sums(_slots(x), rows, cols, vectors, outputs), noise)

    def add_vectors(self, x: list[SimulatedCipher], vectors: Integers) -> list[SimulatedCipher]:
        """Each ciphertext plus its vector; the noise grows by the rounding of Q/t m."""
        check_integers("a summand", vectors, self.parameters.largest_value)
        return self._ciphers(_slots(x) + vectors, _noise(x) + 1)

    def add(self, x: list[SimulatedCipher], y: list[SimulatedCipher]) -> list[SimulatedCipher]:
        """The sums, ciphertext by ciphertext."""
        return self._ciphers(_slots(x) + _slots(y), _noise(x) + _noise(y))

    def subtract(self, x: list[SimulatedCipher], y: list[SimulatedCipher]) -> list[SimulatedCipher]:
        """The differences, ciphertext by ciphertext."""
        return self._ciphers(_slots(x) - _slots(y), _noise(x) + _noise(y))

    def answer(self, x: list[SimulatedCipher]) -> bytes:
        """The payload to send back, flooded.

        Raises:
            NoiseExhausted: the flooding noise would not be ``flood_bits`` above the noise of the sums.
        """
        for number, cipher in enumerate(x):
            self._check_room(number, float(np.log2(max(cipher.noise.max(), 1.0))))
        return write_ciphers(SimulatedCipher(c.slots, c.noise + self._flood()) for c in x)

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

    def _grown(
        self, x: list[SimulatedCipher], rows: Integers, cols: Integers, growth: list[NDArray[np.float64]], outputs: int
    ) -> NDArray[np.float64]:
        """Noise (outputs, moduli) of sums; none where a sum has no term."""
        before, shape = _noise(x), (outputs, len(x))
        parts = [weight_matrix(rows, cols, factors, shape) @ before[:, i] for i, factors in enumerate(growth)]
        return np.stack(parts, axis=1)

    def _ciphers(self, slots: Exact, noise: NDArray[np.float64]) -> list[SimulatedCipher]:
        wrapped = wrap(slots, self.parameters.modulus)
        return [SimulatedCipher(row, bound) for row, bound in zip(wrapped, noise, strict=True)]


class SimulatedKeyHolder:
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
        """The slots with the noise of a fresh encryption; see ``KeyHolder.encrypt``."""
        check_integers("a value to encrypt", values, self.parameters.largest_value)
        check_slots("values to encrypt", values, (len(values), self.parameters.slots))
        noise = np.full(len(self.parameters.plaintext_moduli), 2.0 ** fresh_noise_bits())
        return write_ciphers(SimulatedCipher(row, noise) for row in values)

    def decrypt(self, payload: bytes, count: int) -> Integers:
        """The slots; see ``KeyHolder.decrypt``."""
        ciphers = read_ciphers(payload, count, self.parameters)
        return _slots(ciphers) if ciphers else np.empty((0, self.parameters.slots), dtype=np.int64)


def wrap(values: Exact, modulus: int) -> Integers:
    """Integers, of any size, modulo an odd modulus below 2^62, centred."""
    if values.dtype == np.int64:
        return centred(values, modulus)
    half: Any = (modulus - 1) // 2
    return np.asarray((values + half) % modulus - half, dtype=np.int64)


def write_ciphers(ciphers: Iterable[SimulatedCipher]) -> bytes:
    """The payload of simulated ciphertexts."""
    return b"".join(c.slots.astype("<i8").tobytes() + c.noise.astype("<f8").tobytes() for c in ciphers)


def read_ciphers(payload: bytes, count: int, parameters: BfvParameters) -> list[SimulatedCipher]:
    """The simulated ciphertexts of a payload.

    Raises:
        PayloadError: wrong length.
    """
    slots = parameters.slots
    width = 8 * (slots + len(parameters.plaintext_moduli))
    if len(payload) != count * width:
        raise PayloadError(f"{count} simulated ciphertexts need {count * width} bytes, got {len(payload)}")
    pieces = (payload[start : start + width] for start in range(0, len(payload), width))
    return [SimulatedCipher(_read(piece[: 8 * slots], "<i8"), _read(piece[8 * slots :], "<f8")) for piece in pieces]


def _read(data: bytes, kind: str) -> NDArray[Any]:
    return np.frombuffer(data, dtype=kind)


def _slots(x: list[SimulatedCipher]) -> Integers:
    return np.stack([cipher.slots for cipher in x])


def _noise(x: list[SimulatedCipher]) -> NDArray[np.float64]:
    return np.stack([cipher.noise for cipher in x])
