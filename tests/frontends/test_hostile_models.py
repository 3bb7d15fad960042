"""A valid model with anything altered in it: refused with an error of ours, or a graph that runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st
from tests.frontends.onnx_models import agree_model, model_of, normal

from enclair.compiler.ir.errors import EnclairError
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.verify import verify
from enclair.frontends.limits import Limits
from enclair.frontends.onnx_convert import convert
from enclair.frontends.onnx_load import load


def ints(*values: int) -> Any:
    return np.asarray(values, dtype=np.int64)


node = onnx.helper.make_node
NODES = [
    node(
        "Conv",
        ["x", "w", "b"],
        ["a"],
        strides=[1, 1],
        pads=[1, 1, 1, 1],
        dilations=[1, 1],
        group=1,
        kernel_shape=[3, 3],
    ),
    node("Relu", ["a"], ["r"]),
    node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    node("AveragePool", ["r"], ["av"], kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1, pads=[0, 0, 0, 0]),
    node("Add", ["m", "av"], ["s"]),
    node("Resize", ["s", "", "scales"], ["u"], mode="nearest", coordinate_transformation_mode="asymmetric"),
    node("Pad", ["u", "pads", "value"], ["p"], mode="constant"),
    node("Slice", ["p", "starts", "ends", "axes", "steps"], ["sl"]),
    node("Split", ["sl"], ["s1", "s2"], axis=1, num_outputs=2),
    node("Concat", ["s2", "s1"], ["c"], axis=1),
    node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
    node("LayerNormalization", ["t", "gamma", "beta"], ["ln"], axis=-1),
    node("Reshape", ["ln", "shape"], ["rs"]),
    node("Gather", ["rs", "indices"], ["ga"], axis=1),
    node("Flatten", ["ga"], ["fl"], axis=1),
    node("Shape", ["fl"], ["fs"]),
    node("Gather", ["fs", "zero"], ["n"], axis=0),
    node("Unsqueeze", ["n", "first"], ["nu"]),
    node("Concat", ["nu", "rest"], ["target"], axis=0),
    node("Reshape", ["fl", "target"], ["fr"]),
    node("Gemm", ["fr", "gw", "gb"], ["ge"], transB=1, alpha=0.5),
    node("ReduceMean", ["ge", "first"], ["rm"], keepdims=1),
    node("Softmax", ["ge"], ["so"], axis=-1),
    node("Clip", ["so", "low", "high"], ["cl"]),
    node("Where", ["cond", "cl", "rm"], ["wh"]),
    node("Expand", ["wh", "wide"], ["ex"]),
    node("Tile", ["ex", "repeats"], ["ti"]),
    node("Squeeze", ["ti", "first"], ["y"]),
]
CONSTANTS = {
    "w": normal(0, 4, 2, 3, 3),
    "b": normal(1, 4),
    "scales": np.float32([1, 1, 2, 2]),
    "pads": ints(0, 0, 1, 1, 0, 0, 1, -1),
    "value": np.float32(0),
    "starts": ints(0, 1),
    "ends": ints(9, 7),
    "axes": ints(2, 3),
    "steps": ints(1, 2),
    "gamma": normal(2, 4),
    "beta": normal(3, 4),
    "shape": ints(1, -1, 4),
    "indices": ints(0, 2, 5),
    "zero": np.int64(0),
    "first": ints(0),
    "rest": ints(-1),
    "gw": normal(5, 3, 12),
    "gb": normal(6, 3),
    "low": np.float32(0),
    "high": np.float32(1),
    "cond": np.array([True, False, True]),
    "wide": ints(1, 3),
    "repeats": ints(1, 2),
}
MODEL = model_of(NODES, {"x": (1, 2, 6, 6)}, ["y"], CONSTANTS)
LIMITS = Limits(elements=2**18)
NUMBERS = st.sampled_from([-(2**63), -(2**40), -7, -2, -1, 0, 1, 2, 3, 5, 9, 100, 2**20, 2**40, 2**63 - 1])
TEXTS = st.sampled_from([b"", b"edge", b"reflect", b"linear", b"ceil", b"SAME_UPPER", b"align_corners"])


def test_the_unaltered_model_agrees() -> None:
    agree_model(MODEL, {"x": normal(7, 1, 2, 6, 6)})


def alter_attribute(graph: onnx.GraphProto, data: st.DataObject) -> None:
    attribute = data.draw(st.sampled_from([attribute for node in graph.node for attribute in node.attribute]))
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = data.draw(NUMBERS)
    elif attribute.type == onnx.AttributeProto.INTS:
        attribute.ints[:] = data.draw(st.lists(NUMBERS, max_size=5))
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = data.draw(st.floats(width=32))
    else:
        attribute.s = data.draw(TEXTS)


def alter_constant(graph: onnx.GraphProto, data: st.DataObject) -> None:
    tensor = data.draw(st.sampled_from(list(graph.initializer)))
    array = onnx.numpy_helper.to_array(tensor).copy()
    if array.dtype == np.int64:
        array.reshape(-1)[data.draw(st.integers(0, array.size - 1))] = data.draw(NUMBERS)
    if data.draw(st.booleans()):
        array = np.resize(array, data.draw(st.sampled_from([(), (0,), (1,), (2, 3), (4,), (3, 1, 1, 1)])))
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def alter_input(graph: onnx.GraphProto, data: st.DataObject) -> None:
    data.draw(st.sampled_from(list(graph.input[0].type.tensor_type.shape.dim))).dim_value = data.draw(
        NUMBERS | st.integers(1, 12)
    )


def alter_argument(graph: onnx.GraphProto, data: st.DataObject) -> None:
    names = ["", *CONSTANTS, *(name for node in graph.node for name in node.output)]
    node = data.draw(st.sampled_from([node for node in graph.node if node.input]))
    node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(st.sampled_from(names))


def drop_argument(graph: onnx.GraphProto, data: st.DataObject) -> None:
    del data.draw(st.sampled_from([node for node in graph.node if node.input])).input[-1]


ALTERATIONS: list[Callable[[onnx.GraphProto, st.DataObject], None]] = [
    alter_attribute, alter_constant, alter_input, alter_argument, drop_argument,
]  # fmt: skip


@given(alterations=st.lists(st.sampled_from(ALTERATIONS), min_size=1, max_size=3), data=st.data())
def test_altered_models(alterations: list[Callable[..., None]], data: st.DataObject) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    for alter in alterations:
        alter(model.graph, data)
    with contextlib.suppress(EnclairError):
        graph = convert(load(model, LIMITS), limits=LIMITS)
        verify(graph, Stage.TENSOR)
        results = run(graph, {value.name: normal(0, *value.type.shape) for value in graph.inputs})
        assert [array.shape for array in results.values()] == [value.type.shape for value in graph.outputs]
