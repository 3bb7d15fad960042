"""One convolution of 3 x 3, random weights: what packing costs without anything else."""

from __future__ import annotations

import torch
from torch import nn

PIXELS, CHANNELS = 64, 16


def convolution(channels: int, seed: int = 0) -> nn.Module:
    """From ``channels`` to 16, images of one size in and out."""
    torch.manual_seed(seed)
    return nn.Conv2d(channels, CHANNELS, 3, padding=1).eval()
