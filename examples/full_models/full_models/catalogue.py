"""All models by name, in full and in a quick size."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from ct_denoise import job as ct_job
from ct_denoise.calibration import calibration, noisy_phantom
from ct_denoise.lowdose import Scan
from ct_denoise.network import to_input
from deit_whole.network import small_network
from numpy.typing import NDArray

from full_models import classifiers, convolutions, squared, transformers
from full_models.activations import ACTIVATIONS
from full_models.case import TOLERANCE, Case
from full_models.digits import Digits, load
from full_models.trained import trained
from full_models.training import SCHEDULES

SAMPLES = 64
"""Digits to calibrate on."""
CROPS = 240
"""Of photographs, to calibrate on: what attention gives differs much from one to the next."""
DEEP_KEYS = 32
"""Rotation keys of models of some 45 levels, at whose ring dimension one has 140 MB and more."""
DEEP_RAM = 21 * 10**9
"""Of a machine of 24 GB: their keys take most of it."""
BLOCK_TOLERANCE = 1e-2
"""Of values up to 10: 44 levels, and five digits. For 1e-3 it would be ten digits, and keys four times as large."""
QUICK_DEEP_TOLERANCE = 0.1
INPUTS = 24
"""To run."""
SLICE_TOLERANCE = 1e-3
"""1 HU, in the denoiser's units."""
QUICK_WIDTHS: dict[type[torch.nn.Module], dict[str, int]] = {
    classifiers.Mlp: {"width": 16},
    classifiers.Lola: {"width": 16},
    classifiers.LeNet: {"channels": 2, "width": 16},
}


def classifier(kind: type[torch.nn.Module], activation: str, quick: bool) -> Case:
    """A classifier of digits, trained, on digits that are held out; quick: few neurons."""
    model = trained(kind(ACTIVATIONS[activation], **(QUICK_WIDTHS[kind] if quick else {})), SCHEDULES[activation])
    train, test = digits()
    options = deep(quick) if activation == "relu" else {"tolerance": TOLERANCE}
    return Case(model, train.images[:SAMPLES], test.images[:INPUTS], test.labels[:INPUTS], options)


def deep(quick: bool, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Options of a model that takes many levels; quick: fewer of them."""
    if quick:
        return {"tolerance": QUICK_DEEP_TOLERANCE}
    return {"tolerance": tolerance, "max_rotation_keys": DEEP_KEYS, "max_ram": DEEP_RAM}


@cache
def digits() -> tuple[Digits, Digits]:
    """To train on, and held out."""
    return load()


def convolution(channels: int, quick: bool) -> Case:
    """One 3 x 3 convolution to 16 channels of 64 x 64 pixels; quick: 8 x 8."""
    size = 8 if quick else convolutions.PIXELS
    draw = np.random.default_rng(0).random((INPUTS + 8, channels, size, size), dtype=np.float32)
    return Case(convolutions.convolution(channels), draw[INPUTS:], draw[:INPUTS])


def denoiser(size: int, quick: bool) -> Case:
    """The CT denoiser with squares on slices of ``size`` pixels across; quick: 16."""
    size = 16 if quick else size
    model = squared.load()
    options = {"tolerance": SLICE_TOLERANCE, "input_ranges": {"x": squared.input_range()}}
    return Case(model, squared.clipped(calibration(size, size)), squared.clipped(slices(size)), None, options)


def slices(size: int) -> NDArray[np.float32]:
    """Three images in eight orientations: low doses of the slice that comes with pydicom where it has this size,
    otherwise phantoms.
    """
    seeds, draw = range(INPUTS // 8), np.random.default_rng(1)
    if size == ct_job.load(None, Scan(), 0).image.shape[0]:
        found = [to_input(ct_job.load(None, Scan(), seed).image) for seed in seeds]
    else:
        found = [to_input(noisy_phantom(draw, size, size)) for _ in seeds]
    turned = [np.rot90(image, turns, (2, 3))[:, :, ::step] for image in found for turns in range(4) for step in (1, -1)]
    return np.ascontiguousarray(np.concatenate(turned))


def head(name: str, make: Callable[[int], torch.nn.Module], quick: bool) -> Case:
    """A head on the class tokens of photographs."""
    found = photographs(name, quick)[:, 0]
    return Case(make(found.shape[-1]), found[INPUTS:], found[:INPUTS])


def block(name: str, count: int, quick: bool) -> Case:
    """One block on the first ``count`` tokens of photographs; quick: on normal tokens of 24 features."""
    draw = np.random.default_rng(0).normal(size=(10 * INPUTS, count, 24)).astype(np.float32)
    found = draw if quick else photographs(name, quick)[:, :count]
    options = deep(quick, BLOCK_TOLERANCE)
    return Case(transformers.block(found.shape[-1], 3), found[INPUTS:], found[:INPUTS], None, options)


@cache
def photographs(name: str, quick: bool) -> NDArray[np.float32]:
    """Tokens of crops of photographs (crops, tokens, features), the first ``INPUTS`` to run; quick: small, few."""
    model = small_network(0) if quick else transformers.backbone(name)
    return transformers.tokens(model, transformers.crops(model, INPUTS, INPUTS if quick else CROPS))


MODELS: dict[str, Callable[[bool], Case]] = {
    "mlp": partial(classifier, classifiers.Mlp, "square"),
    "lola": partial(classifier, classifiers.Lola, "square"),
    "lenet": partial(classifier, classifiers.LeNet, "square"),
    "lenet-relu": partial(classifier, classifiers.LeNet, "relu"),
    "conv1": partial(convolution, 1),
    "conv16": partial(convolution, 16),
    "denoiser128": partial(denoiser, 128),
    "denoiser256": partial(denoiser, 256),
    "head": partial(head, transformers.TINY, transformers.linear_head),
    "head384": partial(head, transformers.SMALL, transformers.linear_head),
    "mlp-head": partial(head, transformers.TINY, transformers.mlp_head),
    "mlp-head384": partial(head, transformers.SMALL, transformers.mlp_head),
    "block": partial(block, transformers.TINY, 4),
}
"""Name -> its case, in the quick size or not; ``TITLES`` says what it is."""
