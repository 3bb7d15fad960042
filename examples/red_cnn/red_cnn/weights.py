"""RED-CNN's weights: random ones, or the user's own.

Tensors are named as in a PyTorch state dict of ``conv1`` .. ``conv5`` (nn.Conv2d) and ``tconv1`` .. ``tconv5``
(nn.ConvTranspose2d): ``conv1.weight`` (out, in, 5, 5), ``conv1.bias`` (out), ``tconv1.weight`` (in, out, 5, 5), ...
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from example_tools.layers import Floats, he_normal
from safetensors.numpy import load_file

DEPTH, KERNEL, CHANNELS = 5, 5, 96
RESPONSE = 0.25
"""Standard deviations of random layers are this part of what would keep the range: skips add to it."""

Weights = dict[str, Floats]


def random(channels: int, seed: int) -> Weights:
    """Random weights under which the range of the values grows little and the answer stays near the input."""
    draw = np.random.default_rng(seed)
    weights: Weights = {}
    for name, (taken, made) in widths(channels).items():
        shape = (made, taken) if name.startswith("conv") else (taken, made)
        part = 1.0 if name.startswith("conv") else RESPONSE
        weights[f"{name}.weight"] = part * he_normal(draw, *shape, KERNEL, KERNEL, fan_in=taken * KERNEL**2)
        weights[f"{name}.bias"] = draw.normal(0, 0.01, made).astype(np.float32)
    return weights


def widths(channels: int) -> dict[str, tuple[int, int]]:
    """Layer -> channels taken and made."""
    encoder = {f"conv{number}": (1 if number == 1 else channels, channels) for number in range(1, DEPTH + 1)}
    decoder = {f"tconv{number}": (channels, 1 if number == DEPTH else channels) for number in range(1, DEPTH + 1)}
    return encoder | decoder


def load(path: Path) -> Weights:
    """The user's weights, from ``.safetensors``, ``.npz``, or a PyTorch state dict (needs torch).

    Raises:
        ValueError: a tensor is missing or has another shape.
        OSError: the file cannot be read.
    """
    tensors = _read(path)
    weights = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in tensors.items()}
    if "conv1.weight" not in weights:
        raise ValueError(f"{path} has no tensor conv1.weight but {', '.join(sorted(weights)) or 'none'}: {NAMES}")
    for name, shape in shapes(len(weights["conv1.weight"])).items():
        got = weights[name].shape if name in weights else "none"
        if got != shape:
            raise ValueError(f"{path}: tensor {name} of shape {shape} is needed, got {got}: {NAMES}")
    return weights


NAMES = "name them as a PyTorch state dict of conv1..conv5 and tconv1..tconv5 does"


def shapes(channels: int) -> dict[str, tuple[int, ...]]:
    """Tensor -> its shape."""
    found: dict[str, tuple[int, ...]] = {}
    for name, (taken, made) in widths(channels).items():
        found[f"{name}.weight"] = (*((made, taken) if name.startswith("conv") else (taken, made)), KERNEL, KERNEL)
        found[f"{name}.bias"] = (made,)
    return found


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    if path.suffix == ".npz":
        with np.load(path) as tensors:
            return dict(tensors)
    return _read_torch(path)


def _read_torch(path: Path) -> dict[str, Any]:
    import torch  # noqa: PLC0415 (this format alone needs it)

    return {name: tensor.numpy() for name, tensor in torch.load(path, map_location="cpu", weights_only=True).items()}
