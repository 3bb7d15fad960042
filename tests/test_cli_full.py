"""The command line from end to end in full mode, on a perceptron written with onnx alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import enclair
from enclair.cli.output import plain
from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.reference import run
from enclair.compiler.parameters import INSECURE
from tests.command_line import Workshop, call, exchange, spawn, succeed
from tests.small_models import perceptron, rows

TOLERANCE = 0.05
SECRET_KEY_MODULE = "enclair.runtime.backends.ckks.secret"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """What ``open_workshop`` makes, by commands, with a perceptron."""
    folder = tmp_path_factory.mktemp("workshop")
    onnx.save(perceptron(), folder / "m.onnx")
    for name, count in (("samples", 8), ("one", 1), ("two", 2)):
        np.savez(folder / f"{name}.npz", x=rows(count))
    made = Workshop(folder)
    succeed(*compiling(made), "-o", folder / "P.enclair")
    succeed("export-client", folder / "P.enclair", "-o", folder / "P.client.enclair")
    return made


@pytest.fixture(scope="module")
def served(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the messages of a session that went through."""
    folder = tmp_path_factory.mktemp("served")
    exchange(workshop, folder, "one.npz")
    return folder


@pytest.fixture(scope="module")
def wanted(workshop: Workshop) -> np.ndarray:
    """``y`` of ``two.npz`` by the polynomials."""
    fixed = enclair.load(workshop / "P.enclair").fixed
    return np.concatenate([run(fixed, {"x": rows(2)[i : i + 1].astype(np.float64)})["y"] for i in range(2)])


def compiling(workshop: Workshop) -> list[object]:
    arguments = ["compile", workshop / "m.onnx", "--inputs", workshop / "samples.npz", "--mode", "full"]
    return [*arguments, "--tolerance", str(TOLERANCE), "--name", "m"]


def noise_bound(workshop: Workshop) -> float:
    """Of one run, with what compiling could not know of its inputs."""
    return 4 * float(enclair.load(workshop / "P.enclair").facts["noise_bound"]["value"])


def refused(kind: str, *arguments: object) -> str:
    """The message of a command that must be refused; the same as text and as JSON."""
    done, as_json = call(*arguments), call(*arguments, "--json")
    assert (done.code, done.out, as_json.code) == (2, "", 2), done.err
    assert done.err.startswith("error: ")
    assert as_json.json["error"] == {"kind": kind, "message": done.err.removeprefix("error: ").removesuffix("\n")}
    return done.err


def test_compile_writes_the_program_and_says_what_it_is(workshop: Workshop, tmp_path: Path) -> None:
    done = succeed(*compiling(workshop), "-o", tmp_path / "P.enclair", "--json")
    assert (done.json["mode"], done.json["rounds"], done.json["tolerance"]) == ("full", 1, TOLERANCE)
    assert done.json["gap_bound"]["value"] + done.json["noise_bound"]["value"] <= TOLERANCE
    assert done.json["digest"] == enclair.load(tmp_path / "P.enclair").digest()
    assert done.json["parameters"]["ring_dim"] == enclair.load(tmp_path / "P.enclair").parameters.ring_dim
    assert done.json["bytes"] == (tmp_path / "P.enclair").stat().st_size
    assert (tmp_path / "P.enclair").read_bytes() == (workshop / "P.enclair").read_bytes()
    text = succeed(*compiling(workshop), "--input-range", "x=-1:2", "-o", tmp_path / "Q.enclair").out
    assert "Q.enclair: one round, polynomials at most" in text
    assert "noise at most" in text
    assert enclair.load(tmp_path / "Q.enclair").inputs[0].high == 2.0


def test_inspect_prints_text_or_json(workshop: Workshop) -> None:
    text = succeed("inspect", workshop / "P.enclair").out
    data = succeed("inspect", workshop / "P.enclair", "--json").json
    report = enclair.inspect(enclair.load(workshop / "P.enclair"))
    assert text.strip() == report.to_text().strip()
    assert data == plain(report.to_json())
    assert data["mode"] == "full"


def test_verify_exits_with_0_when_all_is_well(workshop: Workshop) -> None:
    arguments = ["verify", workshop / "P.enclair", "--inputs", workshop / "two.npz", "--per-layer"]
    done = succeed(*arguments)
    assert "encrypted is within" in done.out
    assert "layers" in done.out
    data = succeed(*arguments, "--json").json
    assert (data["ok"], data["equal"], data["backend"], data["batches"]) == (True, None, "ckks", 2)
    assert [layer["value"] for layer in data["layers"]] == ["h", "a", "y"]
    assert data["gaps"]["encrypted_vs_simulated"]["met"] is True


