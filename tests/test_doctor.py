"""Each fault of a machine is found, and its remedy says what to do."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from enclair.doctor import CHECKS, GIB, Check, examine, run_checks
from enclair.machine import Folder, Library, Machine, look_at_folder, look_at_library

HEALTHY = Machine(
    implementation="CPython",
    python=(3, 10),
    executable="/usr/bin/python3.10",
    system="Linux",
    architecture="x86_64",
    glibc=(2, 36),
    libraries={
        "openfhe": Library("1.6.1.0.22.4"),
        "onnxruntime": Library("1.23.2"),
        "torch": Library("2.14.1"),
        "onnxscript": Library("0.7.2"),
    },
    environment={"OMP_WAIT_POLICY": "passive"},
    cpus=2,
    memory_available=8 * GIB,
    memory_total=16 * GIB,
    keys=Folder(Path("/home/user"), 0o600),
    umask=0o022,
)


def faults(machine: Machine) -> dict[str, Check]:
    return {check.name: check for check in examine(machine) if not check.ok}


def only_fault(machine: Machine) -> Check:
    (fault,) = faults(machine).values()
    return fault


def with_library(name: str, library: Library) -> Machine:
    return replace(HEALTHY, libraries={**HEALTHY.libraries, name: library})


def test_a_healthy_machine_has_no_fault_and_no_remedy() -> None:
    checks = examine(HEALTHY)
    assert [check.ok for check in checks] == [True] * len(CHECKS)
    assert {check.remedy for check in checks} == {""}


def test_python_3_12_has_its_own_wheel_and_glibc() -> None:
    libraries = {**HEALTHY.libraries, "openfhe": Library("1.6.1.0.24.4")}
    assert not faults(replace(HEALTHY, python=(3, 12), glibc=(2, 38), libraries=libraries))


def test_wrong_interpreter() -> None:
    found = faults(replace(HEALTHY, python=(3, 11)))
    assert found["interpreter"].found == "CPython 3.11 (/usr/bin/python3.10)"
    assert "CPython 3.10 and 3.12" in found["interpreter"].remedy
    assert "ENCLAIR_PYTHON=" in found["interpreter"].remedy
    assert "first use CPython 3.10 or 3.12" in found["OpenFHE"].remedy


def test_another_implementation() -> None:
    assert only_fault(replace(HEALTHY, implementation="PyPy")).found.startswith("PyPy 3.10")


@pytest.mark.parametrize(("system", "architecture"), [("Linux", "aarch64"), ("Darwin", "x86_64")])
def test_wrong_platform(system: str, architecture: str) -> None:
    fault = only_fault(replace(HEALTHY, system=system, architecture=architecture))
    assert (fault.name, fault.found) == ("platform", f"{system} on {architecture}")
    assert "Linux on x86_64" in fault.remedy


def test_old_glibc() -> None:
    fault = only_fault(replace(HEALTHY, glibc=(2, 31)))
    assert (fault.name, fault.found) == ("C library", "glibc 2.31")
    assert "needs glibc 2.35 or later" in fault.remedy


def test_glibc_too_old_for_3_12_points_to_3_10() -> None:
    libraries = {**HEALTHY.libraries, "openfhe": Library("1.6.1.0.24.4")}
    fault = only_fault(replace(HEALTHY, python=(3, 12), libraries=libraries))
    assert "needs glibc 2.38 or later" in fault.remedy
    assert "Python 3.10" in fault.remedy


def test_no_glibc() -> None:
    assert only_fault(replace(HEALTHY, glibc=(0, 0))).found == "not glibc"


def test_openfhe_missing() -> None:
    fault = only_fault(with_library("openfhe", Library(None)))
    assert fault.found == "openfhe is not installed"
    assert fault.remedy.startswith("pip install openfhe==1.6.1.0.22.4")


def test_openfhe_cannot_be_imported() -> None:
    why = "ImportError: GLIBCXX_3.4.32 not found"
    fault = only_fault(with_library("openfhe", Library("1.6.1.0.22.4", why)))
    assert fault.found == f"openfhe 1.6.1.0.22.4, but importing it fails: {why}"
    assert "each wheel fits one Python" in fault.remedy


@pytest.mark.parametrize("release", ["1.6.1.0.24.4", "1.5.0.0.22.4"])
def test_openfhe_of_another_release_or_for_another_python(release: str) -> None:
    fault = only_fault(with_library("openfhe", Library(release)))
    assert fault.found == f"openfhe {release}"
    assert fault.remedy.startswith("pip install openfhe==1.6.1.0.22.4")


def test_onnxruntime_missing() -> None:
    fault = only_fault(with_library("onnxruntime", Library(None)))
    assert (fault.found, fault.remedy) == (
        "onnxruntime is not installed",
        "pip install --force-reinstall onnxruntime",
    )


def test_torch_is_optional() -> None:
    assert not faults(with_library("torch", Library(None)))


def test_torch_needs_onnxscript() -> None:
    fault = only_fault(with_library("onnxscript", Library(None)))
    assert fault.found == "torch 2.14.1, onnxscript is not installed"
    assert "pip install --upgrade 'enclair[torch]'" in fault.remedy


@pytest.mark.parametrize("environment", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_threads_that_spin(environment: dict[str, str]) -> None:
    fault = only_fault(replace(HEALTHY, environment=environment))
    assert fault.found == environment.get("OMP_WAIT_POLICY", "not set")
    assert fault.remedy.startswith("export OMP_WAIT_POLICY=passive")


@pytest.mark.parametrize("threads", ["3", "0", "many", "2,3", "-1"])
def test_wrong_number_of_threads(threads: str) -> None:
    fault = only_fault(replace(HEALTHY, environment={**HEALTHY.environment, "OMP_NUM_THREADS": threads}))
    assert fault.found == f"OMP_NUM_THREADS={threads} on 2 CPUs"
    assert fault.remedy == "unset OMP_NUM_THREADS, or set it to a number from 1 to 2"


@pytest.mark.parametrize("threads", ["1", "2", "2,1"])
def test_right_number_of_threads(threads: str) -> None:
    assert not faults(replace(HEALTHY, environment={**HEALTHY.environment, "OMP_NUM_THREADS": threads}))


def test_little_memory() -> None:
    fault = only_fault(replace(HEALTHY, memory_available=GIB // 2))
    assert fault.found == "0.5 GiB available of 16.0 GiB"
    assert fault.remedy.startswith("at least 2 GiB should be available")


def test_keys_folder_cannot_be_written() -> None:
    fault = only_fault(replace(HEALTHY, keys=Folder(Path("/keys"), None, "Permission denied")))
    assert (fault.name, fault.found) == ("folder for keys", "/keys: Permission denied")
    assert "a folder of your own" in fault.remedy


def test_file_system_that_drops_modes() -> None:
    fault = only_fault(replace(HEALTHY, keys=Folder(Path("/mnt/usb"), 0o755)))
    assert fault.found == "/mnt/usb: files get mode 0755"
    assert "file system that keeps modes" in fault.remedy


def test_lax_umask() -> None:
    fault = only_fault(replace(HEALTHY, umask=0o002))
    assert (fault.name, fault.found) == ("umask", "0002")
    assert fault.remedy.startswith("umask 077 (or 022)")


def test_this_machine_can_run_enclair_and_keeps_its_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        checks = {check.name: check for check in run_checks(tmp_path)}
        assert os.umask(before) == 0o027
    finally:
        os.umask(before)
    assert checks["umask"].found == "0027"
    needed = {"interpreter", "platform", "C library", "OpenFHE", "onnxruntime", "folder for keys"}
    assert needed <= {name for name, check in checks.items() if check.ok}


def test_looking_at_a_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    assert look_at_folder(tmp_path) == Folder(tmp_path, 0o600)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_yet_to_be_made(tmp_path: Path) -> None:
    assert look_at_folder(tmp_path / "a" / "b") == Folder(tmp_path / "a" / "b", 0o600)


def test_a_folder_that_takes_no_files() -> None:
    folder = look_at_folder(Path("/proc/self"))
    assert folder.file_mode is None
    assert folder.error


def test_a_library_that_crashes_on_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openfhe.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert look_at_library("openfhe").import_error == "ended with code -6"


def test_a_library_that_raises_on_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openfhe.py").write_text("raise ImportError('GLIBCXX_3.4.32 not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert look_at_library("openfhe").import_error == "ImportError: GLIBCXX_3.4.32 not found"


def test_a_library_that_is_not_installed() -> None:
    assert look_at_library("no-such-library") == Library(None)


def test_importing_enclair_and_its_doctor_loads_no_openfhe_and_no_torch() -> None:
    code = "import enclair.doctor, sys; print(sorted({'openfhe', 'torch', 'onnxruntime'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
