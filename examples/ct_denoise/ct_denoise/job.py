"""What the demo works on: a slice, the image to denoise, and the original to compare with where there is one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from ct_denoise.dicom import CtSlice, Derivation, read_slice, write_derived
from ct_denoise.lowdose import Scan, simulate_low_dose
from ct_denoise.metrics import Quality, nonlocal_means, quality
from ct_denoise.network import from_output, outside_range
from ct_denoise.picture import Panel, side_by_side

Image = NDArray[np.float64]
WINDOW_HU = (-200.0, 300.0)
DIFFERENCE_HU = 100.0
DIFFERENCE = (-DIFFERENCE_HU, DIFFERENCE_HU)


@dataclass(frozen=True, slots=True)
class Job:
    """``image`` (rows, columns; Hounsfield units) is denoised; ``original`` is None when it came as it is.

    ``scan`` is the simulated one that made ``image`` from ``original``.
    """

    source: CtSlice
    image: Image
    original: Image | None = None
    scan: Scan | None = None


def load(path: Path | None, scan: Scan | None, seed: int) -> Job:
    """The slice in ``path``, or the one that comes with pydicom; with a ``scan``, low dose is simulated on it.

    Raises ``DicomError`` when the file is no CT slice.
    """
    source = read_slice(path or str(get_testdata_file("CT_small.dcm", download=False)))
    if scan is None:
        return Job(source, source.hu)
    low = simulate_low_dose(source.hu, source.spacing_mm, scan, seed)
    return Job(source, np.where(source.padding, source.hu, low), source.hu, scan)


def finish(job: Job, output: NDArray[np.floating]) -> Image:
    """The network's output as a slice: padding, and pixels outside of the network's range, are as they were."""
    kept = job.source.padding | outside_range(job.image)
    return np.where(kept, job.image, from_output(output))


def compare(job: Job, plain: Image, encrypted: Image) -> dict[str, Quality]:
    """PSNR and SSIM against the original of the input, non-local means, the float network and the encrypted one."""
    if job.original is None:
        return {}
    classical = nonlocal_means(job.image, float(np.std(job.image - job.original)))
    images = {"low dose": job.image, "non-local means": classical, "network, float": plain, "encrypted": encrypted}
    return {name: quality(job.original, image) for name, image in images.items()}


def write_dicom(job: Job, denoised: Image, path: Path) -> None:
    """Write the denoised slice as an image derived from the source."""
    steps = "Denoised by a convolutional network evaluated on encrypted pixels (BFV) by enclair."
    if job.scan is not None:
        steps = f"Low dose simulated (I0 {job.scan.photons:g}, {job.scan.views} views). {steps}"
    write_derived(job.source, denoised, Derivation(f"{steps} For research, not for diagnosis."), path)


def write_picture(job: Job, denoised: Image, path: Path) -> None:
    """Write original, input, result and difference next to each other, in a soft-tissue window."""
    window = f"{WINDOW_HU[0]:g}..{WINDOW_HU[1]:g} HU"
    shown = [(f"denoised, encrypted\n{window}", denoised)]
    if job.original is None or job.scan is None:
        shown.insert(0, (f"input\n{window}", job.image))
        last = Panel(f"difference: denoised - input\n±{DIFFERENCE_HU:g} HU", denoised - job.image, *DIFFERENCE)
    else:
        shown.insert(0, (f"low dose, I0 = {job.scan.photons:g}\n{window}", job.image))
        shown.insert(0, (f"original\n{window}", job.original))
        last = Panel(f"difference: denoised - original\n±{DIFFERENCE_HU:g} HU", denoised - job.original, *DIFFERENCE)
    side_by_side([*(Panel(caption, image, *WINDOW_HU) for caption, image in shown), last], path)