def test_verify_exits_with_1_when_a_bound_is_passed(workshop: Workshop, tmp_path: Path) -> None:
    program = enclair.load(workshop / "P.enclair")
    facts = {**program.facts, "gap_bound": {"value": 1e-12, "kind": "calibrated"}}
    enclair.save(replace(program, facts=facts), tmp_path / "P.enclair")
    arguments = ["verify", tmp_path / "P.enclair", "--inputs", workshop / "one.npz", "--backend", "simulated"]
    done = call(*arguments)
    assert (done.code, done.err) == (1, "")
    assert "EXCEEDED" in done.out
    as_json = call(*arguments, "--json")
    assert (as_json.code, as_json.json["ok"]) == (1, False)


def test_run_gives_the_polynomials_answer(workshop: Workshop, wanted: np.ndarray, tmp_path: Path) -> None:
    arguments = ["run", workshop / "P.enclair", "--inputs", workshop / "two.npz"]
    data = succeed(*arguments, "-o", tmp_path / "y.npz", "--json").json
    assert (data["batches"], data["rounds"], data["outputs"]) == (2, 1, {"y": [2, 3]})
    assert (data["backend"], data["clipped"], data["saturated"]) == ("ckks", {"x": 0}, {})
    np.testing.assert_allclose(np.load(tmp_path / "y.npz")["y"], wanted, atol=noise_bound(workshop))
    text = succeed(*arguments, "-o", tmp_path / "z.npz", "--backend", "simulated").out
    assert "z.npz: 2 x 1 rounds" in text
    np.testing.assert_allclose(np.load(tmp_path / "z.npz")["y"], wanted, atol=1e-9)


def test_inputs_out_of_range_are_refused_or_clipped_and_counted(workshop: Workshop, tmp_path: Path) -> None:
    np.savez(tmp_path / "far.npz", x=rows(1) * 3)
    far = int((np.abs(rows(1)) * 3 > enclair.load(workshop / "P.enclair").inputs[0].high).sum())
    arguments = ["--inputs", tmp_path / "far.npz", "-o", tmp_path / "out"]
    run_clear = ["run", workshop / "P.enclair", *arguments, "--backend", "clear"]
    assert "input 'x'" in refused("InputError", *run_clear)
    done = succeed(*run_clear, "--clip", "--json")
    assert done.json["clipped"] == {"x": far}
    assert f"{far} input elements were clipped" in done.err
    part = [workshop / "P.client.enclair", "--keys", tmp_path / "keys"]
    succeed("keygen", *part)
    arguments[-1] = tmp_path / "up.msg"
    assert "input 'x'" in refused("InputError", "encrypt", *part, *arguments)
    succeed("encrypt", *part, *arguments, "--clip")


def test_client_and_server_are_processes_with_files_between_them(
    workshop: Workshop, wanted: np.ndarray, tmp_path: Path
) -> None:
    result = exchange(workshop, tmp_path, "two.npz", calls=(spawn,) * 4)
    np.testing.assert_allclose(np.load(result)["y"], wanted, atol=noise_bound(workshop))
    assert list((tmp_path / "keys" / "sessions").iterdir()) == []


def serving(workshop: Workshop, served: Path, folder: Path, **changed: object) -> list[object]:
    given = {"public-key": served / "keys" / "public.key", "state": folder / "state", "input": served / "up1.msg"}
    flags = [part for name, value in (given | changed).items() for part in (f"--{name}", value)]
    return ["serve-stage", workshop / "P.enclair", *flags, "-o", folder / "down.msg"]


def test_the_serving_process_never_loads_secret_key_code(workshop: Workshop, served: Path, tmp_path: Path) -> None:
    code = (
        "import atexit, sys\n"
        "from enclair.cli import app\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "app()"
    )
    line = [sys.executable, "-c", code, *map(str, serving(workshop, served, tmp_path))]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "openfhe" in done.stderr.split()
    assert SECRET_KEY_MODULE not in done.stderr.split()


