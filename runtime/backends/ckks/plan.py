"""How a linear transform is evaluated: which rotations of its inputs, which sums of products, which giant steps.

A rotation is g + b, b the baby step. Every result is

    out[row] = sum over g of roll(S[row, g], -g),
    S[row, g] = sum over (col, b) of plaintext[row, g, col, b] * roll(x[col], -b),

where the plaintext is the sum of weight * roll(vector, g) over the terms of that place. (Halevi and Shoup, CRYPTO 2018;
the sums stay modulo Q and the special primes as in Bossuat et al., EUROCRYPT 2021, "double hoisting".)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from enclair.runtime.limbs.compiled import Floats, Integers
from enclair.runtime.rns.sums import MOST_WEIGHT, TILE

PRODUCT_COST = 0.25
"""Of a plaintext with both rows of a ciphertext modulo one prime, in transforms."""

TERM_COST, FACTOR_COST, WEIGHT_COST = 15.0, 20.0, 1.0
"""Of a product with a plaintext that is read from memory; of one that is made once for all results; of one of these
with an integer."""

SMALLEST_DIVIDED = 2.0**36
"""Scales below this are not divided between weights and vectors: too few bits would be left for either."""

Places: TypeAlias = dict[tuple[int, int, int, int], list[tuple[int, float]]]
"""Vectors and weights by row, giant step, input and baby step."""

Blends: TypeAlias = "tuple[Blend, ...]"


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
class WeightedSums:
    """S[rows[o], giant] = sum_t weights[o, t] plaintexts[which[t]] * rotated[cols[t]], weights integers.

    ``weights`` is filled up with zeros to a multiple of four results.
    """

    rows: tuple[int, ...]
    giant: int
    cols: Integers
    which: Integers
    weights: Floats


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be done.

    Args:
        babies: inputs and the rotations of them that are needed, in the order that sums count them.
        blends: the distinct plaintexts.
        sums: of plaintexts that hold the weights; or none, and
        weighted: sums of products with plaintexts times integers.
        weight_scale: of these integers; the plaintexts have the rest of the scale.
        outputs: number of results.
        extended: whether sums are modulo Q and the special primes.
    """

    babies: tuple[tuple[int, int], ...]
    blends: tuple[Blend, ...]
    sums: tuple[Sum, ...]
    weighted: tuple[WeightedSums, ...]
    weight_scale: float
    outputs: int
    extended: bool

    @property
    def places(self) -> list[tuple[int, int]]:
        """Row and giant step of every sum."""
        single = [(s.row, s.giant) for s in self.sums]
        return single + [(row, s.giant) for s in self.weighted for row in s.rows]

    @property
    def rotations(self) -> set[int]:
        """Whose keys are needed."""
        return {baby for _, baby in self.babies} | {giant for _, giant in self.places}

    @property
    def products(self) -> int:
        """Of a rotated input and a plaintext."""
        return sum(s.cols.size for s in self.sums) + sum(w.cols.size for w in self.weighted)


@dataclass(frozen=True)
class Sizes:
    """What decides between ways.

    Args:
        slots: of a ciphertext.
        limbs: primes of Q at the inputs' level.
        special: special primes.
        plain_scale: of weights times vectors.
        constant: vectors of one number for all slots.
        divisible: the scale may be divided between weights and vectors.
    """

    slots: int
    limbs: int
    special: int
    plain_scale: float
    constant: bool
    divisible: bool


def make_plan(
    tables: tuple[Integers, Integers, Integers, Integers],
    weights: Floats,
    outputs: int,
    baby_steps: int,
    sizes: Sizes,
) -> Plan:
    """The plan of a ``LinearTransform``.

    Args:
        tables: rows, cols, rotations, which.
        weights: (terms,); terms of weight 0 are left out.
        outputs: number of results.
        baby_steps: as the op says.
        sizes: of ciphertexts and scales.
    """
    places = _places(tables, weights, baby_steps, sizes.slots)
    babies = tuple(sorted({(col, baby) for _, _, col, baby in places}))
    number = {place: i for i, place in enumerate(babies)}
    weighted, blends, scale = _weighted_sums(places, number, sizes)
    sums: tuple[Sum, ...] = ()
    if not weighted:
        sums, blends = _sums(places, number, constant=sizes.constant)
    plan = Plan(babies, blends, sums, weighted, scale, outputs, extended=True)
    return replace(plan, extended=_is_extended_better(plan, sizes.limbs, sizes.special))


