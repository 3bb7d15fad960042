"""Images to calibrate the ranges of the network on: noisy phantoms, and blocks of extremes.

A value beyond the calibrated ranges saturates, so nothing within the declared range of the input may lead there: metal
next to air, a single bright pixel. Blocks of the lowest and the highest value, down to one pixel wide, excite the
filters more than any slice does.
"""

import numpy as np
from numpy.typing import NDArray

from ct_denoise.network import RANGE_HU, to_input
from ct_denoise.phantoms import draw

PHANTOMS = 6
NOISE_HU = (5.0, 150.0)
BLOCK_PIXELS = (1, 3, 1, 2, 2, 8)
"""The widths of the blocks, one image each. The finest are at even places: the compiler chooses the bits there."""


def calibration(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """A batch (12, 1, height, width) in the network's units; the same seed gives the same batch."""
    random = np.random.default_rng(seed)
    images = [blocks(random, height, width, pixels) for pixels in BLOCK_PIXELS]
    images += [noisy_phantom(random, height, width) for _ in range(PHANTOMS)]
    return np.concatenate([to_input(image) for image in images])


def noisy_phantom(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """A phantom with noise of a random level, in Hounsfield units."""
    phantom, _ = draw(random, max(height, width))
    return phantom[:height, :width] + random.uniform(*NOISE_HU) * random.standard_normal((height, width))


def blocks(random: np.random.Generator, height: int, width: int, pixels: int) -> NDArray[np.float64]:
    """Squares, ``pixels`` wide, of the lowest or the highest value of the range, more of one the further down."""
    rows, columns = -(-height // pixels), -(-width // pixels)
    share = np.linspace(0.02, 0.98, rows)[:, None]
    values = np.where(random.random((rows, columns)) < share, *RANGE_HU)
    return np.kron(values, np.ones((pixels, pixels)))[:height, :width]
