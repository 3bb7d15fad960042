"""The denoiser of examples/ct_denoise with quartics made of squares for its ReLUs: ten levels, one round.

``denoised = x - conv(quartic(conv(quartic(conv(quartic(conv(x)))))))``, ``quartic(v) = (v^2 - 1)^2 - 5/4 v``:
convolutions, products of ciphertexts with themselves, sums. Trained from the ReLU network's weights, on phantoms alone.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ct_denoise.model import CHANNELS, DEPTH, model_of
from ct_denoise.network import UNIT_HU, Weights
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from full_models.activations import Quartic

WEIGHTS = Path(__file__).resolve().parents[1] / "squared_denoiser.safetensors"
RANGE_HU = (-1200.0, 1800.0)
"""What inputs are clipped to, noisy air to dense bone: polynomials are only right on the range they were trained on."""
LEAST_REACH = 1e-2
"""A channel that no image moves is taken to reach so far, in units of 1000 HU."""


class SquaredDenoiser(nn.Module):
    """``x - net(x)``: 3 x 3 convolutions, quartics between them, predict the noise of (batch, 1, height, width)."""

    def __init__(self, channels: int = CHANNELS, depth: int = DEPTH) -> None:
        super().__init__()
        widths = [1, *[channels] * (depth - 1), 1]
        self.convolutions = nn.ModuleList(nn.Conv2d(into, out, 3, padding=1) for into, out in pairwise(widths))
        self.quartic = Quartic()

    def responses(self, x: Tensor) -> list[Tensor]:
        """What each convolution gives, before its quartic; the last is the noise."""
        found = [self.convolutions[0](x)]
        for convolution in self.convolutions[1:]:
            found.append(convolution(self.quartic(found[-1])))
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
    """The ReLU network with each ReLU replaced by a quartic that is near it as far as the images lead there.

    ``relu(u)`` is nearly ``R (FACTOR quartic(u / R) + OFFSET)`` for abs(u) < R: the convolution before gives ``u / R``,
    the one behind takes factor and offset along, which is right but for the border of zeros.
    """
    source, model = model_of(weights), SquaredDenoiser(*_extent(weights))
    with torch.no_grad():
        model.load_state_dict(source.state_dict())
        responses = source.responses(images)
        for (before, after), response in zip(pairwise(model.convolutions), responses, strict=False):
            _replace(before, after, response.abs().amax(dim=(0, 2, 3)).clamp(min=LEAST_REACH))
    return model


def _extent(weights: Weights) -> tuple[int, int]:
    return weights["conv1.weight"].shape[0], len(weights) // 2


def _replace(before: Any, after: Any, reach: Tensor) -> None:
    """Fold each channel's reach, and the quartic's factor and offset, into the convolutions around it."""
    before.weight /= reach[:, None, None, None]
    before.bias /= reach
    after.bias += after.weight.sum(dim=(2, 3)) @ (reach * Quartic.OFFSET)
    after.weight *= (reach * Quartic.FACTOR)[:, None, None]
