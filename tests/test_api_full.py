"""``enclair.compile``, ``verify`` and ``Session`` in full mode, on models written with onnx and torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import enclair
from enclair.cli.output import plain
from enclair.cli.verification_text import verification_text
from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.errors import InputError
from enclair.compiler.ir.reference import run
from enclair.compiler.program import Program
from enclair.executions import VerificationError
from enclair.float_model import FloatModel
from enclair.runtime.backends.ckks.secret import CkksKeyHolder
from enclair.runtime.errors import ObfuscationError, RuntimeFailure
from enclair.runtime.progress import Progress
from tests.small_models import images, model, perceptron, rows, two_in_two_out

TOLERANCE = 0.05


@pytest.fixture(scope="module")
def program() -> Program:
    return enclair.compile(perceptron(), rows(8), mode="full", tolerance=TOLERANCE)


# --- compile ---


def test_a_path_bytes_and_a_model_in_memory_give_the_same_program(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "perceptron.onnx"
    onnx.save(perceptron(), path)
    for given in (path, path.read_bytes()):
        other = enclair.compile(given, {"x": rows(8)}, mode="full", tolerance=TOLERANCE, name="perceptron")
        assert other.digest() == program.digest()


def test_a_program_of_full_mode_is_one_round_with_all_that_is_known_of_it(program: Program) -> None:
    assert isinstance(program.parameters, CkksParameters)
    assert len(program.rounds) == 1
    facts = program.facts
    assert (facts["mode"], facts["tolerance"], facts["margin"]) == ("full", TOLERANCE, 0.25)
    assert facts["samples"] == {"given": 8, "derived": 0}
    assert facts["gap_bound"]["value"] + facts["noise_bound"]["value"] <= TOLERANCE
    assert [activation["op"] for activation in facts["activations"]] == ["Sigmoid()"]
    json.dumps(facts, allow_nan=False)


def test_compile_says_what_it_does() -> None:
    said: list[str] = []
    enclair.compile(perceptron(), rows(4), mode="full", tolerance=0.2, progress=said.append)
    assert said == ["reading the model", "running the float model on 4 samples", "fitting polynomials, packing, levels"]


def test_the_tolerance_is_a_thousandth_of_the_range_if_none_is_given() -> None:
    linear = model([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [1, 8]}, ["y"], {"w": ONES})
    made = enclair.compile(linear, rows(8), mode="full")
    largest = max(float(np.abs(row @ ONES).max()) for row in rows(8))
    assert made.facts["tolerance"] == pytest.approx(1e-3 * largest, rel=1e-6)
    assert made.facts["activations"] == []
    assert made.facts["gap_bound"]["value"] < 1e-6


ONES = np.ones((8, 2), dtype=np.float32)


def test_an_open_batch_is_the_one_asked_for() -> None:
    made = enclair.compile(perceptron("n"), rows(8), mode="full", tolerance=0.2, batch=2)
    assert made.inputs[0].shape == (2, 8)
    got = enclair.Session(made, "clear").run({"x": rows(4)})
    assert (got.batches, got.outputs["y"].shape) == (2, (4, 3))


def test_no_more_rotation_keys_than_asked_for() -> None:
    """A convolution over many channels uses more of them otherwise."""
    weights = {"w": np.random.default_rng(0).normal(0, 0.2, (4, 3, 5, 5)).astype(np.float32)}
    wide = model([onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[2] * 4)], {"x": [1, 3, 9, 9]}, ["y"], weights)
    samples = np.random.default_rng(1).uniform(-1, 1, (4, 3, 9, 9)).astype(np.float32)
    free, capped = (
        enclair.compile(wide, samples, mode="full", tolerance=0.05, max_rotation_keys=most) for most in (None, 16)
    )
    assert len(capped.keys.rotations) <= 16 < len(free.keys.rotations)
    got = [enclair.Session(made, "clear").run({"x": samples[:1]}).outputs["y"] for made in (free, capped)]
    np.testing.assert_allclose(*got, atol=1e-9)


@pytest.mark.torch
def test_an_unmodified_torch_module_is_compiled_for_one_image() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(128, 3))
    net = net.eval()
    made = enclair.compile(net, torch.from_numpy(images(8)), mode="full", tolerance=0.3)
    assert (made.name, made.inputs[0].shape) == ("Sequential", (1, 1, 8, 8))
    result = enclair.verify(made, images(2), "simulated", per_layer=True)
    assert result.ok
    np.testing.assert_allclose(result.outputs["float"]["linear"], net(torch.from_numpy(images(2))).detach(), atol=1e-6)
    origins = [layer.origin for layer in result.layers if hasattr(layer, "origin")]
    assert any(origins)
    assert any(origin and origin in enclair.inspect(made).to_text(400) for origin in origins)


@pytest.mark.parametrize(
    ("mode", "options", "words"),
    [
        ("full", {"activation_bits": 8}, "activation_bits is an option of split mode, got mode 'full': leave it out"),
        ("full", {"activation_bits": 8, "weight_bits": 8}, "activation_bits, weight_bits is an option of split mode"),
        ("full", {"finishing_sums": False}, "finishing_sums is an option of split mode, got mode 'full'"),
        ("split", {"max_ram": 1 << 30}, "max_ram is an option of full mode, got mode 'split': leave it out"),
        ("split", {"max_rotation_keys": 20}, "max_rotation_keys is an option of full mode, got mode 'split'"),
        ("full", {"max_rotation_keys": 3}, "max_rotation_keys must be at least 16, one for each power of two, got 3"),
        ("full", {"max_ram": 1000}, "max_ram is in bytes and must be at least 268435456, got 1000"),
        ("full", {"tolerance": 0.0}, r"tolerance must be positive, got 0\.0"),
        ("full", {"margin": -0.5}, r"margin must be 0 to 10, got -0\.5"),
    ],
)
def test_an_option_is_refused_before_the_model_is_read(mode: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(CompileError, match=words):
        enclair.compile("/nowhere.onnx", None, mode=mode, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tolerance": 1e-9}, r"tolerance of .* cannot be met"),
        ({"input_ranges": {"z": (0, 1)}}, "input_ranges names z; the model's inputs are x"),
        ({"input_ranges": {"x": (1, 0)}}, r"input_ranges\['x'\] must be \(low, high\) with low < high, got \(1, 0\)"),
        ({"input_ranges": {"x": (-0.5, 0.5)}}, r"input_ranges\['x'\] is \(-0.5, 0.5\), but the calibration data reach"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CompileError, match=words):
        enclair.compile(perceptron(), rows(4), mode="full", **options)


# --- ranges of inputs ---


def test_inputs_outside_of_the_range_are_refused_or_clipped_and_counted(program: Program) -> None:
    (spec,) = program.inputs
    session, far = enclair.Session(program, "clear"), {"x": np.full((1, 8), spec.high)}
    far["x"][0, :3] = [9.0, -9.0, 9.0]
    with pytest.raises(InputError, match=r"input 'x' .*9"):
        session.run(far)
    result = session.run(far, clip=True)
    assert result.clipped == {"x": 3}
    wanted = run(program.fixed, {"x": np.clip(far["x"], spec.low, spec.high)})
    np.testing.assert_allclose(result.outputs["y"], wanted["y"], atol=1e-9)


def test_declared_ranges_hold_without_a_margin() -> None:
    made = enclair.compile(perceptron(), rows(8), mode="full", tolerance=0.2, input_ranges={"x": (-1.0, 1.5)})
    assert (made.inputs[0].low, made.inputs[0].high) == (-1.0, 1.5)
    inside = {"x": np.tile([-1.0, 1.5], 4)[None]}
    assert enclair.Session(made, "clear").run(inside).clipped == {"x": 0}
    with pytest.raises(InputError):
        enclair.Session(made, "clear").run({"x": inside["x"] * 1.01})


# --- verify ---


def test_the_four_executions_agree(program: Program) -> None:
    moments: list[Progress] = []
    result = enclair.verify(program, rows(2, seed=3) * 0.9, per_layer=True, progress=moments.append)
    assert result.ok
    assert (result.equal, result.diverges, result.backend) == (None, None, "ckks")
    assert [gap.name for gap in result.gaps] == ["poly_vs_float", "simulated_vs_poly", "encrypted_vs_simulated"]
    assert [gap.bound.kind for gap in result.gaps] == ["calibrated", "rounding", "predicted"]
    assert 0 < result.gaps[2].max_abs <= result.gaps[2].bound.value
    assert [layer.value for layer in result.layers if hasattr(layer, "value")] == ["h", "a", "y"]
    executions = [moment.what for moment in moments if moment.what in {"float", "poly", "simulated", "encrypted"}]
    assert executions == ["float", "poly", "simulated", "encrypted"]
    assert moments[-1].done == pytest.approx(1.0)
    data = json.loads(json.dumps(plain(result.to_json()), allow_nan=False))
    assert data["ok"] is True
    assert [layer["met"] for layer in data["layers"]] == [True] * 3
    text = verification_text(result)
    assert "encrypted is within" in text
    assert "tolerance 0.05" in text
    assert "predicted" in text


def test_the_outputs_of_all_executions_are_there(program: Program) -> None:
    result = enclair.verify(program, {"x": rows(2)}, "simulated")
    assert set(result.outputs) == {"float", "poly", "simulated", "encrypted"}
    assert {outputs["y"].shape for outputs in result.outputs.values()} == {(2, 3)}
    assert program.source is not None
    floats = np.concatenate([FloatModel(program.source).run({"x": rows(2)[i : i + 1]})["y"] for i in range(2)])
    np.testing.assert_array_equal(result.outputs["float"]["y"], floats)
    assert np.abs(result.outputs["encrypted"]["y"] - floats).max() <= TOLERANCE


def test_a_wrong_weight_on_the_server_is_found(program: Program) -> None:
    (round_,) = program.rounds
    name = next(name for name in round_.server.arrays if name.startswith("vectors"))
    server = replace(round_.server, arrays={**round_.server.arrays, name: round_.server.arrays[name] * 1.01})
    result = enclair.verify(replace(program, rounds=(replace(round_, server=server),)), rows(1), "clear")
    assert not result.ok
    assert [gap.met for gap in result.gaps] == [True, False, True]


def test_more_noise_than_predicted_is_named_with_its_layer(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh keys are proven with the right decryption: they would be refused."""
    exact = CkksKeyHolder.decrypt
    monkeypatch.setattr("enclair.runtime.backends.ckks.keys.prove_keys", lambda _: None)
    monkeypatch.setattr(CkksKeyHolder, "decrypt", lambda self, *given: exact(self, *given) + 0.5)
    result = enclair.verify(program, rows(1), per_layer=True)
    assert not result.ok
    assert str(result.diverges).startswith("encrypted_vs_simulated: %h: 0.")
    assert "predicted at most" in str(result.diverges)
    assert "EXCEEDED" in verification_text(result)
    assert result.to_json()["diverges"] == result.diverges


def test_several_inputs_and_outputs() -> None:
    samples = {"a": np.random.default_rng(0).normal(size=(6, 1, 4, 4)), "b": np.ones((1, 2, 4, 4))}
    made = enclair.compile(two_in_two_out(), samples, mode="full", tolerance=0.5)
    result = enclair.verify(made, {"a": samples["a"][:1], "b": samples["b"]}, "simulated")
    assert result.ok
    assert set(result.to_json()["outputs"]) == {"y", "z"}


def test_a_program_without_its_model_is_not_verified(program: Program) -> None:
    with pytest.raises(VerificationError, match=r"saved without the original model.*compile it again and keep"):
        enclair.verify(replace(program, source=None), rows(1))


def test_backends_and_obfuscation_of_the_other_mode_are_refused(program: Program) -> None:
    with pytest.raises(RuntimeFailure, match="the backends are clear, simulated, ckks, got 'bfv'"):
        enclair.Session(program, "bfv")
    with pytest.raises(ObfuscationError, match=r"for the answers of split mode.* leave it out"):
        enclair.Session(program, "clear", obfuscate=["permute"])
