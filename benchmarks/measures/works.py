"""The works that are measured: networks of the examples, in full and in a quick size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
from ct_denoise.calibration import calibration, noisy_phantom
from ct_denoise.encrypted import TOLERANCE_HU
from ct_denoise.network import UNIT_HU, denoiser, input_range, load_weights, to_input
from dncnn import job as dncnn_job
from dncnn import weights as dncnn_weights
from example_tools.encrypted import Job
from example_tools.layers import Layers, he_normal
from red_cnn import job as red_cnn_job
from red_cnn import weights as red_cnn_weights

BITS_OF_ONE_IMAGE = {"activation_bits": 18, "weight_bits": 16}
"""What a tolerance of 1e-3 takes for one image, found by compiling it; a search over batches would take long."""


@dataclass(frozen=True)
class Work:
    """A network on an input.

    Args:
        name: for ``--only``.
        title: in full, and what it is in the quick size.
        make: the job, in the quick size or not.
        images: that one run gives, in full and in the quick size.
        needs: a package that is needed beside those of the extra ``bench``.
    """

    name: str
    title: str
    make: Callable[[bool], Job]
    images: tuple[int, int] = (1, 1)
    needs: str | None = None

    def count(self, *, quick: bool) -> int:
        """Images that one run gives."""
        return self.images[quick]

    @property
    def missing(self) -> bool:
        """Whether the package it needs is not there."""
        return self.needs is not None and find_spec(self.needs) is None


def ct_denoiser(quick: bool) -> Job:
    """The denoiser of examples/ct_denoise on a slice of 512 x 512, or 32 x 32."""
    size = 32 if quick else 512
    options = {"tolerance": TOLERANCE_HU / UNIT_HU, "input_ranges": {"x": input_range()}, "name": "ct_denoiser"}
    image = to_input(noisy_phantom(np.random.default_rng(1), size, size))
    return Job(denoiser(load_weights(), size, size), {"x": calibration(size, size)}, {"x": image}, options)


def dncnn(layers: int, quick: bool) -> Job:
    """DnCNN with trained weights on a picture of 512 x 512; quick: 4 channels, random weights, 16 x 16."""
    size, level = (16 if quick else 512), "M"
    sigma = dncnn_weights.SIGMAS[level]
    network = dncnn_weights.random(layers, 4, 0) if quick else dncnn_weights.trained(layers, level)
    _, image = dncnn_job.images("camera", size, sigma, 0)
    return dncnn_job.job(network, image, sigma, 0, None)


def red_cnn(quick: bool) -> Job:
    """RED-CNN with random weights on a patch of 64 x 64; quick: 4 channels, 24 x 24."""
    _, image = red_cnn_job.patch("ct", 24 if quick else 64, 0)
    return red_cnn_job.job(red_cnn_weights.random(4 if quick else red_cnn_weights.CHANNELS, 0), image, 0, None)


def deit(full: int, few: int, quick: bool) -> Job:
    """timm's deit_tiny with random weights on ``full`` images; quick: two blocks, ``few`` images of 32 x 32 pixels."""
    from deit_whole import network  # noqa: PLC0415 (it needs torch)

    batch = few if quick else full
    model = network.small_network(0) if quick else network.network(network.NAME, 0, pretrained=False)
    inputs, samples = network.images(model, batch, 0)
    bits = {"tolerance": 1e-3} if batch == 1 or quick else BITS_OF_ONE_IMAGE
    options = {**bits, "margin": 0.5, "batch": batch}
    return Job(model, {"x": samples}, {"x": inputs}, options)


def convolution(size: int, channels: int) -> Job:
    """One 3 x 3 convolution, random weights of 12 bits, activations of 12 bits: to show how costs grow."""
    draw = np.random.default_rng(0)
    net = Layers()
    y = net.conv("y", net.wrap("wrap", "x", 1), he_normal(draw, channels, channels, 3, 3, fan_in=9 * channels))
    x = draw.uniform(-1, 1, (5, channels, size, size)).astype(np.float32)
    options = {"activation_bits": 12, "weight_bits": 12, "input_ranges": {"x": (-1.0, 1.0)}}
    return Job(net.model("convolution", (1, channels, size, size), y), {"x": x[1:]}, {"x": x[:1]}, options)


WORKS = (
    Work("denoiser", "CT denoiser, 4 layers of 16 channels, 512 x 512 (quick: 32 x 32)", ct_denoiser),
    Work("dncnn6", "DnCNN-6, 64 channels, 512 x 512 (quick: 4 channels, 16 x 16)", partial(dncnn, 6)),
    Work("dncnn17", "DnCNN-17, 64 channels, 512 x 512 (quick: 4 channels, 16 x 16)", partial(dncnn, 17)),
    Work("red_cnn", "RED-CNN, 96 channels, 64 x 64 patch (quick: 4 channels, 24 x 24)", red_cnn),
    Work("deit1", "DeiT-tiny, one image (quick: 2 blocks, 32 x 32)", partial(deit, 1, 1), (1, 1), "timm"),
    Work("deit32", "DeiT-tiny, 32 images (quick: 2 images)", partial(deit, 32, 2), (32, 2), "timm"),
)
