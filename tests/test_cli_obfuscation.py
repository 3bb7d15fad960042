"""``--obfuscate`` on the command line: outputs as without it, and a plain word on what it cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import enclair
from enclair.cli.output import plain
from enclair.compiler.ir.reference import run
from enclair.compiler.obfuscation import analyse
from tests.command_line import Done, Workshop, call, exchange, succeed
from tests.small_models import images, model

UNKNOWN = "obfuscation is permute or scale, got 'shuffle'"


def two_convolutions() -> onnx.ModelProto:
    """Four channels, ReLU, two channels."""
    random = np.random.default_rng(0)
    shapes = {"w1": (4, 1, 3, 3), "b1": (4,), "w2": (2, 4, 3, 3)}
    constants = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["y"], pads=[1] * 4),
    ]
    return model(nodes, {"x": [1, 1, 8, 8]}, ["y"], constants, "two_convolutions")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    program = enclair.compile(two_convolutions(), images(8), tolerance=1e-2)
    enclair.save(program, folder / "P.enclair")
    enclair.save_client(program.for_client(), folder / "P.client.enclair")
    np.savez(folder / "one.npz", x=images(1))
    return Workshop(folder)


@pytest.fixture(scope="module")
def wanted(workshop: Workshop) -> np.ndarray:
    """``y`` of ``one.npz`` by the fixed-point reference."""
    return run(enclair.load(workshop / "P.enclair").fixed, {"x": images(1)})["y"]


def obfuscated(kinds: str) -> Any:
    def serve(*arguments: object) -> Done:
        return call(*arguments, "--obfuscate", kinds)

    return serve


def test_run_gives_the_same_answer_and_says_what_it_did(workshop: Workshop, wanted: np.ndarray, tmp_path: Path) -> None:
    arguments = ["run", workshop / "P.enclair", "--inputs", workshop / "one.npz", "--backend", "simulated"]
    done = succeed(*arguments, "--obfuscate", "permute,scale", "-o", tmp_path / "y.npz", "--json")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["y"], wanted)
    points = analyse(enclair.load(workshop / "P.enclair")).points
    assert [(row["round"], row["value"]) for row in done.json["obfuscation"]] == [(1, "c1"), (2, "y.fixed")]
    for row, point in zip(done.json["obfuscation"], points, strict=True):
        assert row["permute"] == {"channels": point.channels, "why_not": point.not_permuted}
        assert row["scale"] == {"largest_factor": point.largest_factor, "why_not": point.not_scaled}
    assert done.json["obfuscation"][0]["permute"] == {"channels": 4, "why_not": ""}
    assert "c1 is not permuted" not in done.err
    assert "round 2: y.fixed is not permuted: %y is an output of the model" in done.err


def test_run_says_nothing_of_what_is_not_asked_for(workshop: Workshop, tmp_path: Path) -> None:
    arguments = ["run", workshop / "P.enclair", "--inputs", workshop / "one.npz", "--backend", "clear", "--json"]
    done = succeed(*arguments, "--obfuscate", "scale", "-o", tmp_path / "y.npz")
    assert all("permute" not in row and "scale" in row for row in done.json["obfuscation"])
    assert "permuted" not in done.err
    assert succeed(*arguments, "-o", tmp_path / "z.npz").json["obfuscation"] == []


def test_rounds_through_files(workshop: Workshop, wanted: np.ndarray, tmp_path: Path) -> None:
    calls = (call, call, obfuscated("permute,scale"), call)
    np.testing.assert_array_equal(np.load(exchange(workshop, tmp_path, "one.npz", calls))["y"], wanted)
    assert list((tmp_path / "server").rglob("permutations"))


def test_unknown_kinds_are_refused_before_anything_is_done(workshop: Workshop, tmp_path: Path) -> None:
    files = ["--public-key", tmp_path / "none", "--state", tmp_path / "state", "-i", tmp_path / "none"]
    for command, rest in (("run", ["--inputs", workshop / "one.npz"]), ("serve-stage", files)):
        done = call(command, workshop / "P.enclair", *rest, "-o", tmp_path / "y", "--obfuscate", "permute,shuffle")
        assert done.code == 2
        assert UNKNOWN in done.err
        assert not (tmp_path / "y").exists()


def test_inspect_says_what_can_be_obfuscated_and_what_it_is_worth(workshop: Workshop) -> None:
    program = enclair.load(workshop / "P.enclair")
    text = " ".join(succeed("inspect", workshop / "P.enclair").out.split())
    assert "What a server that obfuscates can permute and scale" in text
    assert "| 1 | c1 | 4 channels |" in text
    assert "no: %y is an output of the model" in text
    for statement in (
        "hides which channel is which, not the weights up to their order",
        "least squares still gives every filter up to the permutation",
        "a greatest common divisor gives them too",
        "Neither protects against a client that knows the structure of the model",
        "sessions can be linked by matching filters",
    ):
        assert statement in text
    data = succeed("inspect", workshop / "P.enclair", "--json").json
    assert data == plain(enclair.inspect(program).to_json())
    assert data["obfuscation"][0]["channels"] == 4
