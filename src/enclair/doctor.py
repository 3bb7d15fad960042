"""``enclair doctor``: check that this machine can run enclair, with a remedy for each fault.

It works where OpenFHE cannot be imported: that is its first use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from enclair.machine import KEY_MODE, Machine, probe

GIB = 2**30
MEMORY_NEEDED = 2 * GIB
OPENFHE_FOR = {(3, 10): "1.6.1.0.22.4", (3, 12): "1.6.1.0.24.4"}
GLIBC_FOR = {(3, 10): (2, 35), (3, 12): (2, 38)}
WRITABLE_BY_OTHERS = 0o022


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was ``found``, whether it will do, and the ``remedy`` (empty when ``ok``)."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def run_checks(keys_dir: Path | None = None) -> list[Check]:
    """Check this machine; keys would be kept in ``keys_dir``, by default the working directory."""
    return examine(probe(keys_dir or Path.cwd()))


def examine(machine: Machine) -> list[Check]:
    """Run every check on ``machine``, in the order in which faults should be mended."""
    return [check(machine) for check in CHECKS]


def check_interpreter(machine: Machine) -> Check:
    """OpenFHE's wheels hold an extension for CPython 3.10 or for CPython 3.12."""
    return _check(
        "interpreter",
        machine.implementation == "CPython" and machine.python in OPENFHE_FOR,
        f"{machine.implementation} {_dotted(machine.python)} ({machine.executable})",
        "OpenFHE's wheels are for CPython 3.10 and 3.12: install one of them (pyenv install 3.10, or uv python install "
        "3.10) and run `ENCLAIR_PYTHON=/path/to/python3.10 make setup` without the old .venv",
    )


def check_platform(machine: Machine) -> Check:
    """OpenFHE's wheels are built for Linux on x86-64."""
    return _check(
        "platform",
        machine.system == "Linux" and machine.architecture in {"x86_64", "AMD64"},
        f"{machine.system} on {machine.architecture}",
        "OpenFHE's wheels are for Linux on x86_64: use such a machine, or build openfhe-python from source",
    )


def check_glibc(machine: Machine) -> Check:
    """The wheel for 3.10 is built on Ubuntu 22.04, the one for 3.12 on Ubuntu 24.04."""
    needed = GLIBC_FOR.get(machine.python, min(GLIBC_FOR.values()))
    older = " or use Python 3.10, which needs only glibc 2.35," if machine.python == (3, 12) else ""
    return _check(
        "C library",
        machine.glibc >= needed,
        f"glibc {_dotted(machine.glibc)}" if machine.glibc > (0, 0) else "not glibc",
        f"OpenFHE for Python {_dotted(machine.python)} needs glibc {_dotted(needed)} or later:{older} "
        "use a newer system (Debian 12, Ubuntu 22.04 or later) or a container of one",
    )


def check_openfhe(machine: Machine) -> Check:
    """OpenFHE imports, and its release is one whose serialisation enclair knows."""
    library, wanted = machine.libraries["openfhe"], OPENFHE_FOR.get(machine.python)
    install = f"pip install openfhe=={wanted}" if wanted else "first use CPython 3.10 or 3.12, then pip install enclair"
    return _check(
        "OpenFHE",
        library.works and library.version == wanted,
        _found(machine, "openfhe"),
        f"{install} (each wheel fits one Python: 1.6.1.0.22.4 is for 3.10, 1.6.1.0.24.4 for 3.12)",
    )


def check_onnxruntime(machine: Machine) -> Check:
    """onnxruntime runs the original model: the `float` execution."""
    return _check(
        "onnxruntime",
        machine.libraries["onnxruntime"].works,
        _found(machine, "onnxruntime"),
        "pip install --force-reinstall onnxruntime",
    )


def check_torch(machine: Machine) -> Check:
    """The torch extra is optional, but must be whole: exporting a module needs onnxscript too."""
    if machine.libraries["torch"].version is None:
        return _check("torch (optional)", True, "not installed; torch modules need enclair[torch]", "")
    return _check(
        "torch (optional)",
        machine.libraries["torch"].works and machine.libraries["onnxscript"].works,
        f"{_found(machine, 'torch')}, {_found(machine, 'onnxscript')}",
        "pip install --upgrade 'enclair[torch]' (torch exports to ONNX through onnxscript)",
    )


def check_wait_policy(machine: Machine) -> Check:
    """Waiting threads that spin make OpenFHE several times slower on a busy machine."""
    policy = machine.environment.get("OMP_WAIT_POLICY", "")
    return _check(
        "OMP_WAIT_POLICY",
        policy.lower() == "passive",
        policy or "not set",
        "export OMP_WAIT_POLICY=passive: waiting threads that spin take the cores from those that work",
    )


def check_threads(machine: Machine) -> Check:
    """More OpenMP threads than CPUs only get in each other's way."""
    threads = machine.environment.get("OMP_NUM_THREADS", "")
    counts = [int(count) if count.strip().isdecimal() else 0 for count in threads.split(",")] if threads else [1]
    return _check(
        "threads",
        all(1 <= count <= machine.cpus for count in counts),
        f"OMP_NUM_THREADS={threads or '(not set)'} on {machine.cpus} CPUs",
        f"unset OMP_NUM_THREADS, or set it to a number from 1 to {machine.cpus}",
    )


def check_memory(machine: Machine) -> Check:
    """A program needs room for its ciphertexts and weights."""
    return _check(
        "memory",
        machine.memory_available >= MEMORY_NEEDED,
        f"{machine.memory_available / GIB:.1f} GiB available of {machine.memory_total / GIB:.1f} GiB",
        f"at least {MEMORY_NEEDED / GIB:.0f} GiB should be available: end other programs or use a larger machine; "
        "`enclair inspect` says what a program needs",
    )


def check_keys_folder(machine: Machine) -> Check:
    """Secret keys are files of mode 0600: the folder must take files, and its file system must keep modes."""
    keys = machine.keys
    got = keys.error if keys.file_mode is None else f"files get mode {keys.file_mode:04o}"
    return _check(
        "folder for keys",
        keys.file_mode == KEY_MODE,
        f"{keys.path}: {got}",
        "keep keys in a folder of your own, on a local file system that keeps modes (not FAT, not some network "
        "mounts): a secret key has mode 0600, or it is refused",
    )


def check_umask(machine: Machine) -> Check:
    """With a lax umask others could replace artifacts and messages."""
    return _check(
        "umask",
        machine.umask & WRITABLE_BY_OTHERS == WRITABLE_BY_OTHERS,
        f"{machine.umask:04o}",
        "umask 077 (or 022): otherwise others on this machine may write the artifacts and messages enclair creates",
    )


CHECKS: tuple[Callable[[Machine], Check], ...] = (
    check_interpreter,
    check_platform,
    check_glibc,
    check_openfhe,
    check_onnxruntime,
    check_torch,
    check_wait_policy,
    check_threads,
    check_memory,
    check_keys_folder,
    check_umask,
)


def _check(name: str, ok: bool, found: str, remedy: str) -> Check:
    return Check(name, ok, found, "" if ok else remedy)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _found(machine: Machine, name: str) -> str:
    library = machine.libraries[name]
    if library.version is None:
        return f"{name} is not installed"
    failure = f", but importing it fails: {library.import_error}" if library.import_error else ""
    return f"{name} {library.version}{failure}"
