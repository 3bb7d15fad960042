"""Linear transforms on ciphertexts: hoisted rotations, sums of products with plaintexts, giant steps."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from enclair.runtime.backends.ckks.ciphers import Counts
from enclair.runtime.backends.ckks.plan import Plan
from enclair.runtime.errors import ValueRangeError
from enclair.runtime.limbs.compiled import Floats, Integers
from enclair.runtime.limbs.workers import spread
from enclair.runtime.rns import encoding, operations, sums
from enclair.runtime.rns.elementwise import Kept
from enclair.runtime.rns.ring import Ring

Sums: TypeAlias = "Floats | list[Floats]"
"""Sums (2, rows, N): in one array where weights are apart from vectors, or each in its own, freed by itself."""


@dataclass(frozen=True, eq=False)
class Plaintexts:
    """The plaintexts of a plan.

    Args:
        ring: of the ciphertexts.
        rows: that they are encoded for.
        scale: that they are encoded at.
        constants: (blends, rows) of vectors that are one number; or
        residues: (blends, rows, N); or, where these would take too much memory,
        coefficients: (blends, N), rounded, from which residues are made whenever they are needed.
    """

    ring: Ring
    rows: Integers
    scale: float
    constants: Floats | None = None
    residues: Kept | None = None
    coefficients: Floats | None = None

    def at_row(self, place: int, which: Integers) -> tuple[Kept, int, Integers]:
        """Residues (any, rows, N), which of the rows is the one of this place, and where the plaintexts are in them."""
        if self.residues is not None or self.coefficients is None:
            return (self.residues if self.residues is not None else np.empty((0, 1, 0))), place, which
        numbers, places = np.unique(which, return_inverse=True)
        out = np.empty((numbers.size, 1, self.ring.ring_dim), dtype=self.ring.kept_as)
        made = np.empty(self.ring.ring_dim)
        for to, number in zip(out, numbers.tolist(), strict=True):
            encoding.reduce_to(self.ring, self.coefficients[number], int(self.rows[place]), made)
            to[0] = made
        return out, 0, places.astype(np.int64)


def encode(ring: Ring, vector: Floats, scale: float, rows: Integers) -> Floats:
    """The element (rows, N) of a vector (slots,) at a scale.

    Raises:
        ValueRangeError: it is too large, or not finite.
    """
    _check_finite(vector)
    return encoding.residues(ring, encoding.coefficients(vector) * scale, rows)


def _check_finite(vector: Floats) -> None:
    if not np.isfinite(vector).all():
        raise ValueRangeError(
            f"a plaintext needs finite numbers, got {vector[~np.isfinite(vector)][0]}: mend the weights"
        )


def prepare(ring: Ring, plan: Plan, vectors: Floats, level: int, plain_scale: float, most_bytes: int) -> Plaintexts:
    """The plaintexts of a plan, as residues when they take no more memory than ``most_bytes``.

    Raises:
        ValueRangeError: a plaintext too large to encode.
    """
    rows, scale = ring.rows(level, extended=plan.extended), plain_scale / plan.weight_scale
    blended = [blend.vector(vectors) for blend in plan.blends]
    for vector in blended:
        _check_finite(vector)
    if vectors.shape[1] == 1:
        constants = [ring.residues(round(float(vector[0]) * scale))[rows] for vector in blended]
        return Plaintexts(ring, rows, scale, constants=np.array(constants).reshape(-1, rows.size))
    coefficients = np.empty((len(blended), ring.ring_dim))

    def transform(i: int) -> None:
        coefficients[i] = np.rint(encoding.coefficients(blended[i]) * scale)

    spread(transform, range(len(blended)))
    residues = np.empty((len(blended), rows.size, ring.ring_dim), dtype=ring.kept_as)
    encoding.check_size(ring, coefficients)
    if residues.nbytes > most_bytes:
        return Plaintexts(ring, rows, scale, coefficients=coefficients)

    def reduce(i: int) -> None:
        residues[i] = encoding.residues(ring, coefficients[i], rows)

    spread(reduce, range(len(blended)))
    return Plaintexts(ring, rows, scale, residues=residues)


@dataclass(frozen=True, eq=False)
class Work:
    """One linear transform on ciphertexts x, each (2, level + 1, N).

    Args:
        ring: of the ciphertexts.
        keys: by steps, of all rotations of the plan.
        plan: what is to be done.
        plaintexts: of the plan.
        x: ciphertexts.
        level: theirs.
    """

    ring: Ring
    keys: Mapping[int, Kept]
    plan: Plan
    plaintexts: Plaintexts
    x: tuple[Floats, ...]
    level: int

    @cached_property
    def rows(self) -> Integers:
        """Of the sums."""
        return self.ring.rows(self.level, extended=self.plan.extended)

    @cached_property
    def turned(self) -> list[int]:
        """Inputs that are rotated."""
        return sorted({col for col, baby in self.plan.babies if baby})

    @cached_property
    def by_steps(self) -> dict[int, Integers]:
        """The numbers of the babies with each baby step."""
        steps = np.array([baby for _, baby in self.plan.babies], dtype=np.int64)
        return {int(step): np.flatnonzero(steps == step) for step in np.unique(steps)}

    def run(self) -> tuple[tuple[Floats, ...], bool]:
        """The results, and whether they are extended."""
        places = self.plan.places
        made_sums = self.make_sums()
        by_row: dict[int, list[tuple[int, Floats]]] = {}
        for (row, giant), made in zip(places, made_sums, strict=True):
            by_row.setdefault(row, []).append((giant, made))
        extended = self.plan.extended or any(giant for _, giant in places)
        turned = self._take_giant_steps(by_row, extended=extended)
        return tuple(turned[row] for row in range(self.plan.outputs)), extended

    def make_sums(self) -> Sums:
        """All sums (2, rows, N), one prime after another: what is rotated of one stays in the caches."""
        out = self._new_sums()
        digits = self._decompose()
        sources = np.stack([self.x[col] for col in self.turned]) if self.turned else np.empty((0, 2, 1, 0))
        if self.plan.extended:

            def work(place: int) -> None:
                self._sum_up(self._rotate_row(place, digits, sources), place, place, out)

            spread(work, range(self.rows.size))
        else:
            rotated = self._rotate_and_bring_down(digits, sources)
            spread(lambda place: self._sum_up(rotated, place, 0, out), range(self.rows.size))
        return out

    def _new_sums(self) -> Sums:
        count, shape = len(self.plan.places), (2, self.rows.size, self.ring.ring_dim)
        return np.empty((count, *shape)) if self.plan.weighted else [np.empty(shape) for _ in range(count)]

    def _decompose(self) -> Floats:
        """The digits (turned, digits, rows, N) of the inputs that are rotated."""
        digits, rows = len(self.ring.digits(self.level)), self.ring.rows(self.level, extended=True).size
        out = np.empty((len(self.turned), digits, rows, self.ring.ring_dim))

        def work(i: int) -> None:
            operations.decompose(self.ring, self.x[self.turned[i]][1], self.level, out[i])

        spread(work, range(len(self.turned)))
        return out

    def _rotate_row(self, place: int, digits: Floats, sources: Floats) -> Floats:
        """Every rotation of an input that is needed, modulo one prime: (babies, 2, 1, N), extended."""
        babies = self.plan.babies
        out = _scratch((len(babies), 2, 1, self.ring.ring_dim))
        for steps, to in self.by_steps.items():
            cols = [babies[i][0] for i in to.tolist()]
            if steps:
                self._rotate(steps, cols, to, digits, sources, out, range(place, place + 1))
            elif place <= self.level:
                operations.multiply_special(self.ring, [self.x[col] for col in cols], place, to, out)
            else:
                out[to] = 0.0
        return out

    def _rotate(
        self, steps: int, cols: list[int], to: Integers, digits: Floats, sources: Floats, out: Floats, rows: range
    ) -> None:
        if cols != self.turned:
            numbers = [self.turned.index(col) for col in cols]
            digits, sources = digits[numbers], sources[numbers]
        key, places = self.keys[steps], self.ring.rotation(steps)
        operations.inner_products(self.ring, digits, key, self.level, places, sources, 1, to, out, rows)

    def _rotate_and_bring_down(self, digits: Floats, sources: Floats) -> Floats:
        """Every rotation of an input that is needed, modulo Q: (babies, 2, rows, N)."""
        babies, every = self.plan.babies, range(self.ring.rows(self.level, extended=True).size)
        out = np.empty((len(babies), 2, self.rows.size, self.ring.ring_dim))

        def work(i: int) -> None:
            col, steps = babies[i]
            if not steps:
                out[i] = self.x[col]
                return
            wide, number = np.empty((1, 2, len(every), self.ring.ring_dim)), self.turned.index(col)
            made, source = digits[number : number + 1], sources[number : number + 1]
            key, places = self.keys[steps], self.ring.rotation(steps)
            operations.inner_products(self.ring, made, key, self.level, places, source, 1, operations.FIRST, wide)
            out[i] = operations.mod_down(self.ring, wide[0], self.level)

        spread(work, range(len(babies)))
        return out

    def _sum_up(self, rotated: Floats, place: int, first: int, out: Sums) -> None:
        """All sums modulo the prime of a place, of inputs whose first row is that of ``first``."""
        if isinstance(out, list):
            self._sum_products(rotated, place, first, out)
        else:
            self._sum_weighted(rotated, place, first, out)

    def _sum_products(self, rotated: Floats, place: int, first: int, out: list[Floats]) -> None:
        prime, plain = float(self.ring.moduli[self.rows[place]]), self.plaintexts
        for s, to in zip(self.plan.sums, out, strict=True):
            if plain.constants is not None:
                sums.sum_multiples(rotated, plain.constants, place, s.cols, s.which, prime, place, first, to)
            else:
                factors, at, which = plain.at_row(place, s.which)
                sums.sum_products(rotated, factors, at, s.cols, which, prime, place, first, to)

    def _sum_weighted(self, rotated: Floats, place: int, first: int, out: Floats) -> None:
        prime, start = float(self.ring.moduli[self.rows[place]]), 0
        for w in self.plan.weighted:
            factors, at, which = self.plaintexts.at_row(place, w.which)
            to = np.arange(start, start + len(w.rows))
            sums.sum_weighted(rotated, factors, at, w.cols, which, w.weights, prime, place, first, to, out)
            start += len(w.rows)

    def _take_giant_steps(self, by_row: dict[int, list[tuple[int, Floats]]], *, extended: bool) -> list[Floats]:
        """The results: the sums of each row, rotated and added up."""
        primes = self.ring.moduli[self.ring.rows(self.level, extended=extended)]
        works = [(row, giant, part) for row, parts in by_row.items() for giant, part in parts]
        totals: dict[int, Floats] = {}
        lock = threading.Lock()

        def work(row: int, giant: int, part: Floats) -> None:
            turned = self._giant_step(giant, part, extended=extended)
            with lock:
                total = totals.setdefault(row, turned)
                if total is not turned:
                    operations.add(total, turned, primes, out=total)

        spread(lambda each: work(*each), works)
        empty = np.zeros((2, primes.size, self.ring.ring_dim))
        results = [totals.get(row, empty) for row in range(self.plan.outputs)]
        return results if len(works) == len(by_row) else [_own(result) for result in results]

    def _giant_step(self, giant: int, part: Floats, *, extended: bool) -> Floats:
        """The sum (2, rows, N), rotated; extended if it is to be."""
        if giant == 0:
            return part if self.plan.extended == extended else operations.extend(self.ring, part, self.level)
        second = operations.mod_down(self.ring, part[1:], self.level)[0] if self.plan.extended else part[1]
        key, places = self.keys[giant], self.ring.rotation(giant)
        return operations.switch(self.ring, second, key, self.level, places, part, 1)


def _own(result: Floats) -> Floats:
    """A result that does not hold the memory of other sums."""
    base = result.base
    return result.copy() if base is not None and base.nbytes > result.nbytes else result


_local = threading.local()


def _scratch(shape: tuple[int, ...]) -> Floats:
    """Memory of this thread, given out again at the next call: touching new memory takes as long as the work."""
    memory, size = getattr(_local, "memory", None), math.prod(shape)
    if memory is None or memory.size < size:
        memory = _local.memory = np.empty(size)
    return np.asarray(memory[:size].reshape(shape))


def count_work(plan: Plan, plaintexts: Plaintexts, level: int, ring: Ring, counts: Counts) -> None:
    """Add what a plan does to the counts."""
    limbs, special = level + 1, len(ring.special)
    digits = len(ring.digits(level))
    one = digits * (limbs + special)
    turned = {col for col, baby in plan.babies if baby}
    hoisted = sum(baby != 0 for _, baby in plan.babies)
    giants = sum(giant != 0 for _, giant in plan.places)
    downs = (giants if plan.extended else 0) + (0 if plan.extended else 2 * hoisted)
    counts.hoisted_rotations += hoisted
    counts.rotations += giants
    counts.decompositions += len(turned) + giants
    counts.mod_downs += downs
    if plaintexts.constants is None:
        counts.plain_products += plan.products
        counts.constant_products += sum(np.count_nonzero(w.weights) for w in plan.weighted)
    else:
        counts.constant_products += plan.products
    counts.transforms += (len(turned) + giants) * one + downs * (limbs + special)
    if plaintexts.coefficients is not None:
        counts.transforms += plan.plaintext_uses * plaintexts.rows.size
