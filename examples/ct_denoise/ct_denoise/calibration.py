"""Images to calibrate the ranges of the network on: noisy phantoms, and blocks that span its whole input range."""

import numpy as np
from numpy.typing import NDArray

from ct_denoise.network import RANGE_HU, to_input
from ct_denoise.phantoms import draw

IMAGES = 8
BLOCKS_AT = (0, 5)
"""Which of the images are blocks: one in either half, one at an even and one at an odd place."""
NOISE_HU = (5.0, 150.0)
BLOCK_PIXELS = 16


def calibration(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """A batch (8, 1, height, width) in the network's units; the same seed gives the same batch."""
    random = np.random.default_rng(seed)
    kinds = [blocks if number in BLOCKS_AT else noisy_phantom for number in range(IMAGES)]
    return np.concatenate([to_input(kind(random, height, width)) for kind in kinds])


def noisy_phantom(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """A phantom with noise of a random level, in Hounsfield units."""
    phantom, _ = draw(random, max(height, width))
    return phantom[:height, :width] + random.uniform(*NOISE_HU) * random.standard_normal((height, width))


def blocks(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Squares of random values, the lowest and the highest of the range among them, with noise."""
    values = random.uniform(*RANGE_HU, (-(-height // BLOCK_PIXELS), -(-width // BLOCK_PIXELS)))
    values.flat[0], values.flat[-1] = RANGE_HU
    image = np.kron(values, np.ones((BLOCK_PIXELS, BLOCK_PIXELS)))[:height, :width]
    return image + random.uniform(*NOISE_HU) * random.standard_normal((height, width))