def _sums(places: Places, number: dict[tuple[int, int], int], *, constant: bool) -> tuple[tuple[Sum, ...], Blends]:
    """Each place is a plaintext; equal ones are made once."""
    blends: dict[Blend, int] = {}
    grouped: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (row, giant, col, baby), terms in places.items():
        blend = blends.setdefault(Blend(0 if constant else giant, tuple(terms)), len(blends))
        grouped.setdefault((row, giant), []).append((number[col, baby], blend))
    sums = tuple(
        Sum(row, giant, *np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy())
        for (row, giant), pairs in sorted(grouped.items())
    )
    return sums, tuple(blends)


def _weighted_sums(
    places: Places, number: dict[tuple[int, int], int], sizes: Sizes
) -> tuple[tuple[WeightedSums, ...], Blends, float]:
    """Weights and vectors apart: none where the scale may not be divided between them, or where it costs more."""
    blends: dict[Blend, int] = {}
    by_giant: dict[int, dict[tuple[int, int], dict[int, float]]] = {}
    for (row, giant, col, baby), terms in places.items():
        for which, weight in terms:
            blend = blends.setdefault(Blend(giant, ((which, 1.0),)), len(blends))
            column = by_giant.setdefault(giant, {}).setdefault((number[col, baby], blend), {})
            column[row] = column.get(row, 0.0) + weight
    matrices = {giant: _matrix(columns) for giant, columns in sorted(by_giant.items())}
    cost = sum(WEIGHT_COST * matrix.size + FACTOR_COST * matrix.shape[1] for _, matrix in matrices.values())
    allowed = sizes.divisible and not sizes.constant and sizes.plain_scale >= SMALLEST_DIVIDED
    if not allowed or cost >= TERM_COST * len(places):
        return (), (), 1.0
    scale = min(weight_scale(m, sizes.plain_scale, 2 * sizes.slots) for _, m in matrices.values())
    made = []
    for giant, (rows, matrix) in matrices.items():
        cols, which = np.array(list(by_giant[giant]), dtype=np.int64).T.copy()
        made.append(WeightedSums(rows, giant, cols, which, _filled(matrix, scale)))
    return tuple(made), tuple(blends), scale


def _matrix(columns: dict[tuple[int, int], dict[int, float]]) -> tuple[tuple[int, ...], Floats]:
    """The rows, and their weights (rows, columns)."""
    rows = tuple(sorted({row for column in columns.values() for row in column}))
    place = {row: i for i, row in enumerate(rows)}
    out = np.zeros((len(rows), len(columns)))
    for c, column in enumerate(columns.values()):
        for row, weight in column.items():
            out[place[row], c] = weight
    return rows, out


def weight_scale(weights: Floats, plain_scale: float, ring_dim: int) -> float:
    """How much of a scale the weights (rows, columns) get: a power of two.

    Rounding a weight to 1 / s is an error of up to 1 / (2 s) of a slot, rounding the coefficients of a vector at the
    scale that is left, t, one of about sqrt(N / 12) / t times the weight: with s = sqrt(plain_scale / sqrt(N) / w) for
    the largest weight w they are about equal. Sums must stay exact besides.
    """
    magnitudes = np.abs(weights)
    largest = float(magnitudes.max(initial=0.0)) or 1.0
    tiles = [magnitudes[:, i : i + TILE].sum(axis=1).max(initial=0.0) for i in range(0, magnitudes.shape[1], TILE)]
    balanced = np.sqrt(plain_scale / np.sqrt(ring_dim) / largest)
    exact = (MOST_WEIGHT / 2) / (float(max(tiles, default=0.0)) or 1.0)
    return float(2.0 ** np.floor(np.log2(min(balanced, exact))))


def _filled(weights: Floats, scale: float) -> Floats:
    """Integers, with rows of zeros up to a multiple of four."""
    out = np.zeros((-(-len(weights) // 4) * 4, weights.shape[1]))
    out[: len(weights)] = np.rint(weights * scale)
    return out


def _places(
    tables: tuple[Integers, Integers, Integers, Integers], weights: Floats, baby_steps: int, slots: int
) -> Places:
    """The (vector, weight) pairs of each (row, giant step, col, baby step)."""
    places: Places = {}
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
    giants = sum(giant != 0 for _, giant in plan.places)
    after = giants or 2 * len({row for row, _ in plan.places})
    return rotated > 0 and after * one + plan.products * special * PRODUCT_COST <= 2 * rotated * one
