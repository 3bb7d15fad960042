"""The training loop: random crops of the pairs, mean absolute error, Adam with a cosine schedule."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ct_denoise.model import Denoiser
from ct_denoise.network import UNIT_HU
from ct_denoise.pairs import Pair


@dataclass(frozen=True, slots=True)
class Schedule:
    """``steps`` of ``batch`` crops, ``crop`` pixels wide; the rate falls from ``rate`` to nothing."""

    steps: int = 8000
    batch: int = 16
    crop: int = 64
    rate: float = 3e-3
    seed: int = 0


def train(pairs: list[Pair], schedule: Schedule, progress: Callable[[int, float], None]) -> Denoiser:
    """Train from scratch; ``progress`` is told the step and its loss in HU."""
    torch.manual_seed(schedule.seed)
    random = np.random.default_rng(schedule.seed)
    model = Denoiser()
    optimiser = torch.optim.Adam(model.parameters(), lr=schedule.rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, schedule.steps, eta_min=1e-5)
    for step in range(schedule.steps):
        full, low = batch(pairs, random, schedule)
        loss = (model(low) - full).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cosine.step()
        progress(step, loss.item() * UNIT_HU)
    return model.eval()


def batch(pairs: list[Pair], random: np.random.Generator, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Crops at random places, turned and mirrored at random: full dose and low dose, (batch, 1, crop, crop)."""
    chosen = [crop(pairs[i], random, schedule.crop) for i in random.integers(len(pairs), size=schedule.batch)]
    return as_input([full for full, _ in chosen]), as_input([low for _, low in chosen])


def crop(pair: Pair, random: np.random.Generator, size: int) -> Pair:
    """The same random square of both images, in one of its eight orientations."""
    top, left = random.integers(len(pair[0]) - size + 1, size=2)
    turns, mirrored = random.integers(4), random.integers(2)
    full, low = (np.rot90(image[top : top + size, left : left + size], turns) for image in pair)
    return (full[::-1], low[::-1]) if mirrored else (full, low)


def as_input(images: list[NDArray[np.float32]]) -> Tensor:
    """Hounsfield units to the network's units, as a batch with one channel."""
    return torch.from_numpy(np.stack(images)[:, None] / np.float32(UNIT_HU))
