"""Broken, oversized and malicious ONNX files are refused, in words that say what to do."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.frontends.onnx_models import FLOAT, model_of, normal

from enclair.compiler.ir.errors import EnclairError
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.verify import verify
from enclair.frontends.errors import ModelFileError, ModelShapeError, UnsupportedModel
from enclair.frontends.limits import Limits
from enclair.frontends.model_to_graph import to_graph
from enclair.frontends.onnx_convert import convert
from enclair.frontends.onnx_load import load

WEIGHT = normal(0, 3, 2, 3, 3)


def small_model() -> onnx.ModelProto:
    """One convolution with 54 weights."""
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    return model_of([node], {"x": (1, 2, 5, 5)}, ["y"], {"w": WEIGHT})


def with_external_weight(location: str, **entries: int | str) -> onnx.ModelProto:
    """The small model with its weight in another file."""
    model = small_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    """The model as a file, written without onnx's own treatment of external data."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def refusal(source: Path | bytes | onnx.ModelProto, limits: Limits | None = None) -> str:
    """The message with which a source is refused."""
    with pytest.raises(ModelFileError) as raised:
        convert(load(source, limits), limits=limits)
    return str(raised.value)


def test_a_good_file_is_loaded(tmp_path: Path) -> None:
    assert load(saved(small_model(), tmp_path)) == load(small_model()) == load(small_model().SerializeToString())


@pytest.mark.parametrize("entries", [{}, {"offset": 8, "length": WEIGHT.nbytes}])
def test_external_data_beside_the_model_are_loaded(tmp_path: Path, entries: dict[str, int]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(b"\0" * int(entries.get("offset", 0)) + WEIGHT.tobytes())
    path = saved(with_external_weight("data/w.bin", **entries), tmp_path)
    graph, model = to_graph(path)
    np.testing.assert_array_equal(graph.constant(graph.constants[0]), WEIGHT)
    assert onnx.TensorProto.EXTERNAL not in {tensor.data_location for tensor in model.graph.initializer}


@pytest.mark.parametrize(
    "location",
    ["../w.bin", "data/../../w.bin", "/etc/passwd", "C:\\w.bin", "..\\w.bin", "\\\\host\\share", "", "w\0.bin"],
)
def test_external_data_outside_of_the_folder(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    message = refusal(saved(with_external_weight(location), folder))
    assert "tensor 'w' has its data in" in message
    assert "must be a file inside the model's folder, named by a relative path without '..'" in message


def test_external_data_behind_a_link_that_leads_out(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(WEIGHT.tobytes())
    (folder / "w.bin").symlink_to(tmp_path / "secret")
    assert "a link that leads out of it" in refusal(saved(with_external_weight("w.bin"), folder))


def test_external_data_that_are_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for location in ("pipe", "missing.bin", "."):
        message = refusal(saved(with_external_weight(location), tmp_path))
        assert "which is not a file in" in message
        assert "put it beside the model" in message


def test_external_data_cut_short(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes()[:100])
    message = refusal(saved(with_external_weight("w.bin"), tmp_path))
    assert "tensor 'w' needs bytes 0 to 216 of 'w.bin', which has 100: the file is cut short" in message


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"length": 8}, "tensor 'w' needs 216 bytes for its shape, its external data say 8"),
        ({"offset": -8}, "tensor 'w' has offset '-8' in its external data, a number of bytes is needed"),
        ({"length": "9" * 40}, "a number of bytes is needed"),
    ],
)
def test_external_data_of_a_wrong_length(tmp_path: Path, entries: dict[str, int | str], words: str) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    assert words in refusal(saved(with_external_weight("w.bin", **entries), tmp_path))


def test_external_data_need_a_path() -> None:
    message = refusal(with_external_weight("w.bin").SerializeToString())
    assert "tensor 'w' has its data in another file" in message
    assert "give the path of the .onnx file" in message


