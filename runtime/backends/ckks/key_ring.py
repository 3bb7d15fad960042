"""Evaluation keys of a client, each brought to the ring's special primes when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from enclair.runtime.errors import MissingKeyError
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.rns.elementwise import Kept
from enclair.runtime.rns.keys import EvaluationKeys, bring_key, switch_tables
from enclair.runtime.rns.ring import Ring, RingParameters

RELINEARISATION = None


class KeyRing:
    """The keys by name. Steps are modulo the slots. Keys as they came are asked for when needed, and not kept.

    Args:
        parameters: of the program.
        keys: as they came.
        ring: that they are brought to.
        most_bytes: of brought rotation keys to keep: those used least recently go first, and are brought again when
            they are needed; no cap if not given.
    """

    def __init__(
        self, parameters: RingParameters, keys: EvaluationKeys, ring: Ring, most_bytes: int | None = None
    ) -> None:
        self._tables = switch_tables(parameters, ring)
        self._slots = ring.ring_dim // 2
        self._given, self._names = keys.rotations, {steps % self._slots: steps for steps in keys.rotations}
        self._relinearisation = keys.relinearisation
        self._most_bytes = most_bytes
        self._brought: dict[int | None, Kept] = {}
        """In the order of use, the last used last."""
        self._lock = threading.Lock()

    def rotation(self, steps: int) -> Kept:
        """The key (digits, 2, rows, N) that rotates by so many steps.

        Raises:
            MissingKeyError: it is not there.
            PayloadError: it is of another shape than the parameters say.
        """
        steps %= self._slots
        self.check({steps})
        return self._bring(steps, f"rotation {steps}", lambda: self._given[self._names[steps]])

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
        return self._bring(RELINEARISATION, "relinearisation", self._take_relinearisation)

    def _take_relinearisation(self) -> Words:
        key, self._relinearisation = self._relinearisation, None
        if key is None:
            raise MissingKeyError("a product needs the relinearisation key, got none: make keys for this program")
        return key

    def _bring(self, name: int | None, text: str, given: Callable[[], Words]) -> Kept:
        with self._lock:
            key = self._brought.pop(name, None)
            if key is None:
                key = bring_key(given(), self._tables, text)
                self._make_room(key.nbytes)
            self._brought[name] = key
            return key

    def _make_room(self, needed: int) -> None:
        """Forget rotation keys until another one fits."""
        for name in [name for name in self._brought if name is not RELINEARISATION]:
            kept = sum(key.nbytes for key in self._brought.values())
            if self._most_bytes is None or kept + needed <= self._most_bytes:
                return
            del self._brought[name]
