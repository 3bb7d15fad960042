"""Real pictures that come with pydicom and scikit-image, as grey values between 0 and 1."""

from __future__ import annotations

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

Grey = NDArray[np.float64]
WINDOW_HU = (-1000.0, 400.0)
"""The window of the CT slice that is mapped to 0..1."""
PICTURES = ("ct", "camera")
OTHERS = ("grass", "brick")
"""Photographs of 512 x 512 pixels to calibrate on: none is among ``PICTURES``."""
BLOCK_PIXELS = (3, 8)
"""The widths of the blocks to calibrate on."""


def picture(name: str, size: int) -> Grey:
    """The middle ``size`` x ``size`` pixels of ``ct`` (128 x 128) or ``camera`` (512 x 512).

    Raises:
        ValueError: the picture is smaller.
    """
    whole = _ct() if name == "ct" else getattr(data, name)() / 255.0
    return _middle(name, whole, size)


def calibration_pictures(size: int, seed: int) -> list[Grey]:
    """Two photographs stretched to the whole range, two pictures of black and white blocks, in turn.

    A value beyond the ranges seen in calibration saturates: nothing that comes may excite the filters more than these
    do. Hard edges over the whole range do so more than any photograph.
    """
    draw = np.random.default_rng(seed)
    pairs = zip(OTHERS, BLOCK_PIXELS, strict=True)
    return [image for name, pixels in pairs for image in (_stretched(picture(name, size)), _blocks(draw, size, pixels))]


def noisy(image: Grey, sigma: float, seed: int) -> Grey:
    """The image plus Gaussian noise, not clipped."""
    return image + sigma * np.random.default_rng(seed).standard_normal(image.shape)


def psnr_db(original: Grey, image: Grey) -> float:
    """Peak signal-to-noise ratio of an image of grey values between 0 and 1."""
    return float(peak_signal_noise_ratio(original, np.clip(image, 0, 1), data_range=1.0))


def _ct() -> Grey:
    """The CT slice that comes with pydicom, windowed."""
    slice_ = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    hu = slice_.pixel_array * float(slice_.RescaleSlope) + float(slice_.RescaleIntercept)
    low, high = WINDOW_HU
    return np.asarray(np.clip((hu - low) / (high - low), 0, 1))


def _stretched(image: Grey) -> Grey:
    low, high = image.min(), image.max()
    return np.asarray((image - low) / max(high - low, 1e-9))


def _blocks(draw: np.random.Generator, size: int, pixels: int) -> Grey:
    """Squares, ``pixels`` wide, of 0 or 1 at random."""
    count = -(-size // pixels)
    return np.asarray(np.kron(draw.integers(0, 2, (count, count)), np.ones((pixels, pixels)))[:size, :size])


def _middle(name: str, whole: Grey, size: int) -> Grey:
    if not 1 <= size <= min(whole.shape):
        rows, columns = whole.shape
        raise ValueError(
            f"picture {name!r} has {rows} x {columns} pixels, asked for {size} x {size}: choose a smaller size or "
            f"another of {', '.join(PICTURES)}"
        )
    top, left = ((extent - size) // 2 for extent in whole.shape)
    return np.asarray(whole[top : top + size, left : left + size], dtype=np.float64)
