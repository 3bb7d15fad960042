"""The interval on which an activation must be right: proven by intervals, or calibrated and widened."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from enclair.compiler.approx.functions import Facts
from enclair.compiler.approx.ranges import Range

MUCH_WIDER = 1.25
"""A proven range is taken though it is wider than the calibrated one, up to this ratio of widths."""
NARROWEST = 1e-6
"""Least width of an interval, as a share of what it reaches."""


@dataclass(frozen=True, slots=True)
class Domain:
    """An interval, and whether it is ``proven`` or ``calibrated``; ``seen`` is what the calibration data reach."""

    low: float
    high: float
    kind: str
    seen: Range


def domain_of(facts: Facts, proven: Range, seen: Range, margin: float) -> Domain:
    """The proven range when it is not much wider than the calibrated one, widened; else what is in both.

    A calibrated end moves out by ``margin`` times half the width, or towards 0 and away from it by the share
    ``margin`` where the function needs values on one side of 0.
    """
    wide = _by_share(seen, margin) if facts.positive or facts.nonzero else _by_width(seen, margin)
    known = isfinite(proven.low) and isfinite(proven.high) and not _touches_zero(facts, proven)
    if known and proven.high - proven.low <= MUCH_WIDER * (wide.high - wide.low):
        return Domain(*_not_narrow(proven), "proven", seen)
    both = Range(max(proven.low, wide.low), min(proven.high, wide.high))
    return Domain(*_not_narrow(both), "calibrated", seen)


def _touches_zero(facts: Facts, range_: Range) -> bool:
    """Whether a range holds values that the function is not defined at."""
    return (facts.positive and range_.low <= 0) or (facts.nonzero and range_.low <= 0 <= range_.high)


def _by_width(seen: Range, margin: float) -> Range:
    reach = margin * (seen.high - seen.low) / 2
    return Range(seen.low - reach, seen.high + reach)


def _by_share(seen: Range, margin: float) -> Range:
    if seen.low <= 0 <= seen.high:
        return seen
    share = 1 + margin
    if seen.low > 0:
        return Range(seen.low / share, seen.high * share)
    return Range(seen.low * share, seen.high / share)


def _not_narrow(range_: Range) -> tuple[float, float]:
    least = NARROWEST * max(range_.magnitude, 1e-3)
    if range_.high - range_.low >= least:
        return range_.low, range_.high
    return range_.low - least / 2, range_.high + least / 2
