"""Evaluation keys of a client, each brought to the ring's special primes when it is first needed.

A key is brought for the level at which it is asked for: lower levels take fewer digits and rows. Where memory has a
cap, keys are first cut to what their next use takes; then those go that are needed again last.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable

from enclair.compiler.ir.key_needs import NO_USES, RELINEARISATION, KeyName, KeyUses
from enclair.runtime.errors import MissingKeyError
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.rns.elementwise import Kept
from enclair.runtime.rns.keys import EvaluationKeys, bring_key, cut_key, switch_tables
from enclair.runtime.rns.ring import Ring, RingParameters


class KeyRing:
    """The keys by name. Steps are modulo the slots. Keys as they came are asked for when needed, and not kept.

    Args:
        parameters: of the program.
        keys: as they came.
        ring: that they are brought to.
        most_bytes: of brought keys to keep; rotation keys beyond are brought again when they are needed; no cap if not
            given.
        uses: by the program; what is not in it is taken to be used no more.
    """

    def __init__(
        self,
        parameters: RingParameters,
        keys: EvaluationKeys,
        ring: Ring,
        most_bytes: int | None = None,
        uses: KeyUses = NO_USES,
    ) -> None:
        self._ring, self._tables = ring, switch_tables(parameters, ring)
        self._slots = ring.ring_dim // 2
        self._given, self._names = keys.rotations, {steps % self._slots: steps for steps in keys.rotations}
        self._relinearisation = keys.relinearisation
        self._most_bytes = most_bytes
        self._timetable = _Timetable({name if name is None else name % self._slots: of for name, of in uses.items()})
        self._brought: dict[KeyName, Kept] = {}
        """In the order of use, the last used last."""
        self._lock = threading.Lock()

    def rotation(self, steps: int, level: int) -> Kept:
        """The key (digits, 2, rows, N) that rotates ciphertexts of a level, or of higher ones, by so many steps.

        Raises:
            MissingKeyError: it is not there.
            PayloadError: it is of another shape than the parameters say.
        """
        return self.rotations({steps}, level)[steps]

    def rotations(self, steps: Iterable[int], level: int) -> dict[int, Kept]:
        """The keys of all rotations but that by 0; see ``rotation``."""
        wanted = {each: each % self._slots for each in sorted(steps) if each % self._slots}
        if missing := sorted(set(wanted.values()) - set(self._names)):
            raise MissingKeyError(
                f"rotations by {', '.join(map(str, missing))} need keys, got keys for"
                f" {', '.join(map(str, sorted(self._names))) or 'none'}: make keys for this program"
            )
        return {each: self._take_rotation(name, level) for each, name in wanted.items()}

    def relinearisation(self, level: int) -> Kept:
        """The key (digits, 2, rows, N) from the square of the secret, for ciphertexts of a level, or of higher ones.

        Raises:
            MissingKeyError: it is not there.
            PayloadError: it is of another shape than the parameters say.
        """
        with self._lock:
            if RELINEARISATION not in self._brought:
                given = self._given_relinearisation()
                served = given.shape[2] - len(self._tables.transforms) - 1
                self._brought[RELINEARISATION] = self._bring(given, max(served, level), "relinearisation")
                self._relinearisation = None
            key = self._brought[RELINEARISATION]
            if self._level_of(key) < level:
                raise MissingKeyError(
                    f"a product at level {level} needs a relinearisation key for it, got one for levels up to"
                    f" {self._level_of(key)}: make keys for this program"
                )
            return key

    def _given_relinearisation(self) -> Words:
        if self._relinearisation is None:
            raise MissingKeyError("a product needs the relinearisation key, got none: make keys for this program")
        return self._relinearisation

    def _take_rotation(self, name: int, level: int) -> Kept:
        with self._lock:
            self._timetable.note(name)
            key = self._brought.pop(name, None)
            if key is None or self._level_of(key) < level:
                key = self._bring(self._given[self._names[name]], level, f"rotation {name}")
            self._brought[name] = key
            return key

    def _bring(self, key: Words, level: int, text: str) -> Kept:
        brought = bring_key(key, self._tables, level, text)
        self._make_room(brought.nbytes)
        return brought

    def _level_of(self, key: Kept) -> int:
        return key.shape[2] - len(self._ring.special) - 1

    def _make_room(self, needed: int) -> None:
        """Cut and forget rotation keys until another one fits."""
        rotations = [name for name in self._brought if name is not RELINEARISATION]
        for name in rotations:
            if self._fits(needed):
                return
            self._cut(name)
        for name in sorted(rotations, key=self._timetable.next_place, reverse=True):
            if self._fits(needed):
                return
            del self._brought[name]

    def _fits(self, needed: int) -> bool:
        kept = sum(key.nbytes for key in self._brought.values())
        return self._most_bytes is None or kept + needed <= self._most_bytes

    def _cut(self, name: KeyName) -> None:
        """To the level of its next use."""
        level = self._timetable.next_level(name)
        if level is not None and level < self._level_of(self._brought[name]):
            self._brought[name] = cut_key(self._ring, self._brought[name], level)


class _Timetable:
    """When keys are used next, in a program that is evaluated again and again."""

    def __init__(self, uses: KeyUses) -> None:
        self._uses = uses
        self._length = 1 + max((use.place for of in uses.values() for use in of), default=0)
        self._done: Counter[KeyName] = Counter()

    def note(self, name: KeyName) -> None:
        """One use has come."""
        self._done[name] += 1

    def next_place(self, name: KeyName) -> float:
        """Of the next use, places of one evaluation after those of another; infinite if there is none."""
        if not (uses := self._uses.get(name)):
            return math.inf
        evaluations, number = divmod(self._done[name], len(uses))
        return evaluations * self._length + uses[number].place

    def next_level(self, name: KeyName) -> int | None:
        """At which it comes; None if there is none."""
        uses = self._uses.get(name)
        return uses[self._done[name] % len(uses)].level if uses else None
