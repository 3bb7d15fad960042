"""How a linear transform is evaluated: which rotations of its inputs, which sums of products, which giant steps.

A rotation is g + b, b the baby step. Every result is

    out[row] = sum over g of roll(S[row, g], -g),
    S[row, g] = sum over (col, b) of plaintext[row, g, col, b] * roll(x[col], -b),

where the plaintext is the sum of weight * roll(vector, g) over the terms of that place. (Halevi and Shoup, CRYPTO 2018;
the sums stay modulo Q and the special primes as in Bossuat et al., EUROCRYPT 2021, "double hoisting".)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from enclair.runtime.limbs.compiled import Floats, Integers

PRODUCT_COST = 0.25
"""Of a plaintext with both rows of a ciphertext modulo one prime, in transforms."""


@dataclass(frozen=True)
class Blend:
    """A plaintext: the sum of weights * vectors, all turned by ``shift``."""

    shift: int
    terms: tuple[tuple[int, float], ...]

    def vector(self, vectors: Floats) -> Floats:
        """The slots, one or all."""
        which, weights = [which for which, _ in self.terms], np.array([weight for _, weight in self.terms])
        return np.asarray(np.roll(weights @ vectors[which], self.shift))


@dataclass(frozen=True, eq=False)
class Sum:
    """S[row, giant] = sum_t plaintexts[which[t]] * rotated[cols[t]]."""

    row: int
    giant: int
    cols: Integers
    which: Integers


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be done.

    Args:
        babies: inputs and the rotations of them that are needed, in the order that sums count them.
        blends: the distinct plaintexts.
        sums: ordered by row.
        outputs: number of results.
        extended: whether sums are modulo Q and the special primes.
    """

    babies: tuple[tuple[int, int], ...]
    blends: tuple[Blend, ...]
    sums: tuple[Sum, ...]
    outputs: int
    extended: bool

    @property
    def rotations(self) -> set[int]:
        """Whose keys are needed."""
        return {baby for _, baby in self.babies} | {s.giant for s in self.sums}


def make_plan(
    tables: tuple[Integers, Integers, Integers, Integers],
    weights: Floats,
    outputs: int,
    baby_steps: int,
    slots: int,
    limbs: int,
    special: int,
) -> Plan:
    """The plan of a ``LinearTransform``.

    Args:
        tables: rows, cols, rotations, which.
        weights: (terms,); terms of weight 0 are left out.
        outputs: number of results.
        baby_steps: as the op says.
        slots: of a ciphertext.
        limbs: primes of Q at the inputs' level.
        special: special primes.
    """
    places = _places(tables, weights, baby_steps, slots)
    babies = sorted({(col, baby) for _, _, col, baby in places})
    number = {place: i for i, place in enumerate(babies)}
    blends: dict[Blend, int] = {}
    grouped: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (row, giant, col, baby), terms in places.items():
        blend = blends.setdefault(Blend(giant, tuple(terms)), len(blends))
        grouped.setdefault((row, giant), []).append((number[col, baby], blend))
    sums = tuple(
        Sum(row, giant, *np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy())
        for (row, giant), pairs in sorted(grouped.items())
    )
    plan = Plan(tuple(babies), tuple(blends), sums, outputs, extended=True)
    return Plan(*_fields(plan), extended=_is_extended_better(plan, limbs, special))


def _fields(plan: Plan) -> tuple[tuple[tuple[int, int], ...], tuple[Blend, ...], tuple[Sum, ...], int]:
    return plan.babies, plan.blends, plan.sums, plan.outputs


def _places(
    tables: tuple[Integers, Integers, Integers, Integers], weights: Floats, baby_steps: int, slots: int
) -> dict[tuple[int, int, int, int], list[tuple[int, float]]]:
    """The (vector, weight) pairs of each (row, giant step, col, baby step)."""
    places: dict[tuple[int, int, int, int], list[tuple[int, float]]] = {}
    for row, col, rotation, which, weight in _terms(tables, weights):
        steps = rotation % slots
        baby = steps % baby_steps if baby_steps else steps
        places.setdefault((row, steps - baby, col, baby), []).append((which, weight))
    return places


def _terms(
    tables: tuple[Integers, Integers, Integers, Integers], weights: Floats
) -> Iterator[tuple[int, int, int, int, float]]:
    kept = np.flatnonzero(weights)
    return zip(*(table[kept].tolist() for table in tables), weights[kept].tolist(), strict=True)


def _is_extended_better(plan: Plan, limbs: int, special: int) -> bool:
    """Whether sums modulo Q and the special primes cost less than a ``mod_down`` of each rotated input.

    Costs are in transforms modulo one prime; a ``mod_down`` of a polynomial is one for each row.
    """
    one = limbs + special
    rotated = sum(baby != 0 for _, baby in plan.babies)
    giants = sum(s.giant != 0 for s in plan.sums)
    after = giants or 2 * len({s.row for s in plan.sums})
    products = sum(s.cols.size for s in plan.sums)
    return rotated > 0 and after * one + products * special * PRODUCT_COST <= 2 * rotated * one
