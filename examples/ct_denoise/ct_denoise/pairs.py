"""Training pairs: a phantom at full dose and the same phantom at low dose."""

from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ct_denoise.lowdose import Scan, simulate_low_dose
from ct_denoise.phantoms import draw, grain

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
SIZES = (128, 256)
PHOTONS = (1e4, 4e5)
"""The doses trained on, log-uniform: from starved, streaky slices to nearly clean ones."""
GRAIN_HU = (0.5, 18.0)
"""A real reference has noise of its own, which a denoiser must not be taught to expect away."""
BLUR_PIXELS = (0.25, 0.8)
"""No scanner shows edges as sharp as a drawing's."""


def draw_pair(seed: int) -> Pair:
    """The full-dose and the low-dose image, (size, size) in Hounsfield units; the same seed, the same pair."""
    random = np.random.default_rng(seed)
    size = int(random.choice(SIZES, p=[0.3, 0.7]))
    phantom, spacing_mm = draw(random, size)
    sharp = gaussian_filter(phantom, random.uniform(*BLUR_PIXELS))
    full = sharp + np.exp(random.uniform(*np.log(GRAIN_HU))) * grain(random, size, random.uniform(0.15, 0.6))
    scan = Scan(photons=float(np.exp(random.uniform(*np.log(PHOTONS)))))
    return full.astype(np.float32), simulate_low_dose(full, spacing_mm, scan, random).astype(np.float32)


def draw_pairs(seeds: range, workers: int) -> list[Pair]:
    """Draw a pair per seed in ``workers`` processes; the order is that of the seeds."""
    with get_context("spawn").Pool(workers) as pool:
        return pool.map(draw_pair, seeds, chunksize=4)
