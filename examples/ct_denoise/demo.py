"""Denoise a CT slice under encryption, and show that the answer is the same as in the clear.

python examples/ct_denoise/demo.py [--dicom FILE] [--output DIR] [--dose I0] [--seed S] [--json]

Without --dicom, low dose is simulated on the real CT slice that comes with pydicom. A slice given with --dicom is
denoised as it is, unless --simulate-dose says otherwise. Writes denoised.dcm and comparison.png. Exits with 1 when the
encrypted answer is not the fixed-point reference bit for bit or a gap passes its bound, with 2 when it cannot run.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ct_denoise.dicom import DicomError
from ct_denoise.encrypted import denoise_encrypted, differences, gap_hu, output_of
from ct_denoise.job import Job, compare, finish, load, write_dicom, write_picture
from ct_denoise.lowdose import Scan
from ct_denoise.show import progress_bar, show

from enclair.compiler.ir.errors import EnclairError


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dicom", type=Path, help="a CT slice; by default the one that comes with pydicom")
    parser.add_argument("--output", type=Path, default=Path("out/ct_denoise"), help="folder to write to")
    parser.add_argument("--simulate-dose", action="store_true", help="simulate low dose on the slice of --dicom")
    parser.add_argument("--dose", type=float, help=f"simulated photons per ray, I0 (default {Scan().photons:g})")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated noise")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.dose is not None and options.dicom and not options.simulate_dose:
        parser.error("--dose is of the simulation: give --simulate-dose too to simulate it on the slice of --dicom")
    return options


def scan_of(options: argparse.Namespace) -> Scan | None:
    """The scan to simulate, if one is asked for."""
    if options.dicom and not options.simulate_dose:
        return None
    return Scan() if options.dose is None else Scan(photons=options.dose)


def run(options: argparse.Namespace) -> int:
    """Load, denoise, compare, write, print."""
    job = load(options.dicom, scan_of(options), options.seed)
    with progress_bar() as progress:
        verification = denoise_encrypted(job.image, progress)
    files = write_files(job, verification, options.output)
    result = summary(job, verification, files)
    print(json.dumps(result, indent=2)) if options.json else show(result)
    return 0 if result["ok"] else 1


def write_files(job: Job, verification: Any, folder: Path) -> dict[str, str]:
    """Write the derived DICOM and the picture; return their paths."""
    denoised = finish(job, output_of(verification, "encrypted"))
    folder.mkdir(parents=True, exist_ok=True)
    dicom, picture = folder / "denoised.dcm", folder / "comparison.png"
    write_dicom(job, denoised, dicom)
    write_picture(job, denoised, picture)
    return {"dicom": str(dicom), "picture": str(picture)}


def summary(job: Job, verification: Any, files: dict[str, str]) -> dict[str, Any]:
    """``enclair verify --json``, and what the demo adds to it."""
    plain, encrypted = (finish(job, output_of(verification, run)) for run in ("float", "encrypted"))
    quality = compare(job, plain, encrypted)
    return {
        **verification.to_json(),
        "differences": differences(verification),
        "gap_hu": gap_hu(verification),
        "pixels": list(job.image.shape),
        "quality": {name: {"psnr_db": q.psnr_db, "ssim": q.ssim} for name, q in quality.items()},
        "files": files,
    }


def main() -> int:
    """Run; faults of the input are one line."""
    try:
        return run(arguments())
    except (DicomError, EnclairError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
