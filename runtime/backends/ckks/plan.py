"""How a linear transform is evaluated: which rotations of its inputs, which sums of products, which giant steps.

A rotation is g + b, b the baby step. Every result is

    out[row] = sum over g of roll(S[row, g], -g),
    S[row, g] = sum over (col, b) of plaintext[row, g, col, b] * roll(x[col], -b),

where the plaintext is the sum of weight * roll(vector, g) over the terms of that place. (Halevi and Shoup, CRYPTO 2018;
the sums stay modulo Q and the special primes as in Bossuat et al., EUROCRYPT 2021, "double hoisting".)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from enclair.compiler.ir.blends import Blend, Place, Tables, blends_by_place, column_blends
from enclair.compiler.ir.weight_columns import MOST_WEIGHT, WeightMatrix, largest_tile, weight_matrices
from enclair.runtime.errors import RuntimeFailure
from enclair.runtime.limbs.compiled import Floats, Integers

PRODUCT_COST = 0.25
"""Of a plaintext with both rows of a ciphertext modulo one prime, in transforms."""

Blends: TypeAlias = "tuple[Blend, ...]"


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
        weight_scale: of these integers, the plaintexts have the rest of the scale; 1 for none.
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
    def plaintext_uses(self) -> int:
        """How many different plaintexts each sum has, added up."""
        which = [s.which for s in self.sums] + [w.which for w in self.weighted]
        return sum(np.unique(one).size for one in which)

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
        constant: vectors of one number for all slots.
    """

    slots: int
    limbs: int
    special: int
    constant: bool


def make_plan(
    tables: Tables,
    weights: Floats,
    outputs: int,
    baby_steps: int,
    sizes: Sizes,
    weight_scale: float | None = None,
) -> Plan:
    """The plan of a ``LinearTransform``.

    Args:
        tables: rows, cols, rotations, which.
        weights: (terms,); terms of weight 0 are left out.
        outputs: number of results.
        baby_steps: as the op says.
        sizes: of ciphertexts.
        weight_scale: as the op says.

    Raises:
        RuntimeFailure: sums of weights with this scale would not be exact.
    """
    places = blends_by_place(tables, weights, baby_steps, sizes.slots, constant=sizes.constant)
    babies = tuple(sorted({(col, baby) for _, _, col, baby in places}))
    number = {place: i for i, place in enumerate(babies)}
    sums: tuple[Sum, ...] = ()
    weighted: tuple[WeightedSums, ...] = ()
    if weight_scale is None:
        sums, blends = _sums(places, number)
    else:
        matrices = weight_matrices(tables, weights, baby_steps, sizes.slots)
        weighted, blends = _weighted_sums(matrices, number, weight_scale)
    plan = Plan(babies, blends, sums, weighted, weight_scale or 1.0, outputs, extended=True)
    return replace(plan, extended=_is_extended_better(plan, sizes.limbs, sizes.special))


def _sums(places: dict[Place, Blend], number: dict[tuple[int, int], int]) -> tuple[tuple[Sum, ...], Blends]:
    """Each place is a plaintext; equal ones are made once."""
    blends: dict[Blend, int] = {}
    grouped: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (row, giant, col, baby), blend in places.items():
        which = blends.setdefault(blend, len(blends))
        grouped.setdefault((row, giant), []).append((number[col, baby], which))
    sums = tuple(
        Sum(row, giant, *np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy())
        for (row, giant), pairs in sorted(grouped.items())
    )
    return sums, tuple(blends)


def _weighted_sums(
    matrices: list[WeightMatrix], number: dict[tuple[int, int], int], scale: float
) -> tuple[tuple[WeightedSums, ...], Blends]:
    """Weights and vectors apart."""
    blends: dict[Blend, int] = {}
    made = []
    for m in matrices:
        babies = zip(m.cols.tolist(), m.babies.tolist(), strict=True)
        cols = np.array([number[place] for place in babies], dtype=np.int64)
        which = np.array([blends.setdefault(blend, len(blends)) for blend in column_blends(m)], dtype=np.int64)
        made.append(WeightedSums(tuple(m.rows.tolist()), m.giant, cols, which, _integers(m, scale)))
    return tuple(made), tuple(blends)


def _integers(matrix: WeightMatrix, scale: float) -> Floats:
    """The weights at a scale, with rows of zeros up to a multiple of four.

    Raises:
        RuntimeFailure: their sums would not be exact.
    """
    out = np.zeros((matrix.filled_rows, matrix.weights.shape[1]))
    out[: len(matrix.weights)] = np.rint(matrix.weights * scale)
    if not (largest := largest_tile(out)) < MOST_WEIGHT:
        raise RuntimeFailure(
            f"a linear transform with weight_scale {scale} needs weights that add up to less than {MOST_WEIGHT}, got"
            f" {largest:.0f} at giant step {matrix.giant}: compile again"
        )
    return out


def _is_extended_better(plan: Plan, limbs: int, special: int) -> bool:
    """Whether sums modulo Q and the special primes cost less than a ``mod_down`` of each rotated input.

    Costs are in transforms modulo one prime; a ``mod_down`` of a polynomial is one for each row.
    """
    one = limbs + special
    rotated = sum(baby != 0 for _, baby in plan.babies)
    giants = sum(giant != 0 for _, giant in plan.places)
    after = giants or 2 * len({row for row, _ in plan.places})
    return rotated > 0 and after * one + plan.products * special * PRODUCT_COST <= 2 * rotated * one