def test_keys_and_uploads_of_another_program_are_refused(workshop: Workshop, served: Path, tmp_path: Path) -> None:
    other = enclair.compile(perceptron(seed=1), rows(8), mode="full", tolerance=TOLERANCE)
    enclair.save_client(other.for_client(), tmp_path / "other.enclair")
    made = [tmp_path / "other.enclair", "--keys", tmp_path / "keys"]
    succeed("keygen", *made)
    succeed("encrypt", *made, "--inputs", workshop / "one.npz", "-o", tmp_path / "up.msg")
    key = {"public-key": tmp_path / "keys" / "public.key"}
    assert "a message for program" in refused("WrongProgram", *serving(workshop, served, tmp_path, **key))
    upload = {"input": tmp_path / "up.msg"}
    assert "a message for program" in refused("WrongProgram", *serving(workshop, served, tmp_path, **upload))
    secret = {"public-key": served / "keys" / "secret.key"}
    message = refused("SecretKeyOffered", *serving(workshop, served, tmp_path, **secret))
    assert "this is a secret key: it must never leave the client" in message


def test_altered_and_cut_messages_are_refused(workshop: Workshop, served: Path, tmp_path: Path) -> None:
    data = bytearray((served / "up1.msg").read_bytes())
    (tmp_path / "cut.msg").write_bytes(data[:-100])
    data[5000] ^= 1
    (tmp_path / "altered.msg").write_bytes(data)
    broken = {name: serving(workshop, served, tmp_path, input=tmp_path / f"{name}.msg") for name in ("cut", "altered")}
    assert "send it again" in refused("Truncated", *broken["cut"])
    assert "checksum does not fit, so it was altered on the way" in refused("Altered", *broken["altered"])
    key = bytearray((served / "keys" / "public.key").read_bytes())
    key[-5000] ^= 1
    (tmp_path / "public.key").write_bytes(key)
    altered = serving(workshop, served, tmp_path, **{"public-key": tmp_path / "public.key"})
    assert "checksum does not fit" in refused("Altered", *altered)


def test_an_insecure_program_is_neither_loaded_silently_nor_served(
    workshop: Workshop, served: Path, tmp_path: Path
) -> None:
    program = enclair.load(workshop / "P.enclair")
    assert isinstance(program.parameters, CkksParameters)
    weak = replace(program, parameters=replace(program.parameters, security=INSECURE))
    enclair.save(weak, tmp_path / "P.enclair")
    for name in ("samples.npz", "one.npz"):
        shutil.copy(workshop / name, tmp_path / name)
    with pytest.warns(UserWarning, match="protect nothing"):
        message = refused("InsecureParameters", *serving(Workshop(tmp_path), served, tmp_path))
    assert "they protect nothing; compile it with secure parameters" in message


def test_files_of_the_wrong_kind_or_damaged_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    message = refused("WrongKind", "keygen", workshop / "P.enclair", "--keys", tmp_path / "keys")
    assert "this is a whole program" in message
    assert "needed is a client's program" in message
    message = refused("WrongKind", "inspect", workshop / "P.client.enclair")
    assert "this is a client's program" in message
    data = bytearray((workshop / "P.enclair").read_bytes())
    (tmp_path / "cut.enclair").write_bytes(data[:-100])
    data[len(data) // 2] ^= 1
    (tmp_path / "altered.enclair").write_bytes(data)
    for name in ("cut", "altered"):
        assert "get the file again" in refused("DamagedArtifact", "inspect", tmp_path / f"{name}.enclair")


def test_options_of_the_other_mode_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    split = ["compile", workshop / "m.onnx", "--inputs", workshop / "samples.npz", "-o", tmp_path / "P.enclair"]
    message = refused("CompileError", *split, "--mode", "full", "--no-finishing-sums")
    assert "finishing_sums is an option of split mode, got mode 'full': leave it out" in message
    message = refused("CompileError", *split, "--max-rotation-keys", "20")
    assert "max_rotation_keys is an option of full mode, got mode 'split': leave it out" in message
    assert "max_ram is in bytes" in refused("CompileError", *split, "--mode", "full", "--max-ram", "5")
    run_it = ["run", workshop / "P.enclair", "--inputs", workshop / "one.npz", "-o", tmp_path / "y.npz"]
    assert "for the answers of split mode" in refused("ObfuscationError", *run_it, "--obfuscate", "permute")
    words = "the backends are clear, simulated, ckks, got 'bfv'"
    assert words in refused("RuntimeFailure", *run_it, "--backend", "bfv")
    assert list(tmp_path.iterdir()) == []
