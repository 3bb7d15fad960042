"""Files in and out: read whole, written atomically, never overwritten unasked."""

from __future__ import annotations

import io
import mmap
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import InputError
from enclair.compiler.ir.graph import Array

OLDEST = (1980, 1, 1, 0, 0, 0)
"""The date of every member of an .npz that is written: the same arrays make the same bytes."""


class FileError(InputError):
    """A file that is not there, cannot be written, exists already, or is not of the kind that is needed."""


def check_output(path: Path, *, force: bool) -> None:
    """Refuse an output before any work is done for it.

    Raises:
        FileError: it exists and ``force`` is not given, its folder does not exist, or it is ``-``.
    """
    check_path(path)
    if path.is_dir():
        raise FileError(f"{path} is a folder: give the name of a file")
    if path.exists() and not force:
        raise FileError(f"{path} exists: choose another name, or overwrite it with --force")
    if not path.parent.is_dir():
        raise FileError(f"there is no folder {path.parent} for {path.name}: make it first")


def check_path(path: Path) -> None:
    """Refuse ``-``: results and messages travel in files, stdout is for reports.

    Raises:
        FileError: it is ``-``.
    """
    if str(path) == "-":
        raise FileError("'-' is not a file here: give the name of a file")


def write_file(path: Path, *pieces: bytes | bytearray | memoryview, force: bool, mode: int = 0o644) -> None:
    """Write a whole file or none.

    Args:
        path: of the file.
        pieces: its content, one after another.
        force: overwrite it if it exists.
        mode: of the file, less what the umask forbids.

    Raises:
        FileError: see ``check_output``.
    """
    check_output(path, force=force)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            os.fchmod(file.fileno(), mode & ~_umask())
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def read_file(path: Path, what: str) -> bytes:
    """The content of a file.

    Raises:
        FileError: there is no such file.
    """
    check_path(path)
    if not path.is_file():
        raise FileError(f"there is no file {path}: give {what}")
    return path.read_bytes()


def map_file(path: Path, what: str) -> memoryview:
    """The content of a file that may be large, mapped into memory.

    Raises:
        FileError: there is no such file.
    """
    check_path(path)
    if not path.is_file():
        raise FileError(f"there is no file {path}: give {what}")
    with path.open("rb") as file:
        empty = path.stat().st_size == 0
        return memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file by name. Pickled objects are refused, not loaded.

    Raises:
        FileError: it is not an .npz file, cut, or holds pickled objects.
    """
    data = read_file(path, "an .npz file with an array for each input of the model")
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise FileError(
            f"{path} is not an .npz file, or it is cut: write it with numpy.savez, arrays named as the model's inputs"
        )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: _array(path, name, arrays[name]) for name in arrays.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise FileError(
                f"{path} holds pickled objects, which are never loaded: save arrays of numbers with numpy.savez"
            ) from None
        raise FileError(f"{path} cannot be read ({error}): write it again with numpy.savez") from None


def _array(path: Path, name: str, array: object) -> NDArray[np.generic]:
    if not isinstance(array, np.ndarray):
        raise FileError(f"{path} holds {name!r}, which is not an array: write it with numpy.savez")
    return array


def arrays_as_bytes(arrays: Mapping[str, Array]) -> bytes:
    """An .npz file of arrays, the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", OLDEST), member.getvalue())
    return buffer.getvalue()


def _umask() -> int:
    """The umask can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
