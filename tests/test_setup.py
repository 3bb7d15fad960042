"""``scripts/setup`` without a network: how it judges interpreters, and what it says when none will do.

The interpreters are shell scripts that answer as an interpreter would.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Answers what the set-up asks; `-m venv --clear .venv` makes an environment whose python is this very script.
FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in
    *sys.executable*) echo "$0" ;;
    *python_version*) echo "{version}" ;;
    *ensurepip*) {venv} ;;
    "-m venv --clear .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *"import openfhe"*) {openfhe} ;;
    "-m pip "*) {pip} ;;
    --version) echo "Python {version}" ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts" / "setup")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def interpreter(
    project: Path,
    version: str = "CPython 3.10.13",
    venv: str = "true",
    openfhe: str = "true",
    pip: str = "true",
) -> Path:
    path = project / "python"
    path.write_text(FAKE_PYTHON.format(log=project / "log", version=version, venv=venv, openfhe=openfhe, pip=pip))
    path.chmod(0o755)
    return path


def setup(project: Path, python: Path | str, *extras: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(project), "ENCLAIR_PYTHON": str(python)}
    command = [str(project / "scripts" / "setup"), *extras]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def installs(project: Path) -> list[str]:
    return [line for line in (project / "log").read_text().splitlines() if "--editable" in line]


def refusal(project: Path, python: Path | str) -> str:
    done = setup(project, python, "demo")
    assert done.returncode == 1
    assert "no Python was found in which OpenFHE works" in done.stderr
    assert "needed: CPython 3.10 (glibc 2.35 or later) or CPython 3.12 (glibc 2.38 or later)" in done.stderr
    assert "ENCLAIR_PYTHON=/path/to/python3.10 make setup" in done.stderr
    assert not (project / ".venv" / "enclair-setup").exists()
    return done.stderr


@pytest.mark.parametrize("version", ["CPython 3.11.7", "CPython 3.13.0", "CPython 3.1.0", "PyPy 3.10.2"])
def test_an_interpreter_without_a_wheel_is_refused(project: Path, version: str) -> None:
    assert f"{project}/python is {version}" in refusal(project, interpreter(project, version))


def test_an_interpreter_that_does_not_start_is_named(project: Path) -> None:
    assert "/nowhere/python does not start" in refusal(project, "/nowhere/python")


def test_an_interpreter_without_venv_is_refused(project: Path) -> None:
    assert "lacks venv: apt install python3-venv" in refusal(project, interpreter(project, venv="false"))


def test_an_interpreter_in_which_openfhe_fails_is_refused(project: Path) -> None:
    python = interpreter(project, openfhe="echo 'ImportError: GLIBCXX_3.4.32 not found' >&2; exit 1")
    assert f"{python}: ImportError: GLIBCXX_3.4.32 not found" in refusal(project, python)


def test_a_failed_installation_is_named(project: Path) -> None:
    python = interpreter(project, pip="echo 'ERROR: no network' >&2; exit 1")
    message = refusal(project, python)
    assert "ERROR: no network" in message
    assert f"{python}: installing enclair failed: see above" in message


@pytest.mark.parametrize("version", ["CPython 3.10.13", "CPython 3.12.1"])
def test_enclair_and_then_the_extras_are_installed(project: Path, version: str) -> None:
    done = setup(project, interpreter(project, version), "torch", "dev")
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(" ")[2] for line in installs(project)] == [".", ".[dev,torch]"]
    assert f"ready: .venv with Python {version}" in done.stderr


def test_a_second_run_does_nothing(project: Path) -> None:
    setup(project, interpreter(project), "demo")
    (project / "log").unlink()
    assert setup(project, "/nowhere/python", "demo").returncode == 0
    assert not (project / "log").exists()


def test_more_extras_are_added_to_the_same_environment(project: Path) -> None:
    setup(project, interpreter(project), "demo")
    (project / "log").unlink()
    assert setup(project, "/nowhere/python", "torch").returncode == 0
    assert [line.rpartition(" ")[2] for line in installs(project)] == [".[demo,torch]"]
    assert setup(project, "/nowhere/python", "demo").returncode == 0
    assert len(installs(project)) == 1


def test_a_changed_project_file_updates_the_environment_and_keeps_it(project: Path) -> None:
    setup(project, interpreter(project), "demo")
    (project / "log").unlink()
    (project / ".venv" / "kept").touch()
    with (project / "pyproject.toml").open("a") as file:
        file.write("\n")
    assert setup(project, "/nowhere/python", "demo").returncode == 0
    assert [line.rpartition(" ")[2] for line in installs(project)] == [".", ".[demo]"]
    assert (project / ".venv" / "kept").exists()


def test_an_environment_is_kept_when_the_network_is_down(project: Path) -> None:
    setup(project, interpreter(project), "demo")
    with (project / "pyproject.toml").open("a") as file:
        file.write("\n")
    shutil.copy(interpreter(project, pip="exit 1"), project / ".venv" / "bin" / "python")
    done = setup(project, project / "python", "demo")
    assert done.returncode == 1
    assert "installing failed; .venv is left as it is: see above, then run this again" in done.stderr
