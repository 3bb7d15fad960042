"""How to evaluate a polynomial on ciphertexts: in the fewest levels, then with the fewest key switches.

Paterson and Stockmeyer's scheme (SIAM Journal on Computing 2, 1973) on the Chebyshev basis, as in Chen, Chillotti and
Song (eprint 2018/1043), with the splitting of Bossuat, Mouchet, Troncoso-Pastoriza and Hubaux (eprint 2020/1203) that
needs ceil(log2(d + 1)) levels for degree d, coefficients included:

    p = q T_n + r,  deg q = d - n,  deg r < n,  by  T_n T_i = (T_(n+i) + T_(n-i)) / 2.

Every sum of products is relinearised and rescaled once, so ``r`` costs no key switch of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Coefficients: TypeAlias = NDArray[np.float64]

NEGLIGIBLE = 1e-16
"""Coefficients below this share of the largest are rounding of the fit, and count as zero."""
MOST_BABY_STEPS = 32
PRODUCT, SCALED, RESCALE, RELINEARISE = 1.0, 0.4, 2.0, 10.0
"""Costs, in products of two ciphertexts without relinearisation."""


@dataclass(frozen=True, slots=True)
class Sum:
    """constant + sum of c T_n over ``scaled`` (n, c) + sum of q T_n over ``products`` (q, n)."""

    constant: float
    scaled: tuple[tuple[int, float], ...] = ()
    products: tuple[tuple[Sum, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Power:
    """T_n = 2 T_a T_b - T_(a - b), with a + b = n and a >= b."""

    n: int
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class PolynomialPlan:
    """``doublings`` times T_2 of the argument gives y; then the T_n(y) of ``powers``, in order; then the sum."""

    doublings: int
    powers: tuple[Power, ...]
    sum: Sum


def depth_of(degree: int) -> int:
    """ceil(log2(degree + 1)): the levels that a polynomial of this degree takes, its coefficients included."""
    return degree.bit_length()


def plan_polynomial(coefficients: Sequence[float] | Coefficients) -> PolynomialPlan:
    """The cheapest plan of the fewest levels for Chebyshev coefficients on [-1, 1]."""
    p = significant(coefficients)
    doublings = 0
    while len(p) > 3 and not p[1::2].any():
        p, doublings = p[::2], doublings + 1
    plans = [plan for choice in _choices(p) if (plan := _plan(p, doublings, *choice)) is not None]
    return min(plans, key=cost_of)


def significant(coefficients: Sequence[float] | Coefficients) -> Coefficients:
    """The coefficients with negligible ones set to zero and leading zeros left out; at least one."""
    p = np.array(coefficients, dtype=np.float64)
    p[np.abs(p) <= NEGLIGIBLE * np.abs(p).max()] = 0.0
    return p[: int(np.flatnonzero(p).max(initial=0)) + 1]


def cost_of(plan: PolynomialPlan) -> float:
    """The cost of a plan, in products of two ciphertexts without relinearisation."""
    squares = plan.doublings + len(plan.powers)
    return (PRODUCT + RELINEARISE + RESCALE) * squares + _cost(plan.sum)


def _cost(part: Sum) -> float:
    products = sum(PRODUCT + _cost(quotient) for quotient, _ in part.products)
    return products + SCALED * len(part.scaled) + RESCALE + RELINEARISE * bool(part.products)


def key_switches(plan: PolynomialPlan) -> int:
    """How often the plan relinearises."""
    return plan.doublings + len(plan.powers) + _relinearisations(plan.sum)


def _relinearisations(part: Sum) -> int:
    return bool(part.products) + sum(_relinearisations(quotient) for quotient, _ in part.products)


def _choices(p: Coefficients) -> Iterator[tuple[int, bool, bool]]:
    """Numbers of baby steps; whether every multiple is a giant step or only its doublings; whether all is odd."""
    parities = (False, True) if len(p) > 1 and not p[::2].any() else (False,)
    for baby_steps in range(2, max(2, min(len(p), MOST_BABY_STEPS)) + 1):
        yield from ((baby_steps, every_multiple, odd) for every_multiple in (True, False) for odd in parities)


def _plan(p: Coefficients, doublings: int, baby_steps: int, every_multiple: bool, odd: bool) -> PolynomialPlan | None:
    degree = len(p) - 1
    search = _Search(baby_steps, _giants(degree, baby_steps, every_multiple), odd)
    if search.best(degree, depth_of(degree))[0] == inf:
        return None
    sum_ = search.split(p, depth_of(degree))
    return PolynomialPlan(doublings, _powers(_needed(sum_)), sum_)


def _giants(degree: int, baby_steps: int, every_multiple: bool) -> tuple[int, ...]:
    multiples = range(baby_steps, degree + 1, baby_steps) if every_multiple else _doublings(baby_steps, degree)
    return tuple(sorted({*multiples, *_doublings(2, degree)}))


def _doublings(start: int, most: int) -> Iterator[int]:
    while start <= most:
        yield start
        start *= 2


class _Search:
    """The cheapest splits for given baby and giant steps; T_n that are needed are not counted."""

    def __init__(self, baby_steps: int, giants: tuple[int, ...], odd: bool) -> None:
        self.baby_steps, self.odd = baby_steps, odd
        self.giants = tuple(n for n in giants if not (odd and n % 2))
        self.best = lru_cache(maxsize=None)(self._best)

    def _best(self, degree: int, depth: int) -> tuple[float, int]:
        """The cost of a polynomial within a depth, and the T_n to split by; 0 for a sum of multiples of T_i."""
        if degree < 1:
            return 0.0, 0
        choices = [(inf, 0)]
        if degree < max(self.baby_steps, 2) and degree <= 1 << max(depth - 1, 0) and depth > 0:
            choices.append((SCALED * self._terms(degree), 0))
        fitting = (n for n in self.giants if n <= degree <= 2 * n and (n - 1).bit_length() < depth)
        return min([*choices, *((self._split_cost(degree, depth, n), n) for n in fitting)])

    def _split_cost(self, degree: int, depth: int, n: int) -> float:
        rest, _ = self.best(n - 1, depth)
        if degree == n:
            return rest + SCALED
        cost, split = self.best(degree - n, depth - 1)
        return rest + cost + PRODUCT + RESCALE + (RELINEARISE if split and split < degree - n else 0.0)

    def _terms(self, degree: int) -> int:
        return (degree + 1) // 2 if self.odd else degree

    def split(self, p: Coefficients, depth: int) -> Sum:
        """The sum for a polynomial within a depth."""
        degree = len(significant(p)) - 1
        p = p[: degree + 1]
        _, n = self.best(degree, depth)
        if n == 0:
            return Sum(float(p[0]), tuple((i, float(p[i])) for i in range(1, len(p)) if p[i]))
        quotient, rest = divide(p, n)
        after = self.split(rest, depth)
        if len(quotient) == 1:
            return Sum(after.constant, (*after.scaled, (n, float(quotient[0]))), after.products)
        product = (self.split(quotient, depth - 1), n)
        return Sum(after.constant, after.scaled, (*after.products, product))


def divide(p: Coefficients, n: int) -> tuple[Coefficients, Coefficients]:
    """Quotient and remainder on the Chebyshev basis: p = q T_n + r, for n <= deg p <= 2 n."""
    quotient = 2 * p[n:]
    quotient[0] /= 2
    rest = p[:n].copy()
    high = np.arange(1, len(quotient))
    rest[n - high[high <= n]] -= p[n + high[high <= n]]
    return quotient, rest


def _needed(sum_: Sum) -> set[int]:
    needed = {n for n, _ in sum_.scaled}
    for quotient, n in sum_.products:
        needed |= {n} | _needed(quotient)
    return needed


def _powers(needed: set[int]) -> tuple[Power, ...]:
    """How to make each T_n that is needed, and what else that takes, in ascending order."""
    made: dict[int, Power] = {}
    for n in sorted(needed):
        _make(n, made)
    return tuple(made[n] for n in sorted(made))


def _make(n: int, made: dict[int, Power]) -> None:
    if n < 2 or n in made:
        return
    half = 1 << ((n - 1).bit_length() - 1)
    pairs = [(n - b, b) for b in range(n - half, n // 2 + 1) if b]
    power = Power(n, *min(pairs, key=lambda pair: (_missing(pair, made), -pair[1])))
    for i in (power.b, power.a - power.b, power.a):
        _make(i, made)
    made[n] = power


def _missing(pair: tuple[int, int], made: dict[int, Power]) -> int:
    a, b = pair
    return sum(i > 1 and i not in made for i in {a, b, a - b})
