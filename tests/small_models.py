"""Small ONNX models, written without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str] | Mapping[str, Sequence[int | str]],
    constants: Mapping[str, NDArray[Any]] | None = None,
    name: str = "small",
) -> onnx.ModelProto:
    """A model on float32. The shapes of outputs are inferred where they are not given."""
    shapes = outputs if isinstance(outputs, Mapping) else {}
    graph = helper.make_graph(
        list(nodes),
        name,
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, list(shape)) for x, shape in inputs.items()],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, shapes.get(y)) for y in outputs],
        [numpy_helper.from_array(array, x) for x, array in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return shape_inference.infer_shapes(made)


def cnn(batch: int | str = 1, seed: int = 0) -> onnx.ModelProto:
    """Two convolutions, a pool and a Gemm: three rounds. ``x`` (batch, 1, 8, 8) to ``y`` (batch, 3)."""
    random = np.random.default_rng(seed)
    shapes = {"w1": (4, 1, 3, 3), "b1": (4,), "w2": (3, 4, 3, 3), "w3": (3, 3), "b3": (3,)}
    constants = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    return model(nodes, {"x": [batch, 1, 8, 8]}, ["y"], constants, "cnn")


def two_in_two_out() -> onnx.ModelProto:
    """``y`` = relu(conv(a)) + b, ``z`` = conv(a); ``a`` (1, 1, 4, 4), ``b`` (1, 2, 4, 4)."""
    weights = {"w": np.random.default_rng(1).normal(0, 0.5, (2, 1, 3, 3)).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["a", "w"], ["z"], pads=[1] * 4),
        helper.make_node("Relu", ["z"], ["r"]),
        helper.make_node("Add", ["r", "b"], ["y"]),
    ]
    return model(nodes, {"a": [1, 1, 4, 4], "b": [1, 2, 4, 4]}, ["y", "z"], weights)


def images(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Inputs of ``cnn``."""
    return np.random.default_rng(seed).uniform(0, 1, (count, 1, 8, 8)).astype(np.float32)


def perceptron(batch: int | str = 1, seed: int = 0) -> onnx.ModelProto:
    """Two matrices with a sigmoid between them: of few levels and rotations. ``x`` (batch, 8) to ``y`` (batch, 3)."""
    random = np.random.default_rng(seed)
    shapes = {"w1": (8, 4), "b1": (4,), "w2": (4, 3)}
    constants = {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Sigmoid", ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["y"]),
    ]
    return model(nodes, {"x": [batch, 8]}, ["y"], constants, "perceptron")


def rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Inputs of ``perceptron``."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, 8)).astype(np.float32)
