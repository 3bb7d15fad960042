"""``enclair.compile`` and ``enclair.verify``, on a CNN written with onnx alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import enclair
from enclair.answers import reference_answers, seen_by_client
from enclair.compiler.errors import CalibrationError
from enclair.compiler.ir.reference import run
from enclair.compiler.program import Program
from enclair.executions import VerificationError, farthest, first_divergence
from enclair.float_model import FloatModel, FloatModelError
from enclair.runtime.progress import Progress
from enclair.samples import Declared, by_name, cut, with_derived
from enclair.verification import Bound, Gap
from tests.small_models import cnn, images, model, two_in_two_out


@pytest.fixture(scope="module")
def program() -> Program:
    return enclair.compile(cnn(), images(8))


# --- compile ---


def test_names_are_loaded_on_first_use() -> None:
    assert {"compile", "verify", "inspect", "load", "save", "Session"} <= set(dir(enclair))
    with pytest.raises(AttributeError, match="module 'enclair' has no attribute 'compyle'"):
        _ = enclair.compyle


def test_a_path_bytes_and_a_model_in_memory_give_the_same_program(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "cnn.onnx"
    onnx.save(cnn(), path)
    for given in (path, str(path), path.read_bytes()):
        assert enclair.compile(given, {"x": images(8)}, name="cnn").digest() == program.digest()


def test_the_program_has_the_name_asked_for_or_the_files(tmp_path: Path) -> None:
    path = tmp_path / "lung nodule.onnx"
    onnx.save(cnn(), path)
    assert enclair.compile(path, images(4)).name == "lung nodule"
    assert enclair.compile(path, images(4), name="nodules").name == "nodules"


def test_samples_may_be_an_array_a_tuple_or_a_mapping(program: Program) -> None:
    for given in (images(8), (images(8),), [images(8)], {"x": images(8)}, {"x": images(8).astype(np.float64)}):
        assert enclair.compile(cnn(), given).digest() == program.digest()


def test_enough_samples_are_used_as_they_are(program: Program) -> None:
    assert program.facts["samples"] == {"given": 8, "derived": 0}


def test_few_samples_are_supplemented_and_counted() -> None:
    one, again = (enclair.compile(cnn(), images(1)) for _ in range(2))
    assert one.facts["samples"] == {"given": 1, "derived": 7}
    assert one.digest() == again.digest()


def test_derived_samples_differ_and_stay_in_the_range_of_those_given() -> None:
    given = [{"x": images(2)[i].astype(np.float64)} for i in range(2)]
    samples = with_derived(given)
    low, high = images(2).min(), images(2).max()
    assert len(samples) == 8
    assert samples[:2] == given
    assert all(low <= sample["x"].min() and sample["x"].max() <= high for sample in samples)
    assert len({sample["x"].tobytes() for sample in samples}) == 8
    np.testing.assert_array_equal(samples[2]["x"], given[0]["x"][..., ::-1])


def test_samples_are_cut_along_the_leading_axis() -> None:
    declared = [Declared("a", (2, 3)), Declared("b", (None, 4)), Declared("shared", (1, 5))]
    arrays = {"a": np.arange(18.0).reshape(6, 3), "b": np.zeros((3, 4)), "shared": np.ones((1, 5))}
    samples = cut(arrays, declared, batch=1)
    assert [{name: array.shape for name, array in sample.items()} for sample in samples] == [
        {"a": (2, 3), "b": (1, 4), "shared": (1, 5)}
    ] * 3
    np.testing.assert_array_equal(np.concatenate([sample["a"] for sample in samples]), arrays["a"])


def test_an_open_batch_is_the_one_asked_for() -> None:
    assert enclair.compile(cnn("n"), images(8)).inputs[0].shape == (1, 1, 8, 8)
    assert enclair.compile(cnn("n"), images(8), batch=2).inputs[0].shape == (2, 1, 8, 8)


def test_a_vector_of_open_length_and_a_number_are_whole_samples() -> None:
    assert cut({"v": np.ones(5)}, [Declared("v", (None,))], batch=1)[0]["v"].shape == (5,)
    assert cut({"s": np.array(2.0)}, [Declared("s", ())], batch=1)[0]["s"].shape == ()


def test_torch_tensors_are_samples_too() -> None:
    class Tensor:
        def detach(self) -> Tensor:
            return self

        def cpu(self) -> Any:
            return images(1)

    np.testing.assert_array_equal(by_name(Tensor(), ["x"])["x"], images(1))


def test_the_references_are_the_float_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bits bring fixed point near to a float model that is off."""
    exact = FloatModel.run
    monkeypatch.setattr(FloatModel, "run", lambda self, x: {name: y + 1 for name, y in exact(self, x).items()})
    with pytest.raises(enclair.CompileError, match=r"cannot be met: .* the outputs are off by 1 "):
        enclair.compile(cnn(), images(8))


