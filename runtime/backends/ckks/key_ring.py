"""Evaluation keys of a client, each brought to the ring's special primes when it is first needed, and then let go."""

from __future__ import annotations

import threading

from enclair.runtime.errors import MissingKeyError
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.rns.elementwise import Kept
from enclair.runtime.rns.keys import EvaluationKeys, bring_key, switch_tables
from enclair.runtime.rns.ring import Ring, RingParameters

RELINEARISATION = None


class KeyRing:
    """The keys by name. Steps are modulo the slots."""

    def __init__(self, parameters: RingParameters, keys: EvaluationKeys, ring: Ring) -> None:
        self._tables = switch_tables(parameters, ring)
        self._slots = ring.ring_dim // 2
        self._given: dict[int | None, Words] = {steps % self._slots: key for steps, key in keys.rotations.items()}
        self._rotations = frozenset(steps for steps in self._given if steps is not None)
        if keys.relinearisation is not None:
            self._given[RELINEARISATION] = keys.relinearisation
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
        return self._bring(steps, f"rotation {steps}")

    def check(self, steps: set[int]) -> None:
        """See that all these rotations have a key.

        Raises:
            MissingKeyError: for some there is none.
        """
        missing = sorted({s % self._slots for s in steps} - {0} - self._rotations)
        if missing:
            raise MissingKeyError(
                f"rotations by {', '.join(map(str, missing))} need keys, got keys for"
                f" {', '.join(map(str, sorted(self._rotations))) or 'none'}: make keys for this program"
            )

    def relinearisation(self) -> Kept:
        """The key (digits, 2, rows, N) from the square of the secret.

        Raises:
            MissingKeyError: it is not there.
            PayloadError: it is of another shape than the parameters say.
        """
        if RELINEARISATION not in self._given and RELINEARISATION not in self._brought:
            raise MissingKeyError("a product needs the relinearisation key, got none: make keys for this program")
        return self._bring(RELINEARISATION, "relinearisation")

    def _bring(self, name: int | None, text: str) -> Kept:
        with self._lock:
            if name not in self._brought:
                self._brought[name] = bring_key(self._given[name], self._tables, text)
                del self._given[name]
            return self._brought[name]
