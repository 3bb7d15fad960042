"""What ``enclair doctor`` looks at: the interpreter, the libraries, the threads and the memory of this machine."""

import os
import platform
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

IMPORT_TIMEOUT_SECONDS = 120
KEY_MODE = 0o600
LIBRARIES = ("openfhe", "onnxruntime", "torch", "onnxscript")


@dataclass(frozen=True, slots=True)
class Library:
    """An installed library: its version, None when it is not installed, and the last line of a failed import."""

    version: str | None
    import_error: str = ""

    @property
    def works(self) -> bool:
        """True when the library is installed and can be imported."""
        return self.version is not None and not self.import_error


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is to hold keys: the mode a file created with 0600 gets there, or why none can be created."""

    path: Path
    file_mode: int | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything the checks look at. ``glibc`` is (0, 0) where the C library is another one; sizes are in bytes."""

    implementation: str
    python: tuple[int, int]
    executable: str
    system: str
    architecture: str
    glibc: tuple[int, int]
    libraries: Mapping[str, Library]
    environment: Mapping[str, str]
    cpus: int
    memory_available: int
    memory_total: int
    keys: Folder
    umask: int


def probe(keys_dir: Path) -> Machine:
    """Look at this machine, and at ``keys_dir`` as the folder that is to hold keys."""
    memory = psutil.virtual_memory()
    return Machine(
        implementation=platform.python_implementation(),
        python=sys.version_info[:2],
        executable=sys.executable,
        system=platform.system(),
        architecture=platform.machine(),
        glibc=_glibc(),
        libraries=_libraries(),
        environment=dict(os.environ),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_available=memory.available,
        memory_total=memory.total,
        keys=look_at_folder(keys_dir),
        umask=_umask(),
    )


def _glibc() -> tuple[int, int]:
    name, found = platform.libc_ver()
    major, _, minor = found.partition(".")
    return (int(major), int(minor)) if name == "glibc" and major.isdigit() and minor.isdigit() else (0, 0)


def _libraries() -> dict[str, Library]:
    with ThreadPoolExecutor() as pool:
        return dict(zip(LIBRARIES, pool.map(look_at_library, LIBRARIES), strict=True))


def look_at_library(name: str) -> Library:
    """Import the library ``name`` in a process of its own: a crash there is a finding, not the doctor's end."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Library(version=None)
    return Library(found, _import_error(name))


def _import_error(name: str) -> str:
    """Return the last line that importing ``name`` in a new process complains with, empty when it works."""
    command = [sys.executable, "-c", f"import {name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {IMPORT_TIMEOUT_SECONDS} s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]


def look_at_folder(path: Path) -> Folder:
    """Create a file as a key is created, in ``path`` or in the nearest folder above that exists, and remove it."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    try:
        with tempfile.TemporaryDirectory(dir=existing) as scratch:
            probe_file = Path(scratch, "key")
            os.close(os.open(probe_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, KEY_MODE))
            return Folder(path, stat.S_IMODE(probe_file.stat().st_mode))
    except OSError as error:
        return Folder(path, None, error.strerror or str(error))


def _umask() -> int:
    """Return the umask; it can be read only by setting it."""
    mask = os.umask(KEY_MODE)
    os.umask(mask)
    return mask