def test_external_data_over_the_limit(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    message = refusal(saved(with_external_weight("w.bin"), tmp_path), Limits(external_bytes=100))
    assert "have more than 100 bytes: compile a smaller model, or raise Limits.external_bytes" in message


def _constant_of_shape() -> onnx.ModelProto:
    nodes = [
        onnx.helper.make_node("ConstantOfShape", ["huge"], ["fill"], name="fill"),
        onnx.helper.make_node("ReduceSum", ["fill"], ["sum"]),
        onnx.helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return model_of(nodes, {"x": (1,)}, ["y"], {"huge": np.int64([2**20, 2**20])})


@pytest.mark.parametrize(
    ("model", "limits", "words"),
    [
        (small_model, Limits(nodes=0), "the model has 1 nodes, more than the limit of 0"),
        (small_model, Limits(tensors=0), "the model has more than 0 tensors"),
        (small_model, Limits(elements=10), "tensor 'w' has 54 elements, more than the limit of 10"),
        (
            _constant_of_shape, Limits(),
            "(ConstantOfShape) makes a constant of up to 1099511627776 elements, over the limits of 268435456",
        ),
    ],
    ids=["nodes", "tensors", "elements", "computed"],
)  # fmt: skip
def test_models_over_the_limits(model: Callable[[], onnx.ModelProto], limits: Limits, words: str) -> None:
    assert words in refusal(model(), limits)


def test_a_file_over_the_limit(tmp_path: Path) -> None:
    assert re.search(
        r"has \d+ bytes, more than the limit of 100: ", refusal(saved(small_model(), tmp_path), Limits(file_bytes=100))
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.pt", "may hold pickled code, which is never loaded: export it to ONNX"),
        ("net.pkl", "may hold pickled code"),
        ("net.txt", "a model file ends in .onnx, got"),
        ("missing.onnx", "there is no file"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, name: str, words: str) -> None:
    assert words in refusal(tmp_path / name)


@pytest.mark.parametrize("data", [b"not a model", b"\x80\x04garbage", b"", bytes(range(256))])
def test_garbage(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    assert "it is not an ONNX model, or it is cut short; copy or export it again" in refusal(path)


@given(cut=st.integers(0, len(small_model().SerializeToString()) - 1))
def test_every_truncated_file_is_refused(cut: int) -> None:
    with pytest.raises((ModelFileError, ModelShapeError)):
        convert(load(small_model().SerializeToString()[:cut]))


@given(data=st.data())
def test_altered_files_are_refused_or_still_a_model(data: st.DataObject) -> None:
    content = bytearray(small_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(EnclairError):
        graph = convert(load(bytes(content), Limits(elements=2**16)))
        assert graph.outputs
        verify(graph, Stage.TENSOR)


@pytest.mark.parametrize(
    ("opset", "ir_version", "words"),
    [
        (9, 8, "the model has ONNX opset 9, enclair reads 11 to 22: export it with opset_version=20"),
        (23, 8, "the model has ONNX opset 23, enclair reads 11 to 22"),
        (20, 3, "the model has ONNX IR version 3, enclair reads 4 to 14: export it again"),
        (20, 99, "the model has ONNX IR version 99"),
    ],
)
def test_versions(opset: int, ir_version: int, words: str) -> None:
    model = small_model()
    model.opset_import[0].version, model.ir_version = opset, ir_version
    assert words in refusal(model)


def test_nodes_out_of_order_or_in_a_cycle() -> None:
    model = small_model()
    model.graph.node.insert(0, onnx.helper.make_node("Relu", ["y"], ["z"]))
    assert "is not valid ONNX" in refusal(model)
    model.graph.node[0].output[0] = "y2"
    model.graph.node[1].input[0] = "y2"
    assert "export it again" in refusal(model)


def test_a_missing_initialiser() -> None:
    model = small_model()
    del model.graph.initializer[:]
    message = refusal(model)
    assert "is not valid ONNX" in message
    assert "w" in message


def test_sparse_initialisers() -> None:
    model = small_model()
    model.graph.sparse_initializer.add().values.name = "s"
    assert "sparse initialisers: store its weights as dense tensors" in refusal(model)


def test_weights_with_too_few_bytes() -> None:
    model = small_model()
    model.graph.initializer[0].raw_data = WEIGHT.tobytes()[:-4]
    message = refusal(model)
    assert "export it again" in message or "export the model again" in message


def test_shapes_that_contradict_each_other() -> None:
    model = small_model()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7
    with pytest.raises(UnsupportedModel, match="1 groups needs 2 channels, got real<1x7x5x5>"):
        to_graph(model)


@pytest.mark.parametrize(
    ("op", "args", "words"),
    [
        (
            "Gather",
            [np.float32([1, 2]), np.int64([7])],
            "(Gather) cannot be computed on its constants (index 7 is out of",
        ),
        ("Reshape", [np.float32([1, 2]), np.int64([3])], "(Reshape) cannot be computed on its constants"),
        ("Expand", [np.float32([1, 2]), np.int64([3])], "(Expand) cannot be computed on its constants"),
        ("Range", [np.int64(0), np.int64(5), np.int64(0)], "(Range) cannot be computed on its constants"),
        ("Range", [np.int64(0), np.int64(2**62), np.int64(1)], "a constant of up to 4611686018427387904 elements"),
        ("Tile", [np.float32([1, 2]), np.int64([2**40])], "a constant of up to 2199023255552 elements"),
        ("Expand", [np.float32([1]), np.int64([2**20, 2**20])], "a constant of up to 1099511627776 elements"),
        ("Pad", [np.float32([1]), np.int64([2**40, 0])], "a constant of up to 1099511627777 elements"),
        ("MatMul", [np.ones((2**15, 1)), np.ones((1, 2**15))], "a constant of up to 1073741824 elements"),
        ("Add", [np.ones((2**15, 1)), np.ones((1, 2**15))], "a constant of up to 1073741824 elements"),
        ("Gather", [np.ones((1, 2**15)), np.zeros(2**15, np.int64)], "a constant of up to 1073741824 elements"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_constants(op: str, args: list[Any], words: str) -> None:
    names = [f"c{number}" for number in range(len(args))]
    nodes = [
        onnx.helper.make_node(op, names, ["c"], name="folded"),
        onnx.helper.make_node("Cast", ["c"], ["f"], to=FLOAT),
        onnx.helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    assert words in refusal(model_of(nodes, {"x": (1,)}, {"y": ("n",)}, dict(zip(names, args, strict=True))))


def test_attributes_that_contradict_each_other() -> None:
    roi, scales = np.float32([]), np.float32([1, 2])
    node = onnx.helper.make_node("Resize", ["x", "roi", "scales"], ["y"], name="resize")
    message = refusal(model_of([node], {"x": (1, 1, 4)}, {"y": (1, 1, 8)}, {"roi": roi, "scales": scales}))
    assert "the attributes and arguments of node 'resize' (Resize) do not fit together (ValueError: zip()" in message


def test_names_that_are_not_text() -> None:
    content = small_model().SerializeToString().replace(b"conv", b"c\xffnv")
    assert "the model has a name that is not UTF-8 text (b'c\\xffnv'): export it again" in refusal(content)


def test_tensors_of_an_unknown_type() -> None:
    model = small_model()
    model.graph.initializer[0].data_type = 99
    assert "export" in refusal(model)


def test_the_source_is_not_changed(tmp_path: Path) -> None:
    model = small_model()
    before = model.SerializeToString()
    convert(load(model))
    assert model.SerializeToString() == before


def open_model() -> onnx.ModelProto:
    """A model with an open batch dimension."""
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    model = model_of([node], {"x": ("batch", 2, 5, 5)}, ["y"], {"w": WEIGHT})
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def shape_refusal(model: onnx.ModelProto, samples: object = None) -> str:
    with pytest.raises(ModelShapeError) as raised:
        to_graph(model, samples)
    return str(raised.value)


@pytest.mark.parametrize("samples", [normal(0, 3, 2, 5, 5), [normal(0, 3, 2, 5, 5)], {"x": normal(0, 3, 2, 5, 5)}])
def test_samples_fix_open_dimensions(samples: object) -> None:
    graph, _ = to_graph(open_model(), samples)
    assert graph.inputs[0].type.shape == (3, 2, 5, 5)
    assert graph.outputs[0].type.shape == (3, 3, 3, 3)


def test_open_dimensions_without_samples() -> None:
    message = shape_refusal(open_model())
    assert "dimension 0 of input 'x' is open (batch), a program needs fixed shapes: give a sample input" in message


def test_samples_that_do_not_fit() -> None:
    assert "input 'x' has shape batchx2x5x5 in the model, the sample has 3x2x5x6" in shape_refusal(
        open_model(), normal(0, 3, 2, 5, 6)
    )
    assert "the sample has 2x5x5" in shape_refusal(open_model(), normal(0, 2, 5, 5))
    assert "the model has no input 'img': its inputs are x" in shape_refusal(
        open_model(), {"img": normal(0, 3, 2, 5, 5)}
    )
    assert "the model has the inputs x, got 2 samples: give one for each" in shape_refusal(open_model(), [1, 2])


@pytest.mark.parametrize("elem_type", [onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING])
def test_inputs_that_are_not_floats(elem_type: int) -> None:
    nodes = [onnx.helper.make_node("Cast", ["ids"], ["x"], to=FLOAT), onnx.helper.make_node("Relu", ["x"], ["y"])]
    model = model_of(nodes, {"ids": (3,)}, ["y"])
    model.graph.input[0].type.tensor_type.elem_type = elem_type
    name = onnx.TensorProto.DataType.Name(elem_type).lower()
    message = shape_refusal(model)
    assert f"input 'ids' has type {name}, encrypted inputs are real numbers: feed floats" in message


def test_inputs_over_the_limit() -> None:
    model = model_of([onnx.helper.make_node("Relu", ["x"], ["y"])], {"x": (2**20, 2**20)}, ["y"])
    assert "input 'x' of type real<1048576x1048576> has more elements than the limit of 268435456" in shape_refusal(
        model
    )


def test_inputs_that_are_no_tensors() -> None:
    node = onnx.helper.make_node("SequenceAt", ["xs", "at"], ["y"])
    model = model_of([node], {"xs": (3,)}, {"y": (3,)}, {"at": np.int64(0)})
    model.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = FLOAT
    assert "input 'xs' is a sequence_type, a tensor is needed: pass its tensors one by one" in shape_refusal(model)


def test_names_with_white_space() -> None:
    model = model_of([onnx.helper.make_node("Relu", ["my x"], ["y"])], {"my x": (3,)}, ["y"])
    assert "the name 'my x' of an input or output is empty or has white space: rename it" in shape_refusal(model)
    model = model_of([onnx.helper.make_node("Relu", ["x"], ["my y"])], {"x": (3,)}, ["my y"])
    assert "the name 'my y' of an input or output is empty or has white space" in shape_refusal(model)


def test_what_is_no_model() -> None:
    with pytest.raises(
        ModelShapeError, match=r"a model is a torch\.nn\.Module, the path of an \.onnx file, .* got dict"
    ):
        to_graph({"weights": 1})


def test_local_functions_are_inlined() -> None:
    body = onnx.helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [onnx.helper.make_node("Add", ["a", "a"], ["b"])],
        [onnx.helper.make_opsetid("", 20)],
    )
    model = model_of([onnx.helper.make_node("Twice", ["x"], ["y"], domain="local")], {"x": (3,)}, {"y": (3,)})
    model.functions.append(body)
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    graph, _ = to_graph(model)
    assert [type(node.op).__name__ for node in graph.nodes] == ["Add"]


def test_initialisers_that_are_inputs_too_are_constants() -> None:
    model = small_model()
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", FLOAT, WEIGHT.shape))
    graph, _ = to_graph(model)
    assert [value.name for value in graph.inputs] == ["x"]
