"""Minimax polynomials by Remez's exchange, with a weight and with even or odd structure kept.

The second algorithm of Remez (1934; Cheney, *Introduction to Approximation Theory*, chapter 3): on n + 2 points solve
for the polynomial whose weighted error has equal size and alternating signs there, move the points to the extrema of
the error, repeat until the largest error is the levelled one. What comes out is only a good polynomial: its error is
certified apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from enclair.compiler.approx.series import Real, Reals, Series

MOST_EXCHANGES = 40
CONVERGED = 1.002
"""Largest error over the levelled one at which the exchange ends."""
DENSITY, FEWEST_POINTS = 10, 400
"""Points of the grid on each part of the interval: per degree, and at least."""


class Parity(Enum):
    """Which Chebyshev polynomials occur."""

    ALL = "all"
    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True, slots=True)
class _Problem:
    """On [-1, 1] or, of even and odd functions, on part of [0, 1]: a grid, and function and weight there."""

    grid: Reals
    values: Reals
    weights: Reals
    powers: NDArray[np.int64]

    @property
    def structured(self) -> bool:
        """Whether even or odd powers alone occur: the points are then dense at the right end only."""
        return len(self.powers) > 1 and int(self.powers[1] - self.powers[0]) == 2


def minimax(
    function: Real,
    degree: int,
    low: float = -1.0,
    high: float = 1.0,
    *,
    parity: Parity = Parity.ALL,
    joints: tuple[float, ...] = (),
    weight: Real | None = None,
    inner: float = 0.0,
) -> Series:
    """The polynomial of the degree with the smallest largest weighted error on [low, high].

    Args:
        function: continuous; smooth between the ``joints``.
        degree: at most this; one less when the parity has it so.
        low, high: symmetric about 0 when the parity is even or odd.
        parity: of the function, to be kept.
        joints: where the function is not smooth.
        weight: what errors are multiplied by; positive.
        inner: with a parity, |x| <= inner is left out.
    """
    half, middle = (high - low) / 2, (low + high) / 2
    ends = [-1.0 if parity is Parity.ALL else inner / half, 1.0]
    cuts = [t for joint in joints if ends[0] + 1e-12 < (t := (joint - middle) / half) < ends[1] - 1e-12]
    grid = _grid([ends[0], *sorted(cuts), ends[1]], degree)
    x = middle + half * grid
    powers = _powers(degree, parity)
    weights = np.ones_like(grid) if weight is None else weight(x)
    solved = _exchange(_Problem(grid, function(x), weights, powers))
    coefficients = np.zeros(degree + 1)
    coefficients[powers] = solved
    return Series(tuple(coefficients.tolist()), low, high)


def _powers(degree: int, parity: Parity) -> NDArray[np.int64]:
    first, step = {Parity.ALL: (0, 1), Parity.EVEN: (0, 2), Parity.ODD: (1, 2)}[parity]
    return np.arange(first, degree + 1, step)


def _grid(ends: list[float], degree: int) -> Reals:
    """Ascending points, dense at the ends of every part."""
    count = max(DENSITY * (degree + 2), FEWEST_POINTS)
    share = (1 - np.cos(np.linspace(0, np.pi, count))) / 2
    parts = [low + (high - low) * share for low, high in pairwise(ends)]
    return np.asarray(np.unique(np.concatenate(parts)), dtype=np.float64)


def _exchange(problem: _Problem) -> Reals:
    """The coefficients of the powers."""
    chosen = _start(problem)
    best: Reals = np.zeros(len(problem.powers))
    smallest = np.inf
    for _ in range(MOST_EXCHANGES):
        solved, level = _levelled(problem, chosen)
        errors = problem.weights * (_value(problem, solved) - problem.values)
        largest = float(np.abs(errors).max())
        if largest < smallest:
            best, smallest = solved, largest
        if largest <= CONVERGED * level or largest < 1e-15:
            break
        if (moved := _extrema(errors, len(chosen))) is None:
            break
        chosen = moved
    return best


def _start(problem: _Problem) -> NDArray[np.int64]:
    """As many points as needed, spread as the grid is."""
    count = len(problem.powers) + 1
    span = (problem.grid[0], problem.grid[-1])
    wanted = (span[0] + span[1]) / 2 - (span[1] - span[0]) / 2 * np.cos(np.linspace(0, np.pi, count))
    if problem.structured:
        wanted = span[0] + (span[1] - span[0]) * np.sin(np.linspace(0, np.pi / 2, count))
    nearest = np.searchsorted(problem.grid, wanted).clip(0, len(problem.grid) - 1)
    return _distinct(nearest, len(problem.grid))


def _distinct(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Ascending and all different."""
    for position in range(1, len(indices)):
        indices[position] = max(indices[position], indices[position - 1] + 1)
    excess = indices - (count - len(indices) + np.arange(len(indices)))
    return np.asarray(indices - np.maximum(excess, 0))


def _levelled(problem: _Problem, chosen: NDArray[np.int64]) -> tuple[Reals, float]:
    """Coefficients with equal, alternating weighted errors at the chosen points, and the size of these."""
    basis = chebyshev.chebvander(problem.grid[chosen], int(problem.powers[-1]))[:, problem.powers]
    signs = (1.0 - 2.0 * (np.arange(len(chosen)) % 2)) / problem.weights[chosen]
    system = np.column_stack([basis, signs])
    try:
        solved = np.linalg.solve(system, problem.values[chosen])
    except np.linalg.LinAlgError:
        solved = np.linalg.lstsq(system, problem.values[chosen], rcond=None)[0]
    return np.asarray(solved[:-1], dtype=np.float64), abs(float(solved[-1]))


def _value(problem: _Problem, solved: Reals) -> Reals:
    full = np.zeros(int(problem.powers[-1]) + 1)
    full[problem.powers] = solved
    return np.asarray(chebyshev.chebval(problem.grid, full))


def _extrema(errors: Reals, count: int) -> NDArray[np.int64] | None:
    """The largest error of each run of one sign; of too many runs the smallest at an end go. None when too few."""
    signs = np.where(errors >= 0, 1, -1)
    starts = np.concatenate([[0], np.nonzero(np.diff(signs))[0] + 1, [len(errors)]])
    tops = [int(a + np.abs(errors[a:b]).argmax()) for a, b in pairwise(starts)]
    if len(tops) < count:
        return None
    sizes = np.abs(errors)
    while len(tops) > count:
        if len(tops) == count + 1:
            tops = tops[1:] if sizes[tops[0]] < sizes[tops[-1]] else tops[:-1]
            continue
        weakest = min(range(len(tops) - 1), key=lambda at: max(sizes[tops[at]], sizes[tops[at + 1]]))
        inner_pair = [top for at, top in enumerate(tops) if at not in (weakest, weakest + 1)]
        tops = inner_pair
    return np.array(tops)
