"""Linear transforms on ciphertexts: hoisted rotations, sums of products with plaintexts, giant steps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from enclair.runtime.backends.ckks.ciphers import Counts
from enclair.runtime.backends.ckks.key_ring import KeyRing
from enclair.runtime.backends.ckks.plan import Blend, Plan, Sum
from enclair.runtime.errors import ValueRangeError
from enclair.runtime.limbs.compiled import Floats, Integers
from enclair.runtime.limbs.workers import cores, parallel_map
from enclair.runtime.rns import elementwise, encoding, operations
from enclair.runtime.rns.elementwise import Kept
from enclair.runtime.rns.ring import Ring

AT_ONCE = 64
"""Plaintexts that are encoded together when they are not kept."""


@dataclass(frozen=True, eq=False)
class Plaintexts:
    """The plaintexts of a plan, encoded when they are asked for, or kept.

    Args:
        ring: of the ciphertexts.
        rows: that they are encoded for.
        scale: that they are encoded at.
        vectors: (distinct, slots or 1).
        blends: of the vectors.
        kept: (blends, rows, N), or (blends, rows) of constants; None when they would take too much memory.
    """

    ring: Ring
    rows: Integers
    scale: float
    vectors: Floats
    blends: tuple[Blend, ...]
    kept: Kept | None

    @property
    def are_constants(self) -> bool:
        """Whether every one is the same number in all slots."""
        return self.vectors.shape[1] == 1

    def encoded(self, which: Integers) -> tuple[Kept, Integers]:
        """An array of plaintexts, and where the ones asked for are in it."""
        if self.kept is not None:
            return self.kept, which
        numbers, places = np.unique(which, return_inverse=True)
        return self.encode(numbers), places.astype(np.int64)

    def encode(self, numbers: Integers) -> Kept:
        """(numbers, rows, N) residues, or (numbers, rows) of constants.

        Raises:
            ValueRangeError: a plaintext too large to encode.
        """
        if self.are_constants:
            values = [self.blends[i].vector(self.vectors)[0] * self.scale for i in numbers.tolist()]
            return np.array([self._constant(value) for value in values]).reshape(-1, self.rows.size)
        out = np.empty((numbers.size, self.rows.size, self.ring.ring_dim), dtype=self.ring.kept_as)
        for to, i in zip(out, numbers.tolist(), strict=True):
            to[:] = encode(self.ring, self.blends[i].vector(self.vectors), self.scale, self.rows)
        return out

    def _constant(self, value: float) -> Floats:
        _check_finite(np.array([value]))
        return self.ring.residues(round(value))[self.rows]


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


def prepare(ring: Ring, plan: Plan, vectors: Floats, level: int, scale: float, most_bytes: int) -> Plaintexts:
    """The plaintexts of a plan, kept when they take no more memory than ``most_bytes``."""
    rows = ring.rows(level, extended=plan.extended)
    plain = Plaintexts(ring, rows, scale, vectors, plan.blends, None)
    if not plain.are_constants and 8 * len(plan.blends) * rows.size * ring.ring_dim > most_bytes:
        return plain
    runs = [np.arange(i, min(i + AT_ONCE, len(plan.blends))) for i in range(0, len(plan.blends), AT_ONCE)]
    parts = parallel_map(plain.encode, runs)
    return Plaintexts(
        ring, rows, scale, vectors, plan.blends, np.concatenate([plain.encode(np.empty(0, dtype=np.int64)), *parts])
    )


@dataclass(frozen=True, eq=False)
class Work:
    """One linear transform on ciphertexts x, each (2, level + 1, N).

    Args:
        ring: of the ciphertexts.
        keys: of the client.
        plan: what is to be done.
        plaintexts: of the plan.
        x: ciphertexts.
        level: theirs.
    """

    ring: Ring
    keys: KeyRing
    plan: Plan
    plaintexts: Plaintexts
    x: tuple[Floats, ...]
    level: int

    @property
    def primes(self) -> Floats:
        """(rows,): of the sums."""
        return self.ring.moduli[self.ring.rows(self.level, extended=self.plan.extended)]

    def run(self) -> tuple[tuple[Floats, ...], bool]:
        """The results, and whether they are extended."""
        for steps in self.plan.rotations - {0}:
            self.keys.rotation(steps)
        rotated = self.rotate_inputs()
        extended = self.plan.extended or any(s.giant for s in self.plan.sums)
        rows = {row: list(sums) for row, sums in groupby(self.plan.sums, key=lambda s: s.row)}
        few = len(self.plan.sums) < 2 * cores()
        made = [self.sum_up(rotated, s) for s in self.plan.sums] if few else self._sum_all(rotated)
        by_sum = dict(zip([(s.row, s.giant) for s in self.plan.sums], made, strict=True))

        def finish(row: int) -> Floats:
            if row not in rows:
                return np.zeros((2, self.ring.rows(self.level, extended=extended).size, self.ring.ring_dim))
            return self.gather([(s.giant, by_sum[row, s.giant]) for s in rows[row]], extended=extended)

        return tuple(parallel_map(finish, range(self.plan.outputs))), extended

    def _sum_all(self, rotated: Floats) -> list[Floats]:
        rows = range(self.primes.size)
        return parallel_map(lambda s: self.sum_rows(rotated, s, rows), self.plan.sums)

    def rotate_inputs(self) -> Floats:
        """(babies, 2, rows, N): every rotation of an input that is needed, its digits made once."""
        plan, babies = self.plan, self.plan.babies
        turned = sorted({col for col, baby in babies if baby})
        out = np.empty((len(babies), 2, self.primes.size, self.ring.ring_dim))
        digits = self._decompose(turned)
        sources = np.stack([self.x[col] for col in turned]) if turned else np.empty((0, 2, self.level + 1, 0))
        by_steps = {steps: [i for i, (_, baby) in enumerate(babies) if baby == steps] for _, steps in babies}

        def rotate(work: tuple[int, range]) -> None:
            steps, rows = work
            numbers = np.array([turned.index(babies[i][0]) for i in by_steps[steps]], dtype=np.int64)
            every = numbers.size == len(turned)
            made = digits if every else digits[numbers]
            addends = sources if every else sources[numbers]
            to = np.array(by_steps[steps], dtype=np.int64)
            key, places = self.keys.rotation(steps), self.ring.rotation(steps)
            operations.inner_products(self.ring, made, key, self.level, places, addends, 1, to, out, rows)

        def copy(i: int) -> None:
            if plan.extended:
                operations.extend(self.ring, self.x[babies[i][0]], self.level, out[i])
            else:
                out[i] = self.x[babies[i][0]]

        parallel_map(copy, by_steps.pop(0, []))
        if plan.extended:
            parallel_map(rotate, [(steps, rows) for steps in by_steps for rows in self._row_runs(len(by_steps))])
        else:
            self._rotate_and_bring_down(by_steps, turned, digits, sources, out)
        return out

    def _row_runs(self, works: int) -> list[range]:
        """The rows of an extended element, in as many runs as keep all cores busy."""
        rows = self.ring.rows(self.level, extended=True).size
        runs = cores() if works < 4 * cores() else 1
        size = -(-rows // runs)
        return [range(start, min(start + size, rows)) for start in range(0, rows, size)]

    def _decompose(self, turned: list[int]) -> Floats:
        """The digits (turned, digits, rows, N) of these inputs."""
        digits, rows = len(self.ring.digits(self.level)), self.ring.rows(self.level, extended=True).size
        out = np.empty((len(turned), digits, rows, self.ring.ring_dim))
        parallel_map(
            lambda i: operations.decompose(self.ring, self.x[turned[i]][1], self.level, out[i]), range(len(turned))
        )
        return out

    def _rotate_and_bring_down(
        self, by_steps: dict[int, list[int]], turned: list[int], digits: Floats, sources: Floats, out: Floats
    ) -> None:
        rows = self.ring.rows(self.level, extended=True).size

        def rotate(work: tuple[int, int]) -> None:
            steps, i = work
            number = turned.index(self.plan.babies[i][0])
            wide = np.empty((1, 2, rows, self.ring.ring_dim))
            key, places = self.keys.rotation(steps), self.ring.rotation(steps)
            made, addends = digits[number : number + 1], sources[number : number + 1]
            operations.inner_products(self.ring, made, key, self.level, places, addends, 1, operations.FIRST, wide)
            out[i] = operations.mod_down(self.ring, wide[0], self.level)

        parallel_map(rotate, [(steps, i) for steps, numbers in by_steps.items() for i in numbers])

    def sum_up(self, rotated: Floats, s: Sum) -> Floats:
        """One sum (2, rows, N), by all cores."""
        out = np.empty((2, self.primes.size, self.ring.ring_dim))
        factors, which = self.plaintexts.encoded(s.which)
        parallel_map(
            lambda row: self._add_up(rotated, s, factors, which, range(row, row + 1), out), range(out.shape[1])
        )
        return out

    def sum_rows(self, rotated: Floats, s: Sum, rows: range) -> Floats:
        """One sum (2, rows, N)."""
        out = np.empty((2, self.primes.size, self.ring.ring_dim))
        factors, which = self.plaintexts.encoded(s.which)
        self._add_up(rotated, s, factors, which, rows, out)
        return out

    def _add_up(self, rotated: Floats, s: Sum, factors: Kept, which: Integers, rows: range, out: Floats) -> None:
        args = (s.cols, which, self.primes, rows.start, rows.stop, out)
        if self.plaintexts.are_constants:
            elementwise.sum_multiples(rotated, factors.astype(np.float64, copy=False), *args)
        else:
            elementwise.sum_products(rotated, factors, *args)

    def gather(self, sums: list[tuple[int, Floats]], *, extended: bool) -> Floats:
        """A result: the sums of its giant steps, rotated and added up."""
        primes = self.ring.moduli[self.ring.rows(self.level, extended=extended)]
        total = None
        for giant, part in sums:
            turned = self._giant_step(giant, part, extended=extended)
            total = turned if total is None else operations.add(total, turned, primes)
        assert total is not None  # noqa: S101
        return total

    def _giant_step(self, giant: int, part: Floats, *, extended: bool) -> Floats:
        """The sum (2, rows, N), rotated; extended if it is to be."""
        if giant == 0:
            return part if self.plan.extended == extended else operations.extend(self.ring, part, self.level)
        second = operations.mod_down(self.ring, part[1:], self.level)[0] if self.plan.extended else part[1]
        key, places = self.keys.rotation(giant), self.ring.rotation(giant)
        return operations.switch(self.ring, second, key, self.level, places, part, 1)


def count_work(plan: Plan, level: int, ring: Ring, counts: Counts) -> None:
    """Add what a plan does to the counts."""
    limbs, special = level + 1, len(ring.special)
    digits = len(ring.digits(level))
    one = limbs + digits * (limbs + special) - limbs
    turned = {col for col, baby in plan.babies if baby}
    hoisted = sum(baby != 0 for _, baby in plan.babies)
    giants = sum(s.giant != 0 for s in plan.sums)
    downs = (giants if plan.extended else 0) + (0 if plan.extended else 2 * hoisted)
    counts.hoisted_rotations += hoisted
    counts.rotations += giants
    counts.decompositions += len(turned) + giants
    counts.mod_downs += downs
    counts.transforms += (len(turned) + giants) * one + downs * (limbs + special)
