"""How the denoiser with squares is trained: the PSNR of random crops, inner values kept where quartics are small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import cos, pi

import numpy as np
import torch
from ct_denoise.metrics import WINDOW_HU
from ct_denoise.network import UNIT_HU
from ct_denoise.pairs import Pair
from ct_denoise.phantoms import grain
from ct_denoise.training import Schedule, as_input, batch, extremes
from torch import Tensor, nn

from full_models.soap import Soap
from full_models.squared import SquaredDenoiser, input_range

SCHEDULE = Schedule(steps=7000, batch=8, crop=48, rate=3e-3)
WARMING = 300
"""Steps in which the rate rises."""
GRAIN_HU, CUTOFFS = 15.0, (0.15, 0.6)
"""Texture of up to this deviation, cut off at so many cycles per pixel, is put on both images: what a reference has is
to be kept, noise of its own too, and real ones have more of it than phantoms."""
KEPT, FAINT = 0.15, 25 / UNIT_HU
"""What noise is left in for not blurring what is under it: this share of the faintest, e times less at the deviation
``FAINT``."""
SUBTRACTED = 0.98
"""Of the noise that is predicted in the end: an image of another kind than the phantoms is blurred less."""
QUIETEST = 7 / UNIT_HU
"""Errors far below this are not worth learning from."""
OUTSIDE = 0.05
"""Weight of squared errors outside of the window in which quality is measured."""
PENALTY = 5e-2
"""Weight of the penalty on what quartics are given beyond where they are near ReLU."""
LIMIT, CEILING, NOISE = 1.2, 1.5, 3.0
"""Of quartics' inputs: those beyond the limit count by their mean, those beyond the ceiling by the largest. The
predicted noise may be ``NOISE`` times as large, in units of 1000 HU."""


def fine_tune(
    model: SquaredDenoiser, pairs: list[Pair], schedule: Schedule, progress: Callable[[int, float], None]
) -> SquaredDenoiser:
    """Train on; ``progress`` is told the step and the mean absolute error of its batch in HU."""
    random = np.random.default_rng(schedule.seed)
    model.to(memory_format=torch.channels_last)
    optimiser = Soap(model.convolutions)
    for step, rate in enumerate(rates(schedule)):
        texture = grains(random, schedule)
        full, low = (_clamped(images + texture) for images in batch(pairs, random, schedule))
        denoised = model(low)
        loss = distance(denoised, wanted(low, full)) + PENALTY * excess(model, _clamped(extremes(random, schedule)))
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(rate)
        progress(step, (denoised - full).abs().mean().item() * UNIT_HU)
    return model.to(memory_format=torch.contiguous_format).eval()


def cautious(model: SquaredDenoiser) -> SquaredDenoiser:
    """Predict ``SUBTRACTED`` times the noise."""
    with torch.no_grad():
        for parameter in model.convolutions[-1].parameters():
            parameter.mul_(SUBTRACTED)
    return model


def grains(random: np.random.Generator, schedule: Schedule) -> Tensor:
    """Texture for each crop, as a scanner leaves it, (batch, 1, crop, crop) in units of 1000 HU."""
    sizes, cutoffs = random.uniform(0, GRAIN_HU, schedule.batch), random.uniform(*CUTOFFS, schedule.batch)
    fields = [size * grain(random, schedule.crop, cutoff) for size, cutoff in zip(sizes, cutoffs, strict=True)]
    return as_input([field.astype(np.float32) for field in fields])


def rates(schedule: Schedule) -> Iterator[float]:
    """Of each step: up in a line, down as a cosine."""
    for step in range(schedule.steps):
        yield schedule.rate * min(1, (step + 1) / WARMING) * (1 + cos(pi * step / schedule.steps)) / 2


def wanted(low: Tensor, full: Tensor) -> Tensor:
    """The full dose with a share of the noise, the less the more there is."""
    noise = low - full
    return full + noise * KEPT * torch.exp(-noise.std(dim=(1, 2, 3), keepdim=True) / FAINT)


def distance(denoised: Tensor, full: Tensor) -> Tensor:
    """The mean over crops of the logarithm of the root mean square error, in the window: PSNR, turned over."""
    low, high = (hu / UNIT_HU for hu in WINDOW_HU)
    inside = (denoised.clamp(low, high) - full.clamp(low, high)) ** 2 + OUTSIDE * (denoised - full) ** 2
    return torch.log(inside.mean(dim=(1, 2, 3)) + QUIETEST**2).mean() / 2


def excess(model: SquaredDenoiser, images: Tensor) -> Tensor:
    """How far what quartics are given goes beyond the limits on ``images``, summed over layers."""
    *inner, noise = (response.abs() for response in model.responses(images))
    sizes = [*inner, noise / NOISE]
    return sum((torch.relu(s - LIMIT).mean() + 0.1 * torch.relu(s.amax() - CEILING) for s in sizes), torch.zeros(()))


def _clamped(images: Tensor) -> Tensor:
    """Within the range, laid out as convolutions of few channels are fastest."""
    return images.clamp(*input_range()).contiguous(memory_format=torch.channels_last)
