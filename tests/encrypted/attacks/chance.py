"""How far chance goes: bounds that an experiment without any effect passes with a stated probability.

Secret keys and noise come from the operating system, so that no seed makes a run repeat itself. Every bound here is
passed with a probability of at most ``FALSE_ALARM`` where there is nothing to find.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom, chi2, ks_2samp

FALSE_ALARM = 1e-9
BINS = 64


def is_uniform(residues: ArrayLike, modulus: int) -> bool:
    """Whether residues fill [0, modulus) evenly: chi-square over 64 bins; for a modulus much above them."""
    shares = np.asarray(residues, dtype=object).reshape(-1) * BINS // modulus
    counts = np.bincount(shares.astype(np.int64), minlength=BINS)
    expected = counts.sum() / BINS
    return bool(((counts - expected) ** 2 / expected).sum() < chi2.isf(FALSE_ALARM, BINS - 1))


def same_distribution(first: ArrayLike, second: ArrayLike) -> bool:
    """Whether two samples of equal size may be of one distribution: Kolmogorov and Smirnov's distance.

    For at least 458 values each the distance exceeds d with probability at most 2 exp(-n d^2) (Wei and Dudley 2012,
    theorem 1).
    """
    a, b = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (first, second))
    return bool(ks_2samp(a, b, method="asymp").statistic < np.sqrt(np.log(2 / FALSE_ALARM) / a.size))


def most_wins(games: int) -> int:
    """The most of so many fair coins that come up heads, but for a probability of ``FALSE_ALARM``."""
    return int(binom.isf(FALSE_ALARM, games, 0.5))


def most_hits(tries: int, chance: float) -> int:
    """The most of so many guesses, each right with this chance, that are right, but for ``FALSE_ALARM``."""
    return int(binom.isf(FALSE_ALARM, tries, chance))
