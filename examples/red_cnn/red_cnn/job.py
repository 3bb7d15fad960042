"""The patches that RED-CNN is calibrated on and denoises: CT in the scale of the paper's code, 0..1."""

from __future__ import annotations

import numpy as np
from example_tools.encrypted import Job
from example_tools.pictures import Grey, calibration_pictures, noisy, picture
from numpy.typing import NDArray

from red_cnn.network import red_cnn
from red_cnn.weights import Weights

SIGMA = 0.03
"""Standard deviation of the noise that makes the patch a low-dose one."""
RANGE = (-0.25, 1.25)
TOLERANCE = 1e-3


def patch(name: str, size: int, seed: int) -> tuple[Grey, Grey]:
    """The middle of a picture, and the same with noise."""
    original = picture(name, size)
    return original, np.clip(noisy(original, SIGMA, seed), *RANGE)


def job(weights: Weights, image: Grey, seed: int, tolerance: float | None) -> Job:
    """The network on a patch."""
    size = image.shape[0]
    options = {"tolerance": tolerance or TOLERANCE, "input_ranges": {"x": RANGE}, "name": "red_cnn"}
    return Job(red_cnn(weights, size, size), {"x": calibration(size, seed)}, {"x": to_input(image)}, options)


def calibration(size: int, seed: int) -> NDArray[np.float32]:
    """Pictures with noise, (4, 1, size, size)."""
    pictures = enumerate(calibration_pictures(size, seed), seed + 1)
    return np.concatenate([to_input(np.clip(noisy(image, SIGMA, number), *RANGE)) for number, image in pictures])


def to_input(image: Grey) -> NDArray[np.float32]:
    """(1, 1, height, width)."""
    return image.astype(np.float32)[None, None]
