"""Proven bounds on the gap between a fixed-point graph and the float32 model.

For every value v the bound e(v) on |fixed - float32|, in real units, given inputs within their ranges:

    Quantise, Requantise   e(x) + half a step
    weighted sum           sum|w| e(x) + K (half a weight step) max|x| + K 2^-24 sum|w| max|x|
    Relu, MaxPool, moves   e(x)

The terms with 2^-24 are float32's own rounding.

Bounds grow by sum|w| per layer: they say something for linear and short programs, and nothing after many layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, prod

import numpy as np

from enclair.compiler.approx.intervals import Interval, intervals, sum_of_weights
from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.ops.activations import Clip, LeakyRelu, Relu
from enclair.compiler.ir.ops.elementwise import Add, Maximum, Minimum, Mul, Neg, Sub
from enclair.compiler.ir.ops.fixed import Dequantise, Quantise, Refresh, Requantise, Shift
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.pooling import MaxPool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceSum
from enclair.compiler.ir.ops.shape import Pad
from enclair.compiler.ir.types import TensorType
from enclair.compiler.planner.sides import MOVES

FLOAT32_STEP = 2.0**-24
CONTRACTIONS = (Relu, Clip, MaxPool, ReduceMax, Maximum, Minimum, Neg, Shift, Dequantise, Refresh, Pad, *MOVES)
"""Ops whose result is no further from the float's than their arguments."""


def error_bound(graph: Graph) -> float:
    """Bound on |fixed - float32| over all outputs; infinite where the graph has an op without a rule."""
    known = intervals(graph)
    errors: dict[str, float] = {value.name: 0.0 for value in graph.inputs}
    magnitudes = {value.name: inf for value in graph.inputs}
    for node in graph.nodes:
        magnitudes[node.out.name] = _magnitude(node, known, magnitudes)
        errors[node.out.name] = _node_error(graph, node, errors, magnitudes)
    return max((errors[value.name] for value in graph.outputs), default=0.0)


def is_linear(graph: Graph) -> bool:
    """Whether the graph is one linear map with rounding: the bound is then worth stating however large."""
    nonlinear = (Relu, Clip, LeakyRelu, MaxPool, ReduceMax, Maximum, Minimum)
    return not any(isinstance(node.op, nonlinear) for node in graph.nodes)


def _magnitude(node: Node, known: Mapping[str, Interval], magnitudes: Mapping[str, float]) -> float:
    """max|v| in real units."""
    type_ = node.out.type
    if isinstance(type_, TensorType) and type_.scale_bits is not None:
        return known[node.out.name].magnitude * 2.0**-type_.scale_bits
    args = [magnitudes[arg.name] for arg in node.args if arg.name in magnitudes]
    return sum(args) if isinstance(node.op, Add | Sub) else max(args, default=inf)


def _node_error(graph: Graph, node: Node, errors: Mapping[str, float], magnitudes: Mapping[str, float]) -> float:
    args = [errors[arg.name] for arg in node.args if arg.name in errors]
    largest = [magnitudes[arg.name] for arg in node.args if arg.name in magnitudes]
    weights = graph.arrays.get(node.args[1].name) if len(node.args) > 1 else None
    op = node.op
    match op:
        case Quantise() | Requantise():
            return args[0] + _half_step(node)
        case Conv() | ConvTranspose() | MatMul() | Mul() if (
            weights is not None and _scale(node.args[1].type) is not None
        ):
            return _weighted_error(node, weights, args[0], largest[0])
        case Add() | Sub() if weights is not None:
            rounding = (largest[0] + float(abs(weights).max(initial=0))) * FLOAT32_STEP
            return args[0] + _half_step(node) + rounding if _scale(node.out.type) is not None else inf
        case Add() | Sub():
            return sum(args) + sum(largest) * FLOAT32_STEP
        case SumPool():
            return prod(op.kernel) * (args[0] + prod(op.kernel) * largest[0] * FLOAT32_STEP)
        case ReduceSum():
            terms = _size(node.args[0].type) // max(1, _size(node.out.type))
            return terms * (args[0] + terms * largest[0] * FLOAT32_STEP)
        case LeakyRelu():
            return max(1.0, abs(op.alpha)) * (args[0] + largest[0] * FLOAT32_STEP)
        case _:
            return max(args, default=0.0) if isinstance(op, CONTRACTIONS) else inf


def _weighted_error(node: Node, array: Array, error: float, largest: float) -> float:
    scale_bits = _scale(node.args[1].type) or 0
    if isinstance(node.op, Mul):
        total, terms = float(np.abs(array).max(initial=0)), 1
    else:
        total, terms = float(sum_of_weights(node.op, array)), _terms(node, array.shape)
    total *= 2.0**-scale_bits
    half_step = 2.0 ** -(scale_bits + 1)
    return (
        total * error + terms * half_step * largest + (terms + 1) * FLOAT32_STEP * (total + terms * half_step) * largest
    )


def _terms(node: Node, shape: tuple[int, ...]) -> int:
    """Products that make one output, at most."""
    if isinstance(node.op, MatMul):
        return shape[-2] if len(shape) > 1 else shape[0]
    if isinstance(node.op, ConvTranspose):
        return shape[0] // node.op.groups * prod(shape[2:])
    return prod(shape[1:])


def _half_step(node: Node) -> float:
    scale_bits = _scale(node.out.type)
    return 0.0 if scale_bits is None else 2.0 ** -(scale_bits + 1)


def _scale(type_: object) -> int | None:
    return type_.scale_bits if isinstance(type_, TensorType) else None


def _size(type_: object) -> int:
    return type_.size if isinstance(type_, TensorType) else 1
