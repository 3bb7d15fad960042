"""Compare ways to denoise slices of two held-out patients and of the demo: PSNR and SSIM, by patient and dose."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from rich.console import Console
from rich.table import Table

from ct_denoise.dicom import read_slice
from ct_denoise.heldout import DataMissing, load
from ct_denoise.lowdose import Scan, simulate_low_dose
from ct_denoise.metrics import WINDOW_HU, quality

Image: TypeAlias = NDArray[np.float64]
"""A slice (height, width) in Hounsfield units."""
Slice: TypeAlias = tuple[Image, float]
"""With its pixel spacing in mm."""
Method: TypeAlias = Callable[[Image, Image], Image]
"""What makes an image of a low-dose one; the second is the one without noise, for those that are told the noise."""
Row: TypeAlias = dict[str, str | float]


def main(description: str, methods: Mapping[str, Method]) -> int:
    """Compare by the command line: on every patient at every dose."""
    options = arguments(description)
    try:
        found = list(patients(options.data, options.step, options.size))
    except DataMissing as error:
        print(error, file=sys.stderr)
        return 1
    rows = [compare(*patient, dose, methods, options.seed) for dose in options.dose for patient in found]
    print(json.dumps({"window_hu": WINDOW_HU, "rows": rows}, indent=2)) if options.json else show(rows, methods)
    return 0


def arguments(description: str) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="folder with lung1_image.nrrd and lung2_image.nrrd")
    parser.add_argument("--dose", type=float, nargs="+", default=[2e4, 1e5], help="photons per ray, I0")
    parser.add_argument("--size", type=int, default=256, choices=(64, 128, 256, 512), help="pixels across a slice")
    parser.add_argument("--step", type=int, default=6, help="take every so many slices")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated noise")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def patients(folder: Path | None, step: int, size: int) -> Iterator[tuple[str, list[Slice]]]:
    """Each patient's name and slices; CT_small is the demo's own slice, as it is.

    Args:
        folder: of the held-out volumes; they are fetched if not given.
        step: every so many slices of them are taken.
        size: pixels across.

    Raises:
        DataMissing: they are not there.
    """
    small = read_slice(get_testdata_file("CT_small.dcm", download=False))
    yield "CT_small", [(small.hu, small.spacing_mm)]
    for volume in load(folder):
        spacing = volume.spacing_mm * volume.hu.shape[1] / size
        yield volume.name, [(hu, spacing) for hu in volume.slices(step, size)]


def compare(name: str, slices: list[Slice], dose: float, methods: Mapping[str, Method], seed: int = 0) -> Row:
    """The mean PSNR and SSIM of each method over the slices of one patient."""
    scores = []
    for number, (hu, spacing_mm) in enumerate(slices):
        low = simulate_low_dose(hu, spacing_mm, Scan(photons=dose), seed + number)
        found = [quality(hu, method(low, hu)) for method in methods.values()]
        scores.append([(each.psnr_db, each.ssim) for each in found])
    row: Row = {"patient": name, "slices": len(slices), "dose": dose}
    for method, (psnr, ssim) in zip(methods, np.mean(scores, axis=0), strict=True):
        row |= {f"{method}_psnr_db": float(psnr), f"{method}_ssim": float(ssim)}
    return row


def show(rows: list[Row], methods: Iterable[str]) -> None:
    """Print the rows as a table."""
    table = Table("patient", "slices", "I0", *[method.replace("_", " ") for method in methods])
    table.title = f"PSNR in dB / SSIM, window {WINDOW_HU[0]:.0f}..{WINDOW_HU[1]:.0f} HU"
    for row in rows:
        scores = [f"{row[f'{method}_psnr_db']:.2f} / {row[f'{method}_ssim']:.3f}" for method in methods]
        table.add_row(str(row["patient"]), str(row["slices"]), f"{row['dose']:.0e}", *scores)
    Console().print(table)
