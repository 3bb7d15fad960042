"""The command line from end to end, on a CNN written with onnx alone."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import enclair
from enclair.cli.files import arrays_as_bytes, write_file
from enclair.cli.main import commands
from enclair.cli.output import plain, size_text
from enclair.compiler.ir.reference import run
from enclair.doctor import Check
from tests.command_line import Workshop, call, command, exchange, open_workshop, spawn, succeed
from tests.small_models import images

SECRET_KEY_MODULE = "enclair.runtime.backends.bfv.secret"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return open_workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def wanted(workshop: Workshop) -> np.ndarray:
    """``y`` of ``two.npz`` by the fixed-point reference."""
    fixed = enclair.load(workshop / "P.enclair").fixed
    return np.concatenate([run(fixed, {"x": images(2)[i : i + 1]})["y"] for i in range(2)])


def test_compile_writes_the_program_and_says_what_it_is(workshop: Workshop, tmp_path: Path) -> None:
    arguments = ["compile", workshop / "cnn.onnx", "--inputs", workshop / "samples.npz", "--mode", "split"]
    done = succeed(*arguments, "--tolerance", "1e-3", "-o", tmp_path / "P.enclair", "--json")
    assert done.json["rounds"] == 3
    assert done.json["tolerance"] == 1e-3
    assert done.json["gap_bound"]["value"] <= 1e-3
    assert done.json["digest"] == enclair.load(tmp_path / "P.enclair").digest()
    assert done.json["bytes"] == (tmp_path / "P.enclair").stat().st_size
    text = succeed(*arguments, "--input-range", "x=0:2", "--name", "other", "-o", tmp_path / "Q.enclair").out
    assert "Q.enclair: 3 rounds" in text
    assert enclair.load(tmp_path / "Q.enclair").inputs[0].high == 2.0


def test_compile_warns_of_few_samples(workshop: Workshop, tmp_path: Path) -> None:
    done = succeed("compile", workshop / "cnn.onnx", "--inputs", workshop / "one.npz", "-o", tmp_path / "P.enclair")
    assert "7 samples were derived from the 1 given" in done.err


def test_compile_without_source_leaves_the_model_out(workshop: Workshop, tmp_path: Path) -> None:
    arguments = [workshop / "cnn.onnx", "--inputs", workshop / "samples.npz", "-o", tmp_path / "P.enclair"]
    succeed("compile", *arguments, "--no-source")
    assert enclair.load(tmp_path / "P.enclair").source is None


def test_inspect_prints_text_or_json(workshop: Workshop) -> None:
    text = succeed("inspect", workshop / "P.enclair").out
    data = succeed("inspect", workshop / "P.enclair", "--json").json
    report = enclair.inspect(enclair.load(workshop / "P.enclair"))
    assert text.strip() == report.to_text().strip()
    assert data == plain(report.to_json())


def test_verify_exits_with_0_when_all_is_well(workshop: Workshop) -> None:
    done = succeed("verify", workshop / "P.enclair", "--inputs", workshop / "two.npz", "--per-layer")
    assert "encrypted == fixed point, bit for bit: 0 differences" in done.out
    assert "poly_vs_float" in done.out
    assert "c2" in done.out
    data = succeed("verify", workshop / "P.enclair", "--inputs", workshop / "one.npz", "--json").json
    assert data["equal"] is True
    assert data["ok"] is True
    assert data["backend"] == "bfv"


def test_verify_exits_with_1_when_a_bound_is_passed(workshop: Workshop, tmp_path: Path) -> None:
    program = enclair.load(workshop / "P.enclair")
    facts = {**program.facts, "gap_bound": {"value": 1e-12, "kind": "calibrated"}}
    enclair.save(replace(program, facts=facts), tmp_path / "P.enclair")
    arguments = ["verify", tmp_path / "P.enclair", "--inputs", workshop / "one.npz", "--backend", "clear"]
    done = call(*arguments)
    assert done.code == 1
    assert "EXCEEDED" in done.out
    assert done.err == ""
    as_json = call(*arguments, "--json")
    assert as_json.code == 1
    assert as_json.json["ok"] is False
    assert as_json.json["gaps"]["poly_vs_float"]["met"] is False


def test_verify_names_saturated_values(workshop: Workshop, tmp_path: Path) -> None:
    program = enclair.compile(workshop / "cnn.onnx", images(4) / 20, input_ranges={"x": (0.0, 1.0)})
    enclair.save(program, tmp_path / "P.enclair")
    done = call("verify", tmp_path / "P.enclair", "--inputs", workshop / "one.npz", "--backend", "simulated")
    assert done.code == 1
    assert "values saturated (r1.q" in done.out


def test_run_gives_the_fixed_point_answer(workshop: Workshop, wanted: np.ndarray, tmp_path: Path) -> None:
    arguments = ["run", workshop / "P.enclair", "--inputs", workshop / "two.npz"]
    data = succeed(*arguments, "-o", tmp_path / "y.npz", "--json").json
    assert (data["batches"], data["rounds"], data["outputs"]) == (2, 3, {"y": [2, 3]})
    assert data["bytes"]["up"] > data["bytes"]["down"] > 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["y"], wanted)
    text = succeed(*arguments, "-o", tmp_path / "z.npz", "--backend", "simulated").out
    assert "z.npz: 2 x 3 rounds" in text
    assert (tmp_path / "z.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_run_clips_and_counts_when_asked(workshop: Workshop, tmp_path: Path) -> None:
    np.savez(tmp_path / "bright.npz", x=images(1) * 3)
    arguments = [
        "--inputs",
        tmp_path / "bright.npz",
        "--backend",
        "clear",
        "--clip",
        "-o",
        tmp_path / "y.npz",
        "--json",
    ]
    done = succeed("run", workshop / "P.enclair", *arguments)
    assert done.json["clipped"]["x"] > 0
    assert f"{done.json['clipped']['x']} input elements were clipped" in done.err


def test_client_and_server_are_processes_with_files_between_them(
    workshop: Workshop, wanted: np.ndarray, tmp_path: Path
) -> None:
    result = exchange(workshop, tmp_path, "two.npz", calls=(spawn,) * 4)
    np.testing.assert_array_equal(np.load(result)["y"], wanted)


def test_what_the_client_keeps_is_private_and_goes_in_the_end(workshop: Workshop, tmp_path: Path) -> None:
    part, keys = workshop / "P.client.enclair", tmp_path / "keys"
    succeed("keygen", part, "--keys", keys)
    data = succeed(
        "encrypt", part, "--keys", keys, "--inputs", workshop / "two.npz", "-o", tmp_path / "up.msg", "--json"
    ).json
    kept = [keys / "secret.key", *Path(data["state"]).iterdir()]
    assert len(kept) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    whole = tmp_path / "whole"
    whole.mkdir()
    result = exchange(workshop, whole, "one.npz")
    assert stat.S_IMODE(result.stat().st_mode) == 0o600
    assert list((result.parent / "keys" / "sessions").iterdir()) == []


def test_the_serving_process_never_loads_secret_key_code(workshop: Workshop, tmp_path: Path) -> None:
    part, keys = workshop / "P.client.enclair", tmp_path / "keys"
    succeed("keygen", part, "--keys", keys)
    succeed("encrypt", part, "--keys", keys, "--inputs", workshop / "one.npz", "-o", tmp_path / "up.msg")
    arguments = ["--public-key", keys / "public.key", "--state", tmp_path / "s", "-i", tmp_path / "up.msg"]
    code = (
        "import atexit, sys\n"
        "from enclair.cli import app\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "app()"
    )
    line = ["serve-stage", workshop / "P.enclair", *arguments, "-o", tmp_path / "down.msg"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, line)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "openfhe" in done.stderr.split()
    assert SECRET_KEY_MODULE not in done.stderr.split()


def test_force_overwrites(workshop: Workshop, tmp_path: Path) -> None:
    output = tmp_path / "client.enclair"
    output.write_bytes(b"old")
    assert call("export-client", workshop / "P.enclair", "-o", output).code == 2
    assert output.read_bytes() == b"old"
    data = succeed("export-client", workshop / "P.enclair", "-o", output, "--force", "--json").json
    assert enclair.load_client(output).digest() == data["digest"]


def test_a_failed_command_leaves_no_output_behind(workshop: Workshop, tmp_path: Path) -> None:
    np.savez(tmp_path / "dark.npz", x=images(1) - 9)
    arguments = ["--inputs", tmp_path / "dark.npz", "--backend", "clear", "-o", tmp_path / "y.npz"]
    assert call("run", workshop / "P.enclair", *arguments).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["dark.npz"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(tmp_path / "out", b"data", force=False)
    assert list(tmp_path.iterdir()) == []


def test_arrays_are_written_the_same_every_time_whatever_their_names(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3.0), "a/b": np.float64(2.0) * np.ones(())}
    (tmp_path / "a.npz").write_bytes(arrays_as_bytes(arrays))
    assert arrays_as_bytes(arrays) == arrays_as_bytes(arrays)
    read = np.load(tmp_path / "a.npz")
    assert {name: read[name].shape for name in read.files} == {"file": (3,), "a/b": ()}


def test_progress_with_an_estimate_is_shown_on_a_terminal(workshop: Workshop, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    arguments = ["run", workshop / "P.enclair", "--inputs", workshop / "one.npz", "-o", tmp_path / "y.npz", "--json"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(command(*arguments), stdout=subprocess.PIPE, stderr=theirs, check=False, env=environment)
    os.close(theirs)
    shown = _read_all(ours)
    assert done.returncode == 0, shown
    assert "100%" in shown
    assert "s left" in shown
    assert json.loads(done.stdout)["rounds"] == 3


def _read_all(terminal: int) -> str:
    pieces = []
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            piece = b""
        if not piece:
            os.close(terminal)
            return b"".join(pieces).decode()
        pieces.append(piece)


def test_nothing_but_the_result_is_printed_elsewhere(workshop: Workshop, tmp_path: Path) -> None:
    done = spawn("run", workshop / "P.enclair", "--inputs", workshop / "one.npz", "-o", tmp_path / "y.npz")
    assert done.err == ""
    assert len(done.out.splitlines()) == 1


def test_doctor_prints_remedies_and_exits_with_1_when_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checks = [Check("memory", True, "8 GiB"), Check("threads", False, "OMP_NUM_THREADS=99", "unset OMP_NUM_THREADS")]
    asked: list[Path | None] = []
    monkeypatch.setattr("enclair.doctor.run_checks", lambda keys: asked.append(keys) or checks)
    done = call("doctor", "--keys", tmp_path)
    assert done.code == 1
    assert done.out.splitlines() == [
        "ok    memory: 8 GiB",
        "FAIL  threads: OMP_NUM_THREADS=99",
        "      threads: unset OMP_NUM_THREADS",
    ]
    data = call("doctor", "--json").json
    assert data["ok"] is False
    assert data["checks"][1]["remedy"] == "unset OMP_NUM_THREADS"
    checks.pop()
    assert succeed("doctor", "--json").json["ok"] is True
    assert asked == [tmp_path, None, None]


def test_every_command_has_help_and_json() -> None:
    for name in [str(each.name) for each in commands.registered_commands]:
        text = succeed(name, "--help").out
        assert "--json" in text, name
    assert succeed("--version").out == f"enclair {enclair.__version__}\n"


def test_numbers_and_sizes_are_printed_as_people_read_them() -> None:
    assert [size_text(size) for size in (0, 999, 1000, 3_000_000, 5 * 10**12)] == [
        "0 B", "999 B", "1.0 kB", "3.0 MB", "5000.0 GB"
    ]  # fmt: skip
    assert plain({"a": (float("inf"), 1.5), 2: None}) == {"a": [None, 1.5], "2": None}
