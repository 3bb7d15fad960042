"""Obfuscation by the server: channels in another order, and multiplied by factors. It protects nothing.

The order is drawn for a session and stays for all of its rounds: what left permuted comes back permuted. It follows
from 32 bytes of the system's random source, which the server keeps with the session. Factors are drawn for each answer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, TypeVar

import numpy as np

from enclair.compiler.obfuscation import Obfuscation, analyse
from enclair.compiler.obfuscation.analysis import Crossing
from enclair.compiler.program import Program
from enclair.runtime.backends.interface import Evaluator, Integers
from enclair.runtime.errors import ObfuscationError

Batch = TypeVar("Batch")

PERMUTE, SCALE = "permute", "scale"
KINDS = (PERMUTE, SCALE)
SEED_BYTES = 32


def check_kinds(kinds: Collection[str]) -> frozenset[str]:
    """The kinds of obfuscation that are asked for.

    Raises:
        ObfuscationError: one that there is not.
    """
    if isinstance(kinds, str):
        raise ObfuscationError(f"obfuscate takes several of {', '.join(KINDS)}, got the text {kinds!r}: give a tuple")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ObfuscationError(f"obfuscation is {' or '.join(KINDS)}, got {', '.join(map(repr, unknown))}")
    return frozenset(kinds)


def kinds_of(text: str) -> tuple[str, ...]:
    """The kinds in a text, with commas between them; none in an empty one.

    Raises:
        ObfuscationError: one that there is not.
    """
    kinds = tuple(part.strip() for part in text.split(",")) if text else ()
    check_kinds(kinds)
    return kinds


class Obfuscator(Generic[Batch]):
    """Permutes and scales the ciphertexts of a program's answers, and undoes it on the uploads that come back."""

    def __init__(self, program: Program, evaluator: Evaluator[Batch]) -> None:
        self._program = program
        self._evaluator = evaluator
        self._known: Obfuscation | None = None

    @property
    def found(self) -> Obfuscation:
        """What can be obfuscated; found out when it is first asked for."""
        if self._known is None:
            self._known = analyse(self._program)
        return self._known

    def permuted(self, batches: Mapping[str, Batch], seed: bytes) -> dict[str, Batch]:
        """Answers in the order of the session."""
        return {name: self._reordered(name, batch, seed, undo=False) for name, batch in batches.items()}

    def restored(self, batches: Mapping[str, Batch], seed: bytes) -> dict[str, Batch]:
        """Uploads in the program's own order."""
        return {name: self._reordered(name, batch, seed, undo=True) for name, batch in batches.items()}

    def scaled(self, batches: Mapping[str, Batch]) -> tuple[dict[str, Batch], Integers]:
        """Answers times fresh factors, and the factor of each ciphertext, one answer after another."""
        drawn = {name: self._factors(name, self._evaluator.count(batch)) for name, batch in batches.items()}
        products = {name: self._product(name, batch, drawn[name]) for name, batch in batches.items()}
        return products, np.concatenate([np.zeros(0, dtype=np.int64), *drawn.values()])

    def _reordered(self, name: str, batch: Batch, seed: bytes, *, undo: bool) -> Batch:
        crossing = self.found.crossings.get(name)
        if crossing is None:
            return batch
        own, mixed = crossing.numbers, crossing.numbers[channel_order(crossing, seed)]
        numbers = np.arange(self._evaluator.count(batch))
        numbers[mixed if undo else own] = own if undo else mixed
        return self._evaluator.select(batch, numbers)

    def _factors(self, name: str, count: int) -> Integers:
        """One for each channel."""
        factors, channels = np.ones(count, dtype=np.int64), self.found.channels[name]
        factors[channels] = _drawn(self.found.factors[name], len(channels))[:, None]
        return factors

    def _product(self, name: str, batch: Batch, factors: Integers) -> Batch:
        if self.found.factors[name] == 1:
            return batch
        channels = self.found.channels[name]
        weights = factors[channels[:, :1]][:, :, None]
        tables = channels[:, :, None], weights, channels[:, None, :]
        return self._evaluator.linear_combination(batch, *tables, len(factors))


def channel_order(crossing: Crossing, seed: bytes) -> Integers:
    """Which channel stands where, (channels,): the permutations of the runs, one after another."""
    parts: list[Integers] = []
    start = 0
    for number, length in crossing.runs:
        parts.append(start + (np.arange(length) if number < 0 else permutation(seed, number, length)))
        start += length
    return np.concatenate(parts)


def permutation(seed: bytes, number: int, length: int) -> Integers:
    """A permutation of a session: the order of as many 128-bit numbers, which SHAKE256 makes of the seed."""
    stream = hashlib.shake_256(seed + number.to_bytes(4, "little")).digest(16 * length)
    order: Integers = np.lexsort(np.frombuffer(stream, dtype="<u8").reshape(length, 2).T)
    return order


def _drawn(largest: int, count: int) -> Integers:
    """Uniform in [1, largest], from the system's random source."""
    numbers: Iterable[int] = (1 + secrets.randbelow(largest) for _ in range(count))
    return np.fromiter(numbers, dtype=np.int64, count=count)
