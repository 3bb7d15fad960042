"""The sign function by composed minimax polynomials (Lee, Lee, No and Kim, 2021; degrees found by own search).

p_1 maps [alpha, 1] into [1 - tau_1, 1 + tau_1], p_2 that interval into a smaller one around 1, and so on; all are odd,
so that [-1, -alpha] goes to -1 alike. A composition of degrees d_1, ..., d_k takes sum ceil(log2(d_i + 1)) levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from enclair.compiler.approx.certificates import bounded
from enclair.compiler.approx.remez import Parity, minimax
from enclair.compiler.approx.series import Real, Reals, Series

DEGREES = (3, 7, 15, 31)
"""Of the stages: as high as their levels allow."""
DENSE = 128
"""Points per degree at which a stage's error is bounded: a first stage leaves little of 1 - tau."""


@dataclass(frozen=True, slots=True)
class Sign:
    """sign(x) for alpha <= |x| <= 1, within ``tau``: the stages are applied from the first to the last.

    All stages but the last have values in [-1, 1], and all take [-1, 1].
    """

    stages: tuple[Series, ...]
    alpha: float
    tau: float

    @property
    def degrees(self) -> tuple[int, ...]:
        """Of the stages."""
        return tuple(stage.degree for stage in self.stages)

    @property
    def levels(self) -> int:
        """Rescales on the way."""
        return sum(stage.levels for stage in self.stages)

    @property
    def products(self) -> int:
        """Products of two ciphertexts."""
        return sum(stage.products for stage in self.stages)


def composed(stages: tuple[Series, ...]) -> Real:
    """The stages, one after the other."""

    def function(x: Reals) -> Reals:
        for stage in stages:
            x = stage(x)
        return x

    return function


def composed_rounding(stages: tuple[Series, ...]) -> float:
    """Bound on the rounding of the composition: that of each stage, as the later ones magnify it."""
    return sum(stage.rounding() * prod(later.slope() for later in stages[at + 1 :]) for at, stage in enumerate(stages))


@lru_cache(maxsize=4096)
def sign(alpha: float, degrees: tuple[int, ...]) -> Sign:
    """The composition of minimax polynomials of the degrees for |x| >= alpha."""
    near, far, stages = alpha, 1.0, []
    for degree in degrees:
        stage, tau = _stage(near / far, degree)
        stages.append(stage.scaled(1 / (1 + tau)))
        near, far = 1 - tau, 1 + tau
    stages[-1] = stages[-1].scaled(1 + tau)
    return Sign(tuple(stages), alpha, tau)


@lru_cache(maxsize=4096)
def _stage(near: float, degree: int) -> tuple[Series, float]:
    """The odd polynomial nearest to 1 on [near, 1], and a bound on its error there."""
    series = minimax(np.ones_like, degree, parity=Parity.ODD, inner=near)
    return series, min(1 - 1e-9, bounded(lambda x: series(x) - 1, degree, near, 1.0, DENSE))


def search(alpha: float, tau: float, most_levels: int) -> Sign | None:
    """The composition with the fewest levels, then products, whose error is at most ``tau``; None if none is.

    A smaller error after a stage is never worse for the next, so that of compositions with equal levels and products
    only the best is kept.
    """
    reached: dict[int, dict[int, Sign]] = {}
    for levels in range(2, most_levels + 1):
        reached[levels] = _not_dominated(alpha, reached, levels)
        good = [found for found in reached[levels].values() if found.tau <= tau]
        if good:
            return min(good, key=lambda found: (found.products, found.tau))
    return None


def _not_dominated(alpha: float, reached: dict[int, dict[int, Sign]], levels: int) -> dict[int, Sign]:
    """The best composition for each count of products, at exactly these levels."""
    best: dict[int, Sign] = {}
    for degree in DEGREES:
        before = levels - degree.bit_length()
        starts = [()] if before == 0 else [found.degrees for found in reached.get(before, {}).values()]
        for start in starts:
            found = sign(alpha, (*start, degree))
            if found.products not in best or found.tau < best[found.products].tau:
                best[found.products] = found
    ordered = sorted(best.items())
    return {count: f for count, f in ordered if all(g.tau > f.tau for c, g in ordered if c < count)}


TABLE: tuple[tuple[float, tuple[int, ...]], ...] = (
    (0.078, (3, 3, 7)),
    (0.047, (7, 15)),
    (0.0276, (15, 15)),
    (0.0234, (7, 7, 7)),
    (0.0138, (15, 31)),
    (0.0117, (7, 7, 15)),
    (0.00829, (31, 31)),
    (0.00586, (7, 7, 31)),
    (0.00345, (7, 15, 31)),
    (0.00268, (7, 7, 7, 15)),
    (0.00189, (15, 15, 31)),
    (0.00134, (7, 7, 7, 31)),
    (0.000946, (31, 15, 31)),
    (0.000518, (31, 31, 31)),
    (0.000334, (7, 7, 7, 7, 31)),
    (0.000214, (31, 7, 15, 31)),
)
"""What ``search`` finds for smaller and smaller errors of x sign(x): alpha, and the degrees."""
