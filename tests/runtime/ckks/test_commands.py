"""A program of full mode through the command line, from a file, a process's worth of state at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.command_line import call, succeed
from tests.runtime.ckks.programs import TINY_SECURE, tiny_inputs, tiny_outputs, tiny_program

import enclair
from enclair.compiler.ckks_parameters import CkksParameters


@dataclass(frozen=True)
class Desk:
    """A folder with programs, inputs, keys and an upload."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    program = tiny_program(TINY_SECURE)
    enclair.save(program, desk / "P.enclair")
    enclair.save_client(program.for_client(), desk / "P.client.enclair")
    np.savez(desk / "x.npz", **tiny_inputs(TINY_SECURE))
    made = succeed("keygen", desk / "P.client.enclair", "--keys", desk / "keys", "--json").json
    assert made["bytes"] == (desk / "keys" / "public.key").stat().st_size
    arguments = [desk / "P.client.enclair", "--keys", desk / "keys"]
    succeed("encrypt", *arguments, "--inputs", desk / "x.npz", "-o", desk / "up.bin")
    return desk


def serve(desk: Desk, folder: Path, *more: object) -> list[object]:
    keys = desk / "keys" / "public.key"
    return ["serve-stage", desk / "P.enclair", "--public-key", keys, "--state", folder, "-i", desk / "up.bin", *more]


def test_a_session_through_files(desk: Desk, tmp_path: Path) -> None:
    succeed(*serve(desk, tmp_path / "state", "-o", tmp_path / "down.bin"))
    arguments = [desk / "P.client.enclair", "--keys", desk / "keys"]
    succeed("decrypt", *arguments, "-i", tmp_path / "down.bin", "-o", tmp_path / "y.npz")
    outputs = np.load(tmp_path / "y.npz")["out"]
    np.testing.assert_allclose(outputs, tiny_outputs(**tiny_inputs(TINY_SECURE)), atol=1e-6)


def test_a_round_is_served_once(desk: Desk, tmp_path: Path) -> None:
    succeed(*serve(desk, tmp_path / "state", "-o", tmp_path / "one.bin"))
    done = call(*serve(desk, tmp_path / "state", "-o", tmp_path / "two.bin"))
    assert done.code != 0
    assert "was served already" in done.err


def test_a_program_of_full_mode_is_not_obfuscated(desk: Desk, tmp_path: Path) -> None:
    done = call(*serve(desk, tmp_path / "state", "-o", tmp_path / "down.bin", "--obfuscate", "permute"))
    assert done.code != 0
    assert "obfuscation is for the answers of split mode" in done.err


def test_keys_of_another_program(desk: Desk, tmp_path: Path) -> None:
    other = tiny_program(CkksParameters(8192, 2, 40, 49, 3))
    enclair.save_client(other.for_client(), tmp_path / "Q.client.enclair")
    arguments = [tmp_path / "Q.client.enclair", "--keys", desk / "keys", "--inputs", desk / "x.npz"]
    done = call("encrypt", *arguments, "-o", tmp_path / "up.bin")
    assert done.code != 0
    assert "make keys for this program with enclair keygen" in done.err


@pytest.mark.parametrize("backend", ["simulated", "clear", None])
def test_run_in_one_process(desk: Desk, tmp_path: Path, backend: str | None) -> None:
    chosen = ["--backend", backend] if backend else []
    arguments = ["run", desk / "P.enclair", "--inputs", desk / "x.npz", *chosen, "-o", tmp_path / "y.npz"]
    assert succeed(*arguments, "--json").json["backend"] == (backend or "ckks")
    outputs = np.load(tmp_path / "y.npz")["out"]
    np.testing.assert_allclose(outputs, tiny_outputs(**tiny_inputs(TINY_SECURE)), atol=1e-6)
