"""Converters of ONNX ops whose result is known when the model is converted, and of casts."""

from __future__ import annotations

import math

import numpy as np
import onnx

from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Constant, Operand
from enclair.frontends.onnx_node import OnnxNode
from enclair.frontends.onnx_shapes import FLOATS
from enclair.frontends.registry import converts


@converts("Shape", note="computed at conversion")
def shape(node: OnnxNode) -> Operand:
    """The extents from ``start`` to ``end``."""
    extents = node.shape()[node.integer("start", 0) : node.integer("end", node.rank())]
    return Constant(node.proto.output[0], np.asarray(extents, dtype=np.int64), learned=False)


@converts("Size", note="computed at conversion")
def size(node: OnnxNode) -> Operand:
    """The number of elements."""
    return Constant(node.proto.output[0], np.asarray(math.prod(node.shape()), dtype=np.int64), learned=False)


@converts("Constant", "ConstantOfShape", "Range", note="computed at conversion")
def computed(node: OnnxNode) -> Operand:
    """Reached only if an argument is not a constant: those that have only constants are computed."""
    raise UnsupportedNodeError(f"{node.op_type} depends on the input", "make its arguments constants of the model")


@converts("CastLike", since=15, note="between float types, and of truth values to floats")
@converts("Cast", note="between float types, and of truth values to floats")
def cast(node: OnnxNode) -> Operand:
    """Nothing: floats of any width are reals, truth values are 0 and 1."""
    if node.op_type == "Cast" and (target := node.integer("to", 0)) not in FLOATS:
        name = onnx.TensorProto.DataType.Name(target).lower()
        raise UnsupportedNodeError(
            f"a cast of a value that depends on the input to {name}", "keep it in floating point"
        )
    return node.arg()
