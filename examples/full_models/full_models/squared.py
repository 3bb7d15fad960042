"""The denoiser of examples/ct_denoise with squares in the place of its ReLUs: seven levels, one round.

``denoised = x - conv(square(conv(square(conv(square(conv(x)))))))``: a quadratic ``a (u + s)^2`` whose factor and shift
are folded into the convolution before it, so that the activation is a product of a ciphertext with itself and nothing
else. Trained from the ReLU network's weights, on phantoms alone.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ct_denoise.model import CHANNELS, DEPTH, model_of
from ct_denoise.network import UNIT_HU, Weights
from ct_denoise.pairs import Pair
from ct_denoise.training import PENALTY, Schedule, batch, excess, extremes, noise_scale
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from full_models.activations import Square

WEIGHTS = Path(__file__).resolve().parents[1] / "squared_denoiser.safetensors"
STEPS = Schedule(steps=8000, rate=3e-3)
RANGE_HU = (-1200.0, 1800.0)
"""What inputs are clipped to, noisy air to dense bone: polynomials are only right on the range they were trained on."""
SPREAD = 3.0
"""A ReLU is fitted over so many standard deviations of what comes to it."""
LEAST_CURVATURE = 1e-2
"""A channel that is always on or always off would get a straight line, which is no square."""


class SquaredDenoiser(nn.Module):
    """``x - net(x)``: 3 x 3 convolutions with squares between them predict the noise of (batch, 1, height, width)."""

    def __init__(self, channels: int = CHANNELS, depth: int = DEPTH) -> None:
        super().__init__()
        widths = [1, *[channels] * (depth - 1), 1]
        self.convolutions = nn.ModuleList(nn.Conv2d(into, out, 3, padding=1) for into, out in pairwise(widths))
        self.square = Square()

    def responses(self, x: Tensor) -> list[Tensor]:
        """What each convolution gives, before its square; the last is the noise."""
        found = [self.convolutions[0](x)]
        for convolution in self.convolutions[1:]:
            found.append(convolution(self.square(found[-1])))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Subtract the predicted noise; units of 1000 HU in and out."""
        return x - self.responses(x)[-1]


def load(path: Path = WEIGHTS) -> SquaredDenoiser:
    """The trained network."""
    if not path.is_file():
        raise FileNotFoundError(f"the trained weights are needed at {path}: make them with train.py")
    tensors = load_file(path)
    channels, depth = len(tensors["convolutions.0.weight"]), len(tensors) // 2
    model = SquaredDenoiser(channels, depth)
    model.load_state_dict(tensors)
    return model.eval()


def input_range() -> tuple[float, float]:
    """What inputs are clipped to, in the network's units, rounded as they are."""
    low, high = (float(np.float32(hu / UNIT_HU)) for hu in RANGE_HU)
    return low, high


def clipped(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images within the range."""
    return np.clip(images, *input_range())


def squared(weights: Weights, images: Tensor) -> SquaredDenoiser:
    """The ReLU network with each ReLU replaced by the quadratic nearest to it on what the images lead to there.

    ``a u^2 + b u + c = a (u + s)^2 + d``, s = b / 2a: the convolution before gives ``sqrt(a) (u + s)``, the bias behind
    takes d along, which is right but for the border of zeros.
    """
    source, model = model_of(weights), SquaredDenoiser(*_extent(weights))
    with torch.no_grad():
        model.load_state_dict(source.state_dict())
        for into, out in pairwise(model.convolutions):
            _replace(into, out, _input_of(model, into, images))
    return model


def _extent(weights: Weights) -> tuple[int, int]:
    return weights["conv1.weight"].shape[0], len(weights) // 2


def _input_of(model: SquaredDenoiser, convolution: nn.Module, images: Tensor) -> Tensor:
    """What a convolution gives, with squares before it alone."""
    value = images
    for each in model.convolutions:
        value = each(value)
        if each is convolution:
            break
        value = model.square(value)
    return value


def _replace(before: Any, after: Any, responses: Tensor) -> None:
    for channel in range(before.out_channels):
        a, s, d = quadratic(responses[:, channel].flatten().numpy())
        before.weight[channel] *= a**0.5
        before.bias[channel] = a**0.5 * (before.bias[channel] + s)
        after.bias += d * after.weight[:, channel].sum(dim=(1, 2))


def quadratic(responses: NDArray[np.float32]) -> tuple[float, float, float]:
    """``a, s, d`` with ``a (u + s)^2 + d`` nearest to ReLU in the mean square, around the responses' middle."""
    middle, spread = float(responses.mean()), float(responses.std()) + 1e-2
    u = middle + spread * np.linspace(-SPREAD, SPREAD, 201)
    weights = np.exp(-(np.linspace(-SPREAD, SPREAD, 201) ** 2) / 4)
    relu = np.maximum(u, 0)
    a = max(np.polynomial.polynomial.polyfit(u, relu, 2, w=weights)[2], LEAST_CURVATURE / spread)
    c, b = np.polynomial.polynomial.polyfit(u, relu - a * u**2, 1, w=weights)
    return float(a), float(b / (2 * a)), float(c - b * b / (4 * a))


def fine_tune(
    model: SquaredDenoiser, pairs: list[Pair], schedule: Schedule, progress: Callable[[int, float], None]
) -> SquaredDenoiser:
    """Train on; ``progress`` is told the step and the mean absolute error of its batch in HU."""
    torch.manual_seed(schedule.seed)
    random = np.random.default_rng(schedule.seed)
    model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), lr=schedule.rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, schedule.steps, eta_min=1e-6)
    for step in range(schedule.steps):
        full, low = (_clamped(images) for images in batch(pairs, random, schedule))
        error = (model(low) - full).abs()
        penalty = PENALTY * excess(model, extremes(random, schedule).clamp(*input_range()))
        loss = (error / noise_scale(low, full)).mean() + penalty
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        cosine.step()
        progress(step, error.mean().item() * UNIT_HU)
    return model.to(memory_format=torch.contiguous_format).eval()


def _clamped(images: Tensor) -> Tensor:
    """Within the range, laid out as convolutions of few channels are fastest."""
    return images.clamp(*input_range()).contiguous(memory_format=torch.channels_last)
