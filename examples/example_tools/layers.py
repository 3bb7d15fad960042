"""ONNX models from layers, so that the examples need no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
OPSET = 20
IR_VERSION = 10


class Layers:
    """Collects nodes; each method adds one and returns the name of its result, which is that of the node."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, NDArray[Any]] = {}

    def node(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        """Any op with one result."""
        self._nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def tensor(self, name: str, array: NDArray[Any]) -> str:
        """A constant."""
        self._tensors[name] = array
        return name

    def conv(self, name: str, x: str, weight: Floats, bias: Floats | None = None) -> str:
        """A convolution without padding: weight (out, in, rows, columns), bias (out)."""
        return self.node("Conv", name, [x, *self._parameters(name, weight, bias)])

    def conv_transpose(self, name: str, x: str, weight: Floats, bias: Floats | None = None) -> str:
        """A transposed convolution without padding: weight (in, out, rows, columns), bias (out)."""
        return self.node("ConvTranspose", name, [x, *self._parameters(name, weight, bias)])

    def batch_norm(self, name: str, x: str, scale: Floats, bias: Floats, mean: Floats, variance: Floats) -> str:
        """Batch normalisation with running statistics (channels), epsilon 1e-5."""
        arrays = {"scale": scale, "bias": bias, "mean": mean, "var": variance}
        tensors = [self.tensor(f"{name}.{key}", array) for key, array in arrays.items()]
        return self.node("BatchNormalization", name, [x, *tensors], epsilon=1e-5)

    def relu(self, name: str, x: str) -> str:
        """The larger of x and 0."""
        return self.node("Relu", name, [x])

    def wrap(self, name: str, x: str, pixels: int) -> str:
        """An image (1, channels, rows, columns) continued at its other end by some pixels on each side."""
        pads = self.tensor(f"{name}.pads", np.array([0, 0, pixels, pixels] * 2, dtype=np.int64))
        return self.node("Pad", name, [x, pads], mode="wrap")

    def model(self, name: str, shape: tuple[int, ...], output: str) -> onnx.ModelProto:
        """The nodes as a model with the input ``x`` and an output, both of one shape.

        Raises:
            onnx.checker.ValidationError: the nodes do not make a model of these shapes.
        """
        values = [helper.make_tensor_value_info(value, TensorProto.FLOAT, list(shape)) for value in ("x", output)]
        tensors = [numpy_helper.from_array(array, key) for key, array in sorted(self._tensors.items())]
        graph = helper.make_graph(self._nodes, name, values[:1], values[1:], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _parameters(self, name: str, weight: Floats, bias: Floats | None) -> list[str]:
        given = {"weight": weight} | ({} if bias is None else {"bias": bias})
        return [self.tensor(f"{name}.{key}", array) for key, array in given.items()]


def he_normal(random: np.random.Generator, *shape: int, fan_in: int) -> Floats:
    """Weights that keep the variance through a ReLU (He et al., ICCV 2015)."""
    return (random.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
