"""Compute an ONNX node whose arguments are all constants, once its result is known to be small enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.shape_inference
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from enclair.frontends.errors import ModelFileError, UnsupportedNodeError
from enclair.frontends.limits import Limits
from enclair.frontends.onnx_shapes import static_shape

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
_SMALL = 4096
"""Arrays up to this size are given to shape inference: they may be shapes."""


def can_fold(node: onnx.NodeProto) -> bool:
    """Whether the node's result depends on its arguments alone, and it holds no graph."""
    graphs = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    return node.op_type not in _RANDOM and not graphs and node.domain in ("", "ai.onnx")


class Folder:
    """Computes nodes on constants, and counts how much that produced."""

    def __init__(self, model: onnx.ModelProto, limits: Limits) -> None:
        self.opsets = list(model.opset_import)
        self.opset = next(entry.version for entry in self.opsets if entry.domain in ("", "ai.onnx"))
        self.ir_version = model.ir_version
        self.limits = limits
        self.produced = 0

    def fold(self, node: onnx.NodeProto, args: Sequence[NDArray[Any] | None]) -> list[NDArray[Any]]:
        """The results of the node.

        Raises:
            UnsupportedNodeError: the size of a result cannot be told before.
            ModelFileError: a result is too large, or the node fails on its arguments.
        """
        feeds = {name: array for name, array in zip(node.input, args, strict=True) if array is not None}
        self._check_size(node, feeds)
        graph = onnx.helper.make_graph([node], "fold", [], [])
        inputs = [onnx.ValueInfoProto(name=name) for name in feeds]
        graph.input.extend(inputs)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name)
        model = onnx.helper.make_model(graph, opset_imports=self.opsets, ir_version=self.ir_version)
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(model).run(None, feeds)
        except (
            ValueError,
            IndexError,
            TypeError,
            KeyError,
            ArithmeticError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise ModelFileError(
                f"node {node.name!r} ({node.op_type}) cannot be computed on its constants ({error}): "
                "export the model again"
            ) from None
        return [np.asarray(result) for result in results]

    def _check_size(self, node: onnx.NodeProto, feeds: dict[str, NDArray[Any]]) -> None:
        """Check what shape inference says about the results."""
        for name, type_ in self._infer(node, feeds).items():
            shape = static_shape(type_)
            if shape is None:
                raise UnsupportedNodeError(
                    f"the size of {name!r} cannot be told before it is computed", "store the result as a constant"
                )
            self.produced += math.prod(shape)
            if max(math.prod(shape), self.produced - self.limits.folded_elements) > self.limits.elements:
                raise ModelFileError(
                    f"node {node.name!r} ({node.op_type}) makes a constant of shape {'x'.join(map(str, shape))}, over "
                    f"the limit of {self.limits.elements} elements: compile a smaller model, or raise Limits.elements"
                )

    def _infer(self, node: onnx.NodeProto, feeds: dict[str, NDArray[Any]]) -> dict[str, onnx.TypeProto]:
        """The types of the results."""
        types, data = {}, {}
        for name, array in feeds.items():
            elem_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            types[name] = onnx.helper.make_tensor_type_proto(elem_type, array.shape)
            if array.size <= _SMALL:
                data[name] = onnx.numpy_helper.from_array(array, name)
        schema = onnx.defs.get_schema(node.op_type, self.opset, "")
        try:
            return onnx.shape_inference.infer_node_outputs(
                schema, node, types, data, opset_imports=self.opsets, ir_version=self.ir_version
            )
        except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
            text = " ".join(str(error).split())[:300]
            raise ModelFileError(f"node {node.name!r} ({node.op_type}) does not fit its constants ({text})") from None
