"""Sharing a tolerance among activations: the fewest levels first, then the fewest products.

What a fit adds to the bound on the outputs is predicted from its error on the values that come: errors of many elements
and of different activations are independent, and add up in squares. A certified error is what they are at worst. That
of a polynomial is nearly everywhere as large; that of a composed sign is only in a narrow strip beside the corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import hypot, inf, sqrt

import numpy as np

from enclair.compiler.approx.domains import Domain
from enclair.compiler.approx.fits import Fit
from enclair.compiler.approx.fitting import MOST_LEVELS, ONE_POLYNOMIAL, best_at, cheapest
from enclair.compiler.approx.functions import evaluate, has_corners
from enclair.compiler.approx.sensitivity import Sensitivity
from enclair.compiler.approx.series import Reals
from enclair.compiler.ir.ops.base import Op

SAFETY = 2.0
"""The bound on the outputs is the largest gap on the calibration data times this."""
NEGLIGIBLE = 1e-3
"""Share of the tolerance below which one activation's error is not made smaller."""
MOST_CERTIFIED = 4.0
"""Certified errors, with random signs in all elements, may move the outputs by this many tolerances."""
POINTS = 4096
"""At which a fit's error is looked at."""
JITTER = 0.05
"""Share of the interval's width by which they are moved at random: other inputs have other values."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """An activation to be approximated."""

    name: str
    op: Op
    domain: Domain
    sensitivity: Sensitivity

    def share(self, fit: Fit) -> float:
        """What a fit is expected to add to the bound on the outputs."""
        mean, spread = _typical_error(self, fit)
        return SAFETY * (self.sensitivity.same * mean + self.sensitivity.random * spread)

    def worst(self, fit: Fit) -> float:
        """How far its certified error with random signs in all elements moves the outputs."""
        return self.sensitivity.random * fit.error


@lru_cache(maxsize=4096)
def _typical_error(place: Place, fit: Fit) -> tuple[float, float]:
    """The size of the mean error on values near those that come, and the root of the mean square."""
    x = _points(place)
    exact = evaluate(place.op, x)
    with np.errstate(all="ignore"):
        error = (fit(x) - exact) / (np.abs(exact) if fit.relative else 1.0)
        return abs(float(error.mean())), sqrt(float((error**2).mean()))


@lru_cache(maxsize=256)
def _points(place: Place) -> Reals:
    """Quantiles of what the activation is given, each moved a little."""
    domain, draw = place.domain, np.random.default_rng(0)
    even = np.quantile(place.sensitivity.arguments, np.linspace(0, 1, POINTS))
    moved = even + JITTER * (domain.high - domain.low) * draw.uniform(-1, 1, POINTS)
    return np.clip(moved, domain.low, domain.high)


def share_out(places: Sequence[Place], tolerance: float, worst: float, spent: float = 1.0) -> tuple[Fit, ...] | None:
    """A fit for each place so that the root of the sum of squared shares is within the tolerance; None when none is.

    The sum of levels is as small as can be. What the tolerance then leaves goes to all places in equal parts, and
    each takes the fewest products for its part; ``spent`` is how much of what is left may be spent so. No certified
    error may move the outputs by more than ``worst``.
    """
    options = [_options(place, NEGLIGIBLE * tolerance / len(places), worst) for place in places]
    chosen = _fewest_levels(
        [[(o.levels, p.share(o) ** 2) for o in each] for p, each in zip(places, options, strict=True)], tolerance**2
    )
    if chosen is None:
        return None
    fits = [each[at] for each, at in zip(options, chosen, strict=True)]
    total = sum(place.share(fit) ** 2 for place, fit in zip(places, fits, strict=True))
    spare = spent * sqrt(max(tolerance**2 - total, 0.0) / len(places))
    return tuple(_fewest_products(place, fit, spare, worst) for place, fit in zip(places, fits, strict=True))


def smallest_tolerance(places: Sequence[Place]) -> tuple[float, str]:
    """The tolerance that the best fits reach, and the place that takes the most of it."""
    best = {
        place.name: min((_least_tolerance(place, fit) for fit in _options(place, 0.0, inf)), default=inf)
        for place in places
    }
    return hypot(*best.values()), max(best, key=lambda name: best[name], default="")


def _least_tolerance(place: Place, fit: Fit) -> float:
    return max(place.share(fit), place.worst(fit) / MOST_CERTIFIED)


def _options(place: Place, negligible: float, worst: float) -> list[Fit]:
    """For each count of levels the best fit, where more levels help, until its share is negligible."""
    found: list[Fit] = []
    for levels in range(1, MOST_LEVELS + 1):
        fit = best_at(place.op, place.domain.low, place.domain.high, levels)
        if fit is None:
            continue
        if found and place.share(fit) >= place.share(found[-1]) * 0.99:
            if levels <= ONE_POLYNOMIAL and not has_corners(place.op):
                break  # what is left is rounding
            continue
        found.append(fit)
        if place.share(fit) <= negligible and place.worst(fit) <= worst:
            break
    return [fit for fit in found if place.worst(fit) <= worst]


def _fewest_levels(options: Sequence[Sequence[tuple[int, float]]], most: float) -> list[int] | None:
    """Which option of each place, by exact dynamic programming over the sum of levels.

    ``reached[levels]`` is the least total with that many levels, and the options chosen for it.
    """
    reached: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
    for each in options:
        after: dict[int, tuple[float, list[int]]] = {}
        for spent, (total, chosen) in reached.items():
            for at, (levels, part) in enumerate(each):
                if total + part < after.get(spent + levels, (inf, []))[0]:
                    after[spent + levels] = (total + part, [*chosen, at])
        reached = after
    good = [levels for levels, (total, _) in reached.items() if total <= most]
    return reached[min(good)][1] if good else None


def _fewest_products(place: Place, fit: Fit, spare: float, worst: float) -> Fit:
    """The fit with the fewest products, no deeper, when the share may grow by ``spare`` in squares.

    Errors of a kind of fit grow about alike: the certified one may be larger by as much as the share, or somewhat less.
    """
    share = place.share(fit)
    if spare <= 0 or share <= 0:
        return fit
    most = hypot(share, spare)
    for part in (1.0, 0.5, 0.25):
        error = min(max(part * most / share, 1.0) * fit.error, worst / max(place.sensitivity.random, 1e-300))
        found = cheapest(place.op, place.domain.low, place.domain.high, fit.levels, error)
        if found is not None and found.products <= fit.products and place.share(found) <= most:
            return found
    return fit
