"""Sharing a tolerance among activations: the fewest levels first, then the fewest products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from enclair.compiler.approx.domains import Domain
from enclair.compiler.approx.fits import Fit
from enclair.compiler.approx.fitting import MOST_LEVELS, ONE_POLYNOMIAL, best_at, cheapest
from enclair.compiler.approx.functions import has_corners
from enclair.compiler.ir.ops.base import Op

NEGLIGIBLE = 1e-3
"""Share of the tolerance below which one activation's error is not made smaller."""


@dataclass(frozen=True, slots=True)
class Place:
    """An activation to be approximated; ``sensitivity`` is the move of an output per unit of its error."""

    name: str
    op: Op
    domain: Domain
    sensitivity: float


def share_out(places: Sequence[Place], tolerance: float, spent: float = 1.0) -> tuple[Fit, ...] | None:
    """A fit for each place so that sum(sensitivity x error) <= tolerance; None when no fits reach that.

    The sum of levels is as small as can be. What the tolerance then leaves goes to all places in equal parts, and
    each takes the fewest products for its part; ``spent`` is how much of what is left may be spent so.
    """
    options = [_options(place, NEGLIGIBLE * tolerance / len(places)) for place in places]
    chosen = _fewest_levels(
        [[(o.levels, p.sensitivity * o.error) for o in each] for p, each in zip(places, options, strict=True)],
        tolerance,
    )
    if chosen is None:
        return None
    fits = [each[at] for each, at in zip(options, chosen, strict=True)]
    total = sum(place.sensitivity * fit.error for place, fit in zip(places, fits, strict=True))
    spare = spent * (tolerance - total) / len(places)
    return tuple(_fewest_products(place, fit, spare) for place, fit in zip(places, fits, strict=True))


def smallest_tolerance(places: Sequence[Place]) -> tuple[float, str]:
    """The tolerance that the best fits reach, and the place that takes the most of it."""
    best = {
        place.name: place.sensitivity * min((fit.error for fit in _options(place, 0.0)), default=inf)
        for place in places
    }
    return sum(best.values()), max(best, key=lambda name: best[name], default="")


def _options(place: Place, negligible: float) -> list[Fit]:
    """For each count of levels the best fit, where more levels help, until the error is negligible."""
    found: list[Fit] = []
    for levels in range(1, MOST_LEVELS + 1):
        fit = best_at(place.op, place.domain.low, place.domain.high, levels)
        if fit is None:
            continue
        if found and fit.error >= found[-1].error * 0.99:
            if levels <= ONE_POLYNOMIAL and not has_corners(place.op):
                break  # what is left is rounding
            continue
        found.append(fit)
        if place.sensitivity * fit.error <= negligible:
            break
    return found


def _fewest_levels(options: Sequence[Sequence[tuple[int, float]]], tolerance: float) -> list[int] | None:
    """Which option of each place, by exact dynamic programming over the sum of levels.

    ``reached[levels]`` is the least total error with that many levels, and the options chosen for it.
    """
    reached: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
    for each in options:
        after: dict[int, tuple[float, list[int]]] = {}
        for spent, (total, chosen) in reached.items():
            for at, (levels, error) in enumerate(each):
                if total + error < after.get(spent + levels, (inf, []))[0]:
                    after[spent + levels] = (total + error, [*chosen, at])
        reached = after
    good = [levels for levels, (total, _) in reached.items() if total <= tolerance]
    return reached[min(good)][1] if good else None


def _fewest_products(place: Place, fit: Fit, spare: float) -> Fit:
    """The fit with the fewest products when the output may move by ``spare`` more; the degree is cut at its levels."""
    if spare <= 0:
        return fit
    error = fit.error + spare / place.sensitivity if place.sensitivity > 0 else inf
    found = cheapest(place.op, place.domain.low, place.domain.high, fit.levels, error)
    return found if found is not None and found.products <= fit.products else fit
