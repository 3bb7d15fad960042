"""The interval on which an activation must be right: proven by intervals, or calibrated and widened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log

import numpy as np

from enclair.compiler.approx.functions import Facts
from enclair.compiler.approx.ranges import Range

MUCH_WIDER = 1.25
"""A proven range is taken though it is wider than the calibrated one, up to this ratio of widths."""
SPREADS = 6.0
"""A calibrated end is at least this many standard deviations beyond the mean of what single samples reach,"""
MOST_EXTRAPOLATED = 0.5
"""but at most this share of the width, in logarithms for positive functions, beyond what was seen."""
NARROWEST = 1e-6
"""Least width of an interval, as a share of what it reaches."""


@dataclass(frozen=True, slots=True)
class Domain:
    """An interval, and whether it is ``proven`` or ``calibrated``; ``seen`` is what the calibration data reach."""

    low: float
    high: float
    kind: str
    seen: Range


@dataclass(frozen=True, slots=True)
class Seen:
    """What the calibration data reach in all, and each sample alone."""

    whole: Range
    each: tuple[Range, ...]

    @classmethod
    def of(cls, each: Sequence[Range]) -> Seen:
        """From the ranges of single samples."""
        whole = each[0]
        for range_ in each[1:]:
            whole = whole.union(range_)
        return cls(whole, tuple(each))

    def extrapolated(self) -> Range:
        """Some standard deviations beyond the mean of the samples' ends, but no less than what was seen."""
        lows, highs = np.array([r.low for r in self.each]), np.array([r.high for r in self.each])
        low, high = lows.mean() - SPREADS * lows.std(), highs.mean() + SPREADS * highs.std()
        most = MOST_EXTRAPOLATED * (self.whole.high - self.whole.low)
        below, above = (
            min(max(self.whole.low - float(low), 0.0), most),
            min(max(float(high) - self.whole.high, 0.0), most),
        )
        return Range(self.whole.low - below, self.whole.high + above)


def domain_of(facts: Facts, proven: Range, seen: Seen, margin: float) -> Domain:
    """The proven range when it is not much wider than the calibrated one, widened; else what is in both.

    A calibrated end moves out by ``margin`` times half the width, or towards 0 and away from it by the share
    ``margin`` where the function needs values on one side of 0; and further where single samples differ much.
    """
    wide = _by_share(seen, margin) if facts.positive or facts.nonzero else _by_width(seen, margin)
    known = isfinite(proven.low) and isfinite(proven.high) and not _touches_zero(facts, proven)
    if known and proven.high - proven.low <= MUCH_WIDER * (wide.high - wide.low):
        return Domain(*_not_narrow(proven), "proven", seen.whole)
    both = Range(max(proven.low, wide.low), min(proven.high, wide.high))
    return Domain(*_not_narrow(both), "calibrated", seen.whole)


def _touches_zero(facts: Facts, range_: Range) -> bool:
    """Whether a range holds values that the function is not defined at."""
    return (facts.positive and range_.low <= 0) or (facts.nonzero and range_.low <= 0 <= range_.high)


def _by_width(seen: Seen, margin: float) -> Range:
    reach = margin * (seen.whole.high - seen.whole.low) / 2
    return Range(seen.whole.low - reach, seen.whole.high + reach).union(seen.extrapolated())


def _by_share(seen: Seen, margin: float) -> Range:
    """Logarithms are widened and extrapolated, so that no end reaches 0."""
    whole = seen.whole
    if whole.low <= 0 <= whole.high:
        return whole
    if whole.high < 0:
        mirrored = _by_share(Seen.of([Range(-r.high, -r.low) for r in seen.each]), margin)
        return Range(-mirrored.high, -mirrored.low)
    logs = Seen.of([Range(log(r.low), log(r.high)) for r in seen.each]).extrapolated()
    share = 1 + margin
    return Range(min(whole.low / share, exp(logs.low)), max(whole.high * share, exp(logs.high)))


def _not_narrow(range_: Range) -> tuple[float, float]:
    least = NARROWEST * max(range_.magnitude, 1e-3)
    if range_.high - range_.low >= least:
        return range_.low, range_.high
    return range_.low - least / 2, range_.high + least / 2