def test_compile_says_what_it_does() -> None:
    said: list[str] = []
    enclair.compile(cnn(), images(4), progress=said.append)
    assert said == [
        "reading the model",
        "running the float model on 4 samples",
        "choosing bits, sides, layouts and parameters",
    ]


def test_the_source_in_the_program_is_the_model(program: Program) -> None:
    assert program.source is not None
    got = FloatModel(program.source).run({"x": images(1)})["y"]
    np.testing.assert_allclose(got, run(program.fixed, {"x": images(1)})["y"], atol=1e-4)


@pytest.mark.torch
def test_an_unmodified_torch_module_is_compiled_for_one_image() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))
    net = net.eval()
    compiled = enclair.compile(net, torch.from_numpy(images(8)))
    assert (compiled.name, compiled.inputs[0].shape) == ("Sequential", (1, 1, 8, 8))
    result = enclair.verify(compiled, images(2), "simulated")
    assert result.ok
    np.testing.assert_allclose(result.outputs["float"]["linear"], net(torch.from_numpy(images(2))).detach(), atol=1e-6)


def test_an_unknown_or_impossible_request_is_refused_before_the_model_is_read() -> None:
    with pytest.raises(enclair.CompileError, match="mode 'half' is not known: use one of split, full"):
        enclair.compile("/nowhere.onnx", None, mode="half")
    with pytest.raises(enclair.CompileError, match="batch must be at least 1, got 0"):
        enclair.compile("/nowhere.onnx", None, batch=0)
    with pytest.raises(enclair.CompileError, match="one line of printable characters, got 'a\\\\nb'"):
        enclair.compile(cnn(), images(4), name="a\nb")


def test_no_samples_are_refused() -> None:
    with pytest.raises(CalibrationError, match="needs at least one sample input, got none"):
        with_derived([])


def test_a_model_that_onnxruntime_refuses_is_an_error() -> None:
    with pytest.raises(FloatModelError, match=r"onnxruntime cannot load the model: .*; export it again"):
        FloatModel(model([onnx.helper.make_node("Nonsense", ["x"], ["y"])], {"x": [1]}, ["y"]).SerializeToString())


def test_a_float_model_that_overflows_is_an_error() -> None:
    exploding = FloatModel(model([onnx.helper.make_node("Exp", ["x"], ["y"])], {"x": [1]}, ["y"]).SerializeToString())
    with pytest.raises(FloatModelError, match="%y of the float model is not finite for this input"):
        exploding.run({"x": np.array([1e9])})
    with pytest.raises(FloatModelError, match="onnxruntime cannot run the float model"):
        exploding.run({"x": np.ones((2, 2))})


# --- verify ---


def test_the_four_executions_agree(program: Program) -> None:
    moments: list[Progress] = []
    result = enclair.verify(program, images(2, seed=3), per_layer=True, progress=moments.append)
    assert result.ok
    assert result.equal
    assert result.diverges is None
    assert [gap.max_abs for gap in result.gaps[1:]] == [0.0, 0.0]
    assert 0 < result.gaps[0].max_abs <= result.gaps[0].bound.value
    assert result.room_left_bits is not None
    assert result.room_left_bits > 0
    assert [layer.seen.value.name for layer in result.layers] == ["c1", "c2", "y.fixed"]
    assert {"poly_vs_float", "encrypted_vs_simulated"} <= result.layers[0].gaps.keys()
    assert max(layer.gaps.get("poly_vs_float", 0.0) for layer in result.layers) < 1e-3
    assert [moment.what for moment in moments[:3]] == ["float", "poly", "simulated"]
    assert moments[-1].done == pytest.approx(1.0)


def test_the_outputs_of_all_executions_are_there(program: Program) -> None:
    result = enclair.verify(program, {"x": images(2)}, "simulated")
    assert set(result.outputs) == {"float", "poly", "simulated", "encrypted"}
    assert {outputs["y"].shape for outputs in result.outputs.values()} == {(2, 3)}
    wanted = np.concatenate([run(program.fixed, {"x": images(2)[i : i + 1]})["y"] for i in range(2)])
    np.testing.assert_array_equal(result.outputs["encrypted"]["y"], wanted)


