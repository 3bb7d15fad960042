"""The wheel holds the code under ``enclair`` and nothing else; the top-level folders are no packages of their own."""

import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("compiler", "frontends", "runtime")
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "src", *PARTS)
SECRET_KEY_MODULE = "enclair.runtime.backends.bfv.secret"


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def loaded_by(module: str, folder: Path) -> set[str]:
    """Return the modules of enclair, and the external ones, that importing ``module`` loads."""
    done = python(f"import {module}, sys; print(*sys.modules)", folder)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Build the wheel, without network, from a copy: building writes into the source folder."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source / name)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(out),
        ".",
    ]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = out.glob("enclair-*.whl")
    return ZipFile(built)


def test_wheel_holds_all_code_under_enclair(wheel: ZipFile) -> None:
    code = {f"enclair/{path.relative_to(ROOT)}" for part in PARTS for path in (ROOT / part).rglob("*.py")}
    own = ROOT / "src" / "enclair"
    code |= {f"enclair/{path.relative_to(own)}" for pattern in ("*.py", "cli/*.py") for path in own.glob(pattern)}
    assert code == {name for name in wheel.namelist() if name.endswith(".py")}


def test_wheel_holds_nothing_else(wheel: ZipFile) -> None:
    folders = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    assert folders == {"enclair", "enclair-0.1.0.dist-info"}
    assert {PurePosixPath(name).suffix for name in wheel.namelist() if name.startswith("enclair/")} == {".py", ".typed"}


def test_wheel_is_typed_licensed_and_has_the_command(wheel: ZipFile) -> None:
    assert {"enclair/py.typed", "enclair-0.1.0.dist-info/licenses/LICENSE"} <= set(wheel.namelist())
    assert "enclair = enclair.cli:app" in wheel.read("enclair-0.1.0.dist-info/entry_points.txt").decode()


def test_wheel_asks_for_a_python_in_which_openfhe_works(wheel: ZipFile) -> None:
    metadata = wheel.read("enclair-0.1.0.dist-info/METADATA").decode()
    assert "Requires-Python: !=3.11.*,<3.13,>=3.10" in metadata
    assert 'Requires-Dist: openfhe==1.6.1.0.22.4; python_version == "3.10"' in metadata
    assert 'Requires-Dist: openfhe==1.6.1.0.24.4; python_version == "3.12"' in metadata


@pytest.mark.parametrize("part", PARTS)
def test_top_level_folder_refuses_to_be_imported(part: str) -> None:
    done = python(f"import {part}", ROOT)
    assert done.returncode != 0
    assert f"import enclair.{part}, not {part}" in done.stderr


@pytest.mark.parametrize("part", PARTS)
def test_link_leads_to_the_top_level_folder(part: str) -> None:
    link = ROOT / "src" / "enclair" / part
    assert link.readlink() == Path("../..") / part
    assert link.resolve() == ROOT / part


@pytest.mark.parametrize(
    "module",
    [
        "enclair.cli.server_commands",
        "enclair.runtime.server",
        "enclair.runtime.executor",
        "enclair.runtime.backends.bfv.evaluate",
    ],
)
def test_server_code_loads_no_secret_key_code(module: str, tmp_path: Path) -> None:
    assert SECRET_KEY_MODULE not in loaded_by(module, tmp_path)


@pytest.mark.parametrize("module", ["enclair.compiler", "enclair.compiler.program"])
def test_compiler_loads_neither_openfhe_nor_torch_nor_the_runtime(module: str, tmp_path: Path) -> None:
    assert not {"openfhe", "torch", "enclair.runtime", "enclair.frontends"} & loaded_by(module, tmp_path)


def test_the_package_alone_loads_nothing_large(tmp_path: Path) -> None:
    assert not {"openfhe", "torch", "onnxruntime", "onnx", "numpy", "scipy"} & loaded_by("enclair", tmp_path)


@pytest.mark.parametrize("module", ["enclair", "enclair.api", "enclair.cli", "enclair.frontends"])
def test_compiling_onnx_loads_neither_openfhe_nor_torch(module: str, tmp_path: Path) -> None:
    assert not {"openfhe", "torch"} & loaded_by(module, tmp_path)
