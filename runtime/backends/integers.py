"""Integers modulo the plaintext moduli, and the guards before them: BFV wraps without a word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from enclair.runtime.backends.interface import Integers
from enclair.runtime.errors import ValueRangeError


def check_integers(what: str, values: Integers, largest: int) -> None:
    """Refuse what is not int64, or lies beyond +-largest.

    Raises:
        ValueRangeError: says the type, or the value that is too large and where it is.
    """
    if values.dtype != np.int64:
        raise ValueRangeError(f"{what} must be int64, got {values.dtype}: round to fixed point first")
    if values.size and (int(values.max()) > largest or int(values.min()) < -largest):
        where = np.unravel_index(int(np.argmax((values > largest) | (values < -largest))), values.shape)
        raise ValueRangeError(
            f"{what} must lie within +-{largest}, half the plaintext modulus, got {values[where]} at"
            f" {tuple(map(int, where))}:"
            " compile with a larger modulus or fewer bits"
        )


def check_slots(what: str, values: Integers, shape: tuple[int, int]) -> None:
    """Refuse an array of another shape than (count, slots).

    Raises:
        ValueRangeError: says both shapes.
    """
    if values.shape != shape:
        raise ValueRangeError(f"{what} must have shape {shape}, (ciphertexts, slots), got {values.shape}")


def centred(values: Integers, modulus: int) -> Integers:
    """The values modulo an odd modulus, in [-(modulus - 1) / 2, (modulus - 1) / 2]."""
    half = (modulus - 1) // 2
    if not values.size or (int(values.max()) <= half and int(values.min()) >= -half):
        return values
    return (values % modulus + half) % modulus - half


def from_residues(residues: Sequence[Integers], moduli: Sequence[int]) -> Integers:
    """The integers with these residues modulo one or two primes, centred (Garner).

    The primes' product must be below 2^62.
    """
    if len(moduli) == 1:
        return centred(residues[0], moduli[0])
    (small, x), (large, y) = sorted(zip(moduli, residues, strict=True), key=lambda pair: pair[0])
    lowest = y % large
    steps = (x - lowest) % small * pow(large, -1, small) % small
    return centred(lowest + large * steps, small * large)
