"""The factors of a scaled answer: how they travel with it, and how the client divides by them.

    payload of a scaled answer: u32 factor of each ciphertext | ciphertexts

Dividing is exact. A remainder shows that the answer was altered, or belongs to other factors.
"""

from __future__ import annotations

import numpy as np

from enclair.compiler.ir.layouts import Layout
from enclair.compiler.program import LARGEST_FACTOR
from enclair.runtime.backends.interface import Integers, Payload
from enclair.runtime.errors import PayloadError

FACTOR_BYTES = 4


def with_factors(factors: Integers, payload: Payload) -> bytes:
    """The payload of a scaled answer; one factor for each ciphertext."""
    return b"".join((factors.astype("<u4").tobytes(), payload))


def split_factors(payload: Payload, count: int) -> tuple[Integers, memoryview]:
    """The factors of ``count`` ciphertexts, and the payload of these.

    Raises:
        PayloadError: it is too short, or a factor is not in [1, LARGEST_FACTOR].
    """
    view, needed = memoryview(payload), FACTOR_BYTES * count
    if len(view) < needed:
        raise PayloadError(f"{count} factors need {needed} bytes, got {len(view)}: send the answer again")
    factors = np.frombuffer(view[:needed], dtype="<u4").astype(np.int64)
    if wrong := factors[(factors < 1) | (factors > LARGEST_FACTOR)].tolist():
        raise PayloadError(f"a factor must be 1 to {LARGEST_FACTOR}, got {wrong[0]}: send the answer again")
    return factors, view[needed:]


def divided(layout: Layout, rows: Integers, factors: Integers) -> tuple[Integers, int]:
    """Slot vectors (count, slots) divided by the factor of each, and how many held ones are no multiple of it."""
    quotients, remainders = np.divmod(rows, factors[:, None])
    return quotients, int(np.count_nonzero(remainders[layout.index() >= 0]))
