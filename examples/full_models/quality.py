"""Compare the denoiser with squares and the one with ReLUs, en clair, on held-out patients and the demo's slice.

python examples/full_models/quality.py [--data DIR] [--dose I0 ...] [--json]
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "ct_denoise", "deit_whole"))

import numpy as np
import torch
from ct_denoise.dicom import read_slice
from ct_denoise.heldout import DataMissing, load
from ct_denoise.lowdose import Scan, simulate_low_dose
from ct_denoise.metrics import quality
from ct_denoise.model import model_of
from ct_denoise.network import from_output, load_weights, to_input
from full_models import squared
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from rich.console import Console
from rich.table import Table

Slice = tuple[NDArray[np.float64], float]
Row = dict[str, Any]
METHODS = ("low_dose", "relu", "squares")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with lung1_image.nrrd and lung2_image.nrrd")
    parser.add_argument("--dose", type=float, nargs="+", default=[2e4, 1e5], help="photons per ray, I0")
    parser.add_argument("--size", type=int, default=256, choices=(64, 128, 256, 512), help="pixels across a slice")
    parser.add_argument("--step", type=int, default=6, help="take every so many slices")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def patients(options: argparse.Namespace) -> Iterator[tuple[str, list[Slice]]]:
    """Each patient's name and slices with their pixel spacing; CT_small is the demo's own slice."""
    small = read_slice(get_testdata_file("CT_small.dcm", download=False))
    yield "CT_small", [(small.hu, small.spacing_mm)]
    for volume in load(options.data):
        spacing = volume.spacing_mm * volume.hu.shape[1] / options.size
        yield volume.name, [(hu, spacing) for hu in volume.slices(options.step, options.size)]


def methods() -> dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """Name -> what makes an image of a low-dose one, in Hounsfield units."""
    relu, squares = model_of(load_weights()), squared.load()
    return {
        "low_dose": lambda low: low,
        "relu": lambda low: run(relu, to_input(low)),
        "squares": lambda low: run(squares, squared.clipped(to_input(low))),
    }


def run(model: torch.nn.Module, image: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a network makes of an image."""
    with torch.no_grad():
        return from_output(model(torch.from_numpy(image)).numpy())


def compare(name: str, slices: list[Slice], dose: float) -> Row:
    """The mean PSNR and SSIM of each method over the slices of one patient."""
    works, scores = methods(), []
    for number, (hu, spacing_mm) in enumerate(slices):
        low = simulate_low_dose(hu, spacing_mm, Scan(photons=dose), number)
        found = [quality(hu, works[method](low)) for method in METHODS]
        scores.append([(each.psnr_db, each.ssim) for each in found])
    row: Row = {"patient": name, "slices": len(slices), "dose": dose}
    for method, (psnr, ssim) in zip(METHODS, np.mean(scores, axis=0), strict=True):
        row |= {f"{method}_psnr_db": float(psnr), f"{method}_ssim": float(ssim)}
    return row


def show(rows: list[Row]) -> None:
    """Print the rows as a table."""
    table = Table("patient", "slices", "I0", *[method.replace("_", " ") for method in METHODS])
    table.title = "PSNR in dB / SSIM, window -1000..400 HU"
    for row in rows:
        scores = [f"{row[f'{method}_psnr_db']:.2f} / {row[f'{method}_ssim']:.3f}" for method in METHODS]
        table.add_row(row["patient"], str(row["slices"]), f"{row['dose']:.0e}", *scores)
    Console().print(table)


def main() -> int:
    """Compare on every patient at every dose."""
    options = arguments()
    try:
        found = list(patients(options))
    except DataMissing as error:
        print(error, file=sys.stderr)
        return 1
    rows = [compare(name, slices, dose) for dose in options.dose for name, slices in found]
    print(json.dumps({"window_hu": [-1000, 400], "rows": rows}, indent=2)) if options.json else show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
