"""How near an image is to its reference: PSNR and SSIM in a stated window, and the classical denoiser beside it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import denoise_nl_means

WINDOW_HU = (-1000.0, 400.0)
"""Both measures clip to this window, whose width is their data range."""


@dataclass(frozen=True, slots=True)
class Quality:
    """PSNR in dB and mean SSIM (7 x 7 windows) against a reference."""

    psnr_db: float
    ssim: float


def quality(reference: NDArray[np.floating], image: NDArray[np.floating]) -> Quality:
    """Compare two images of one shape, in Hounsfield units, within ``WINDOW_HU``."""
    low, high = WINDOW_HU
    a, b = (np.clip(x, low, high) for x in (reference, image))
    return Quality(
        float(peak_signal_noise_ratio(a, b, data_range=high - low)),
        float(structural_similarity(a, b, data_range=high - low)),
    )


def nonlocal_means(hu: NDArray[np.floating], sigma_hu: float, strength: float = 1.1) -> NDArray[np.float64]:
    """Denoise by non-local means, told the true noise level (Buades et al., CVPR 2005).

    Patches of 5 x 5 within 13 x 13 pixels, h = ``strength`` * sigma; the strength is the best of several for
    low-dose chest slices.
    """
    return np.asarray(denoise_nl_means(hu, patch_size=5, patch_distance=6, h=strength * sigma_hu, sigma=sigma_hu))
