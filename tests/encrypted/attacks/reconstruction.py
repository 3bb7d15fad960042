"""The experiment: train an attacker on pairs of image and ciphertext, and let it reconstruct others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tests.encrypted.attacks.chance import most_wins
from tests.encrypted.attacks.images import Images
from tests.encrypted.attacks.learners import Learner

PEAK = 2.0
"""Images are in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How well images that were held back were reconstructed.

    Args:
        psnr_db: of the reconstructions.
        mean_psnr_db: of the mean of the images trained on, which needs no ciphertext.
        wins, games: of how many pairs of ciphertexts the attacker told which of two images belongs to which.
        most_wins: that luck gives, but for a probability of 1e-9.
    """

    psnr_db: float
    mean_psnr_db: float
    wins: int
    games: int
    most_wins: int

    @property
    def beats_chance(self) -> bool:
        """Whether there is something in what the attacker was shown."""
        return self.wins > self.most_wins


def attack(features: NDArray[np.float64], images: Images, learner: Learner, trained_on: int) -> Outcome:
    """Train on the first pairs, and reconstruct the images of the others.

    Args:
        features: (count, features), what is seen of each image.
        images: (count, extent, extent).
        learner: the attacker.
        trained_on: how many pairs it is given.
    """
    seen = _standardised(features, trained_on)
    targets = images.reshape(len(images), -1).astype(np.float32)
    mean = targets[:trained_on].mean(axis=0)
    found = mean + learner(seen[:trained_on], targets[:trained_on] - mean, seen[trained_on:])
    truth = targets[trained_on:]
    games = list(_games(found, truth))
    return Outcome(_psnr(found, truth), _psnr(mean, truth), sum(games), len(games), most_wins(len(games)))


def _games(found: NDArray[np.float32], truth: NDArray[np.float32]) -> Iterator[bool]:
    """Whether two reconstructions are nearer to their own images than to each other's; draws are left out.

    If ciphertexts say nothing of their images, either order of the two images is as likely given all that the attacker
    has, so that each game is a fair coin, independent of the others.
    """
    for i in range(0, len(truth) - 1, 2):
        score = float(((found[i] - found[i + 1]) * (truth[i] - truth[i + 1])).sum())
        if score:
            yield score > 0


def _standardised(features: NDArray[np.float64], trained_on: int) -> NDArray[np.float32]:
    """Mean 0 and deviation 1 in training; features that never change there are left out."""
    known = features[:trained_on]
    varies = (known != known[0]).any(axis=0)
    known = known[:, varies]
    return ((features[:, varies] - known.mean(axis=0)) / known.std(axis=0)).astype(np.float32)


def _psnr(found: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(10 * np.log10(PEAK**2 / ((found - truth) ** 2).mean()))
