"""The images that DnCNN is calibrated on and denoises."""

from __future__ import annotations

import numpy as np
from example_tools.encrypted import Job
from example_tools.pictures import Grey, calibration_pictures, noisy, picture
from numpy.typing import NDArray

from dncnn.network import dncnn
from dncnn.weights import Layer

RANGE = (-1.0, 2.0)
"""What inputs are clipped to: grey values between 0 and 1, and five standard deviations of the strongest noise."""
GREY_STEP = 1 / 255


def images(name: str, size: int, sigma: float, seed: int) -> tuple[Grey, Grey]:
    """A picture, and the same with noise."""
    original = picture(name, size)
    return original, np.clip(noisy(original, sigma, seed), *RANGE)


def to_input(image: Grey) -> NDArray[np.float32]:
    """(1, 1, height, width)."""
    return image.astype(np.float32)[None, None]


def calibration(size: int, sigma: float, seed: int) -> NDArray[np.float32]:
    """Pictures with noise, (4, 1, size, size)."""
    pictures = enumerate(calibration_pictures(size, seed), seed + 1)
    return np.concatenate([to_input(np.clip(noisy(image, sigma, number), *RANGE)) for number, image in pictures])


def job(layers: list[Layer], image: Grey, sigma: float, seed: int, tolerance: float | None) -> Job:
    """The network on an image; by default it may be off by half a grey step of 8 bits."""
    size = image.shape[0]
    options = {
        "tolerance": tolerance or GREY_STEP / 2,
        "input_ranges": {"x": RANGE},
        "name": f"dncnn{len(layers)}",
    }
    return Job(dncnn(layers, size, size), {"x": calibration(size, sigma, seed)}, {"x": to_input(image)}, options)
