"""The training loop: random crops of the pairs, relative error, Adam with a cosine schedule.

Beside the error a penalty keeps the layers' responses to the most extreme inputs small: the smaller the range of a
layer, the fewer bits its fixed-point numbers need, and the smaller the ring.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ct_denoise.calibration import blocks
from ct_denoise.model import Denoiser
from ct_denoise.network import UNIT_HU
from ct_denoise.pairs import Pair

QUIETEST = 5 / UNIT_HU
"""Added to every noise level."""
CANDIDATES = 3
"""Of so many random crops the one with the most edges is trained on: most of a slice is flat."""


PENALTY, LIMIT, CEILING = 1e-2, 2.5, 4.0
"""Weight of the penalty; responses beyond the limit count by their mean, those beyond the ceiling by the largest."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """``steps`` of ``batch`` crops, ``crop`` pixels wide; the rate falls from ``rate`` to nothing."""

    steps: int = 6000
    batch: int = 16
    crop: int = 64
    rate: float = 3e-3
    seed: int = 0


def train(pairs: list[Pair], schedule: Schedule, progress: Callable[[int, float], None]) -> Denoiser:
    """Train from scratch; ``progress`` is told the step and the mean absolute error of its batch in HU."""
    torch.manual_seed(schedule.seed)
    random = np.random.default_rng(schedule.seed)
    model = Denoiser()
    optimiser = torch.optim.Adam(model.parameters(), lr=schedule.rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, schedule.steps, eta_min=1e-5)
    for step in range(schedule.steps):
        full, low = batch(pairs, random, schedule)
        error = (model(low) - full).abs()
        loss = (error / noise_scale(low, full)).mean() + PENALTY * excess(model, extremes(random, schedule))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cosine.step()
        progress(step, error.mean().item() * UNIT_HU)
    return model.eval()


def noise_scale(low: Tensor, full: Tensor) -> Tensor:
    """The root of each crop's noise level: without it the noisiest crops alone would be learnt from."""
    return (low - full).std(dim=(1, 2, 3), keepdim=True).add(QUIETEST).sqrt()


def extremes(random: np.random.Generator, schedule: Schedule) -> Tensor:
    """A few images of blocks, one to three pixels wide, of the lowest and the highest input."""
    size = schedule.crop // 2
    images = [blocks(random, size, size, int(pixels)) for pixels in random.integers(1, 4, schedule.batch // 4)]
    return as_input([image.astype(np.float32) for image in images])


def excess(model: Denoiser, images: Tensor) -> Tensor:
    """How far the responses of all layers to ``images`` go beyond the limits, in units of 1000 HU."""
    sizes = [response.abs() for response in model.responses(images)]
    return sum((torch.relu(s - LIMIT).mean() + 0.1 * torch.relu(s.amax() - CEILING) for s in sizes), torch.zeros(()))


def batch(pairs: list[Pair], random: np.random.Generator, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Crops at random places, turned and mirrored at random: full dose and low dose, (batch, 1, crop, crop)."""
    chosen = [
        max((crop(pairs[i], random, schedule.crop) for _ in range(CANDIDATES)), key=edges)
        for i in random.integers(len(pairs), size=schedule.batch)
    ]
    return as_input([full for full, _ in chosen]), as_input([low for _, low in chosen])


def crop(pair: Pair, random: np.random.Generator, size: int) -> Pair:
    """The same random square of both images, in one of its eight orientations."""
    top, left = random.integers(len(pair[0]) - size + 1, size=2)
    turns, mirrored = int(random.integers(4)), random.integers(2)
    full, low = (np.rot90(image[top : top + size, left : left + size], turns) for image in pair)
    return (full[::-1], low[::-1]) if mirrored else (full, low)


def edges(pair: Pair) -> float:
    """How much the full-dose image changes from row to row, in HU."""
    return float(np.abs(np.diff(pair[0], axis=0)).mean())


def as_input(images: list[NDArray[np.float32]]) -> Tensor:
    """Hounsfield units to the network's units, as a batch with one channel."""
    return torch.from_numpy(np.stack(images)[:, None] / np.float32(UNIT_HU))
