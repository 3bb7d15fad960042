"""Compute an ONNX node whose arguments are all constants, once its result is known to be small enough.

Only listed operators are computed, each with its own bound on the size of the result. (ONNX's shape inference would
tell the size too, but it is native code that a hostile model can make abort the process.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from enclair.frontends.errors import ModelFileError
from enclair.frontends.limits import Limits
from enclair.frontends.onnx_node import attributes_of

Args: TypeAlias = "Sequence[NDArray[Any]]"

_KEEPING = frozenset({
    "Abs", "ArgMax", "ArgMin", "Cast", "Ceil", "CumSum", "Elu", "Erf", "Exp", "Flatten", "Floor", "Gelu",
    "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Neg", "Not", "Reciprocal", "ReduceL1", "ReduceL2",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Round",
    "ScatterElements", "ScatterND", "Sigmoid", "Sign", "Size", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Tanh",
    "Transpose", "Trilu", "Unsqueeze",
})  # fmt: skip
"""Operators whose results have at most the elements of their first argument, or one."""

_BROADCASTING = frozenset({
    "Add", "And", "BitShift", "CastLike", "Clip", "DequantizeLinear", "Div", "Equal", "Greater", "GreaterOrEqual",
    "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "QuantizeLinear", "Sub", "Sum",
    "Where", "Xor",
})  # fmt: skip
"""Operators whose result has the common shape of their arguments."""


def _product(node: onnx.NodeProto, args: Args) -> int:
    """Rows times columns; broadcasting axes of either side multiply at most."""
    inner = max(1, args[0].shape[0 if attributes_of(node).get("transA", 0) else -1])
    return args[0].size // inner * (args[1].size // inner)


def _gathered(node: onnx.NodeProto, args: Args) -> int:
    """Each index picks what lies beside its axis."""
    axis = int(attributes_of(node).get("axis", 0))
    return args[0].size // max(1, args[0].shape[axis]) * args[1].size


def _range(_node: onnx.NodeProto, args: Args) -> int:
    """The steps from start to limit."""
    start, limit, step = (float(arg.reshape(())) for arg in args)
    return max(0, math.ceil((limit - start) / step))


def _padded(_node: onnx.NodeProto, args: Args) -> int:
    """Every axis grows by at most all pads."""
    grown = int(np.maximum(args[1], 0).sum())
    return math.prod(n + grown for n in args[0].shape)


_SIZES: dict[str, Callable[[onnx.NodeProto, Args], int]] = {
    "Concat": lambda _node, args: sum(arg.size for arg in args),
    "Constant": lambda _node, _args: 0,  # it is stored in the model
    "ConstantOfShape": lambda _node, args: math.prod(args[0].tolist()),
    "Expand": lambda _node, args: math.prod(np.broadcast_shapes(args[0].shape, tuple(args[1].tolist()))),
    "Gather": _gathered,
    "GatherElements": lambda _node, args: args[1].size,
    "Gemm": _product,
    "MatMul": _product,
    "Pad": _padded,
    "Range": _range,
    "Shape": lambda _node, args: args[0].ndim,
    "Tile": lambda _node, args: args[0].size * math.prod(args[1].tolist()),
}
"""Operators whose results can be larger than their arguments: a bound on the number of elements."""


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
            ModelFileError: a result is too large, or the node fails on its arguments.
        """
        feeds = {name: array for name, array in zip(node.input, args, strict=True) if array is not None}
        graph = onnx.helper.make_graph([node], "fold", [], [])
        graph.input.extend(onnx.ValueInfoProto(name=name) for name in feeds)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name)
        model = onnx.helper.make_model(graph, opset_imports=self.opsets, ir_version=self.ir_version)
        try:
            self._count(node, largest_result(node, [array for array in args if array is not None]))
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(model).run(None, feeds)
        except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RuntimeError) as error:
            raise ModelFileError(
                f"node {node.name!r} ({node.op_type}) cannot be computed on its constants ({error}): "
                "export the model again"
            ) from None
        return [np.asarray(result) for result in results]

    def _count(self, node: onnx.NodeProto, size: int) -> None:
        """Check a size against the limits."""
        self.produced += size
        if size > self.limits.elements or self.produced > self.limits.folded_elements:
            raise ModelFileError(
                f"node {node.name!r} ({node.op_type}) makes a constant of up to {size} elements, over the limits of "
                f"{self.limits.elements} for one and {self.limits.folded_elements} for all: "
                "compile a smaller model, or raise Limits.elements and Limits.folded_elements"
            )


def largest_result(node: onnx.NodeProto, args: Args) -> int:
    """A bound on the elements of a node's results. The node is one that ``can_fold``."""
    if node.op_type in _KEEPING:
        return max(1, args[0].size)
    if node.op_type in _BROADCASTING:
        return math.prod(np.broadcast_shapes(*(arg.shape for arg in args)))
    return max(0, _SIZES[node.op_type](node, args))


def can_fold(node: onnx.NodeProto) -> bool:
    """Whether the node is ONNX's own, and its result depends on its arguments alone."""
    return node.domain in ("", "ai.onnx") and (
        node.op_type in _KEEPING or node.op_type in _BROADCASTING or node.op_type in _SIZES
    )
