"""Low-dose CT, simulated from a slice by inserting the noise that fewer photons would have left.

The slice is projected to line integrals, photons are counted at the lower dose, and only the *error* of the
measured line integrals is reconstructed and added, so that the anatomy keeps its resolution. After Yu et al.,
"Development and Validation of a Practical Lower-Dose-Simulation Tool for Optimizing Computed Tomography Scan
Protocols", J Comput Assist Tomogr 36(4), 2012; projection and filtered back projection are scikit-image's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.transform import iradon, radon

WATER_PER_MM = 0.0192
"""Linear attenuation of water at about 70 keV, in 1/mm."""
AIR_HU = -1000.0


@dataclass(frozen=True, slots=True)
class Scan:
    """A parallel-beam scan.

    ``photons`` is I0, counted per detector element (one pixel wide) and view without an object;
    ``electronic_noise`` is the standard deviation of the read-out, in photons; ``kernel`` is a filter of
    ``skimage.transform.iradon``.
    """

    photons: float = 2e4
    views: int = 360
    electronic_noise: float = 5.0
    kernel: str = "ramp"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.photons) and self.photons > 0):
            raise ValueError(f"a scan needs a positive number of photons per ray, got {self.photons}: try 2e4")
        if self.views < 1:
            raise ValueError(f"a scan needs at least one view, got {self.views}: try 360")
        if not (np.isfinite(self.electronic_noise) and self.electronic_noise >= 0):
            raise ValueError(f"the electronic noise is a standard deviation of 0 or more, got {self.electronic_noise}")


def simulate_low_dose(
    hu: NDArray[np.floating], spacing_mm: float, scan: Scan, seed: int | np.random.Generator
) -> NDArray[np.float64]:
    """Return the slice ``hu`` (height, width; Hounsfield units) as ``scan`` would have measured it.

    ``spacing_mm`` is the edge of a pixel. The same seed gives the same image. What lies outside the slice is
    air. Raises ``ValueError`` for a slice that is not a finite two-dimensional image.
    """
    check_slice(hu)
    square = pad_to_square(hu)
    attenuation = np.maximum(square / 1000 + 1, 0) * WATER_PER_MM * spacing_mm
    angles = np.linspace(0, 180, scan.views, endpoint=False)
    integrals = radon(attenuation, angles, circle=False)
    error = measure(integrals, scan, np.random.default_rng(seed)) - integrals
    noise = iradon(error, angles, output_size=len(square), filter_name=scan.kernel, circle=False)
    return hu + noise[: hu.shape[0], : hu.shape[1]] / (WATER_PER_MM * spacing_mm) * 1000


def measure(integrals: NDArray[np.floating], scan: Scan, random: np.random.Generator) -> NDArray[np.float64]:
    """Count photons behind the line integrals: Poisson and electronic noise, at least one photon; then -log."""
    counts = random.poisson(scan.photons * np.exp(-integrals)) + random.normal(
        0, scan.electronic_noise, integrals.shape
    )
    return -np.log(np.maximum(counts, 1) / scan.photons)


def check_slice(hu: NDArray[np.floating]) -> None:
    """Raise ``ValueError`` unless ``hu`` is a finite image of two dimensions."""
    if hu.ndim != 2 or min(hu.shape) < 2:
        raise ValueError(f"a slice has two dimensions (height, width) of 2 or more, got shape {hu.shape}")
    if not np.isfinite(hu).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(hu))[0])
        raise ValueError(f"a slice holds finite Hounsfield units, got {hu[bad]} at row, column {bad}")


def pad_to_square(hu: NDArray[np.floating]) -> NDArray[np.floating]:
    """Add air below or to the right, so that the slice is square."""
    side = max(hu.shape)
    return np.pad(hu, ((0, side - hu.shape[0]), (0, side - hu.shape[1])), constant_values=AIR_HU)