def test_json_has_the_promised_keys(program: Program) -> None:
    data = json.loads(json.dumps(enclair.verify(program, images(1), "clear").to_json()))
    assert data["equal"] is True
    assert data["rounds"] == 3
    assert set(data["gaps"]) == {"poly_vs_float", "simulated_vs_poly", "encrypted_vs_simulated"}
    for gap in data["gaps"].values():
        assert isinstance(gap["max_abs"], float)
        assert gap["bound"]["kind"] in {"proven", "calibrated"}
        assert isinstance(gap["bound"]["value"], float)
    assert {"client", "server", "total"} <= data["seconds"].keys()
    assert set(data["bytes"]) == {"up", "down", "keys"}
    assert data["peak_rss"] > 2**20


def test_several_inputs_and_outputs() -> None:
    samples = {"a": np.random.default_rng(0).normal(size=(6, 1, 4, 4)), "b": np.ones((1, 2, 4, 4))}
    compiled = enclair.compile(two_in_two_out(), samples)
    result = enclair.verify(compiled, {"a": samples["a"][:1], "b": samples["b"]}, "simulated")
    assert result.ok
    assert set(result.to_json()["outputs"]) == {"y", "z"}


def test_an_input_at_the_end_of_its_range_is_the_same_in_all_executions() -> None:
    """The float model's type rounds 0.1 up, beyond the range: reference and session clip it alike."""
    samples = {"a": np.random.default_rng(0).normal(size=(6, 1, 4, 4)), "b": np.full((1, 2, 4, 4), 0.1)}
    compiled = enclair.compile(two_in_two_out(), samples, input_ranges={"b": (0.0, 0.11)})
    narrow = replace(compiled, inputs=tuple(replace(i, high=0.1) if i.name == "b" else i for i in compiled.inputs))
    assert enclair.verify(narrow, {"a": samples["a"][:1], "b": samples["b"]}, "clear").equal


def test_saturation_is_counted_and_the_passed_bound_reported() -> None:
    dim = enclair.compile(cnn(), images(4) / 20, input_ranges={"x": (0.0, 1.0)})
    result = enclair.verify(dim, images(1), "clear")
    assert result.equal
    assert not result.ok
    assert not result.gaps[0].met
    assert "r1.q" in result.saturated
    assert result.to_json()["saturated"]["elements"] == sum(result.saturated.values()) > 0


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_gap_that_is_no_number_passes_its_bound_whichever_output_has_it(names: str) -> None:
    number, none = np.ones(2), np.array([1.0, np.nan])
    gap = farthest({names[0]: number, names[1]: none}, {names[0]: number, names[1]: number})
    assert not Gap("poly_vs_float", gap, Bound(1.0, "calibrated")).met


@pytest.mark.parametrize(("error", "equal"), [(1, True), (100_000, False)])
def test_a_wrong_server_weight_is_found_and_the_first_value_named(program: Program, error: int, equal: bool) -> None:
    """Even where rounding hides it from the outputs."""
    round_ = program.rounds[1]
    name = next(name for name in round_.server.arrays if name.endswith(".weights"))
    weights = round_.server.arrays[name].copy()
    weights.flat[0] += error
    server = replace(round_.server, arrays={**round_.server.arrays, name: weights})
    rounds = (program.rounds[0], replace(round_, server=server), program.rounds[2])
    result = enclair.verify(replace(program, rounds=rounds), images(1), "clear")
    assert not result.ok
    assert result.equal is equal
    assert result.diverges is not None
    assert (result.diverges.gap, result.diverges.value, result.diverges.round) == ("simulated_vs_poly", "c2", 2)
    assert result.diverges.first[0] == 0
    assert "simulated_vs_poly: %c2, round 2:" in str(result.diverges)


def test_a_wrong_encrypted_value_is_named(program: Program) -> None:
    watched = seen_by_client(program)
    _, right = reference_answers(program, [{"x": images(1)}])
    wrong = {name: [array.copy() for array in arrays] for name, arrays in right.items()}
    wrong["c2"][0][0, 1, 2, 3] += 1
    found = first_divergence(watched, {"poly": right, "simulated": right, "encrypted": wrong})
    assert found is not None
    assert (found.gap, found.value, found.elements) == ("encrypted_vs_simulated", "c2", 1)
    assert found.first == (0, 0, 1, 2, 3)


def test_a_program_without_its_model_or_its_bound_is_not_verified(program: Program) -> None:
    with pytest.raises(
        VerificationError, match=r"saved without the original model.*compile it again and keep the source"
    ):
        enclair.verify(replace(program, source=None), images(1))
    with pytest.raises(VerificationError, match="states no bound on its gap to the float model"):
        enclair.verify(replace(program, facts={}), images(1))
