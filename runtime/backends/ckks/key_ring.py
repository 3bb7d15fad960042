"""Evaluation keys of a client, each brought to the ring's special primes when it is first needed."""

from __future__ import annotations

import threading

from enclair.runtime.errors import MissingKeyError
from enclair.runtime.rns.elementwise import Kept
from enclair.runtime.rns.keys import EvaluationKeys, bring_key, switch_tables
from enclair.runtime.rns.ring import Ring, RingParameters


class KeyRing:
    """The keys by name. Steps are modulo the slots."""

    def __init__(self, parameters: RingParameters, keys: EvaluationKeys, ring: Ring) -> None:
        self._tables = switch_tables(parameters, ring)
        self._slots = ring.ring_dim // 2
        self._given, self._names = keys.rotations, {steps % self._slots: steps for steps in keys.rotations}
        self._relinearisation = keys.relinearisation
        self._brought: dict[int | None, Kept] = {}
        self._lock = threading.Lock()

    def rotation(self, steps: int) -> Kept:
        """The key (digits, 2, rows, N) that rotates by so many steps.

        Raises:
            MissingKeyError: it is not there.
            PayloadError: it is of another shape than the parameters say.
        """
        steps %= self._slots
        self.check({steps})
        with self._lock:
            if steps not in self._brought:
                self._brought[steps] = bring_key(self._given[self._names[steps]], self._tables, f"rotation {steps}")
            return self._brought[steps]

    def check(self, steps: set[int]) -> None:
        """See that all these rotations have a key.

        Raises:
            MissingKeyError: for some there is none.
        """
        missing = sorted({s % self._slots for s in steps} - {0} - set(self._names))
        if missing:
            raise MissingKeyError(
                f"rotations by {', '.join(map(str, missing))} need keys, got keys for"
                f" {', '.join(map(str, sorted(self._names))) or 'none'}: make keys for this program"
            )

    def relinearisation(self) -> Kept:
        """The key (digits, 2, rows, N) from the square of the secret.

        Raises:
            MissingKeyError: it is not there.
            PayloadError: it is of another shape than the parameters say.
        """
        if self._relinearisation is None:
            raise MissingKeyError("a product needs the relinearisation key, got none: make keys for this program")
        with self._lock:
            if None not in self._brought:
                self._brought[None] = bring_key(self._relinearisation, self._tables, "relinearisation")
            return self._brought[None]
