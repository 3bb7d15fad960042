"""Compare low-dose, non-local means and the network on two held-out patients and on the slice of the demo.

python examples/ct_denoise/evaluate.py [--data DIR] [--dose I0 ...] [--json]
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ct_denoise.dicom import read_slice
from ct_denoise.heldout import DataMissing, load
from ct_denoise.lowdose import Scan, simulate_low_dose
from ct_denoise.metrics import nonlocal_means, quality
from ct_denoise.network import load_weights
from ct_denoise.plain import denoise_plain
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from rich.console import Console
from rich.table import Table

Slice = tuple[NDArray[np.float64], float]
Row = dict[str, str | float]
METHODS = ("low_dose", "nonlocal_means", "network")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with lung1_image.nrrd and lung2_image.nrrd")
    parser.add_argument("--dose", type=float, nargs="+", default=[2e4, 1e5], help="photons per ray, I0")
    parser.add_argument("--size", type=int, default=256, choices=(64, 128, 256, 512), help="pixels across a slice")
    parser.add_argument("--step", type=int, default=6, help="take every so many slices")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated noise")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def patients(options: argparse.Namespace) -> Iterator[tuple[str, list[Slice]]]:
    """Each patient's name and slices with their pixel spacing; CT_small is the demo's own slice."""
    small = read_slice(get_testdata_file("CT_small.dcm", download=False))
    yield "CT_small", [(small.hu, small.spacing_mm)]
    for volume in load(options.data):
        spacing = volume.spacing_mm * volume.hu.shape[1] / options.size
        yield volume.name, [(hu, spacing) for hu in volume.slices(options.step, options.size)]


def compare(name: str, slices: list[Slice], dose: float, seed: int) -> Row:
    """The mean PSNR and SSIM of each method over the slices of one patient."""
    weights, scores = load_weights(), []
    for number, (hu, spacing_mm) in enumerate(slices):
        low = simulate_low_dose(hu, spacing_mm, Scan(photons=dose), seed + number)
        images = (low, nonlocal_means(low, float(np.std(low - hu))), denoise_plain(low, weights))
        scores.append([[(q := quality(hu, image)).psnr_db, q.ssim] for image in images])
    row: Row = {"patient": name, "slices": len(slices), "dose": dose}
    for method, (psnr, ssim) in zip(METHODS, np.mean(scores, axis=0), strict=True):
        row |= {f"{method}_psnr_db": float(psnr), f"{method}_ssim": float(ssim)}
    return row


def show(rows: list[Row]) -> None:
    """Print the rows as a table."""
    table = Table("patient", "slices", "I0", *[m.replace("_", " ") for m in METHODS])
    table.title = "PSNR in dB / SSIM, window -1000..400 HU"
    for row in rows:
        scores = [f"{row[f'{m}_psnr_db']:.2f} / {row[f'{m}_ssim']:.3f}" for m in METHODS]
        table.add_row(str(row["patient"]), str(row["slices"]), f"{row['dose']:.0e}", *scores)
    Console().print(table)


def main() -> int:
    """Evaluate every patient at every dose."""
    options = arguments()
    try:
        found = list(patients(options))
    except DataMissing as error:
        print(error, file=sys.stderr)
        return 1
    rows = [compare(name, slices, dose, options.seed) for dose in options.dose for name, slices in found]
    print(json.dumps({"window_hu": [-1000, 400], "rows": rows}, indent=2)) if options.json else show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
