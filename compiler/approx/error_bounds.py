"""Proven bounds on the gap between a fixed-point graph and the float32 model.

For every value v the bound e(v) on |fixed - float32|, in real units, given inputs within their ranges:

    Quantise, Requantise   e(x) + half a step
    weighted sum           sum|w| e(x) + K (half a weight step) max|x| + K 2^-24 sum|w| max|x|
    Relu, MaxPool, moves   e(x)
    Clip, Pad              e(x), or half a step of their rounded numbers

The terms with 2^-24 are float32's own rounding.

Bounds grow by sum|w| per layer: they say something for linear and short programs, and nothing after many layers.
"""

from __future__ import annotations

from math import inf, prod

import numpy as np

from enclair.compiler.approx.intervals import intervals, sum_of_weights
from enclair.compiler.ir.graph import Array, Graph, Node, Value
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
CONTRACTIONS = (Relu, MaxPool, ReduceMax, Maximum, Minimum, Neg, Shift, Dequantise, Refresh, *MOVES)
"""Ops whose result is no further from the float's than their arguments."""


def error_bound(graph: Graph) -> float:
    """Bound on |fixed - float32| over all outputs; infinite where it cannot be proven.

    That is where the graph has an op without a rule, and where a value may leave the range it is saturated to.
    """
    bounds = _Bounds(graph)
    for node in graph.nodes:
        bounds.add(node)
    return max((bounds.errors[value.name] for value in graph.outputs), default=0.0)


def is_linear(graph: Graph) -> bool:
    """Whether the graph is one linear map with rounding: the bound is then worth stating however large."""
    nonlinear = (Relu, Clip, LeakyRelu, MaxPool, ReduceMax, Maximum, Minimum)
    return not any(isinstance(node.op, nonlinear) for node in graph.nodes)


class _Bounds:
    """Errors and magnitudes of the values so far, by name, in real units."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.intervals = graph, intervals(graph)
        self.inputs = {value.name for value in graph.inputs}
        self.errors = dict.fromkeys(self.inputs, 0.0)
        self.magnitudes = dict.fromkeys(self.inputs, inf) | _input_magnitudes(graph)

    def add(self, node: Node) -> None:
        """Bound the node's result."""
        self.errors[node.out.name] = self._error(node)
        self.magnitudes[node.out.name] = self._magnitude(node)

    def _magnitude(self, node: Node) -> float:
        """max|v|."""
        scale_bits = _scale(node.out.type)
        if scale_bits is not None:
            return self.intervals[node.out.name].magnitude * 2.0**-scale_bits
        args = [self.magnitudes[arg.name] for arg in node.args if arg.name in self.magnitudes]
        total = sum(args) if isinstance(node.op, Add | Sub) else max(args, default=inf)
        return total * max(1.0, abs(node.op.alpha)) if isinstance(node.op, LeakyRelu) else total

    def _error(self, node: Node) -> float:
        args = [self.errors[arg.name] for arg in node.args if arg.name in self.errors]
        largest = [self.magnitudes[arg.name] + self.errors[arg.name] for arg in node.args if arg.name in self.errors]
        weights = self.graph.arrays.get(node.args[1].name) if len(node.args) > 1 else None
        op = node.op
        match op:
            case Quantise() | Requantise():
                return args[0] + _half_step(node) if self._fits(node) else inf
            case Conv() | ConvTranspose() | MatMul() | Mul() | Add() | Sub() if weights is not None:
                return _constant_error(node, weights, args[0], largest[0]) if largest[0] < inf else inf
            case Add() | Sub():
                return sum(args) + sum(largest) * FLOAT32_STEP
            case SumPool() | ReduceSum():
                terms = prod(op.kernel) if isinstance(op, SumPool) else _size(node.args[0]) // max(1, _size(node.out))
                return terms * (args[0] + terms * largest[0] * FLOAT32_STEP)
            case LeakyRelu():
                return max(1.0, abs(op.alpha)) * (args[0] + largest[0] * FLOAT32_STEP)
            case Clip() | Pad():
                return max(args[0], _half_step(node))
            case _:
                return max(args, default=0.0) if isinstance(op, CONTRACTIONS) else inf

    def _fits(self, node: Node) -> bool:
        """Whether nothing is saturated. Inputs outside of their ranges are refused before."""
        op, arg = node.op, node.args[0].name
        if not isinstance(op, Requantise):
            return arg in self.inputs
        ends = np.array([self.intervals[arg].low, self.intervals[arg].high])
        return op.saturations(ends) == 0


def _input_magnitudes(graph: Graph) -> dict[str, float]:
    """max|x| of the inputs that the client rounds: those outside of the limits are refused."""
    return {
        node.args[0].name: max(-node.op.low, node.op.high) * 2.0**-node.op.scale_bits
        for node in graph.nodes
        if isinstance(node.op, Quantise) and node.args[0] in graph.inputs
    }


def _constant_error(node: Node, array: Array, error: float, largest: float) -> float:
    """The error of a sum or product with constants; ``largest`` is max|x| of the float model."""
    step = 2.0 ** -(_scale(node.args[1].type) or 0)
    half_step = 0.0 if _scale(node.args[1].type) is None else step / 2
    if isinstance(node.op, Add | Sub):
        addend = float(np.abs(array).max(initial=0)) * step + half_step
        return error + half_step + 2 * FLOAT32_STEP * (largest + addend)
    if isinstance(node.op, Mul):
        total, terms = float(np.abs(array).max(initial=0)) * step, 1
    else:
        total, terms = float(sum_of_weights(node.op, array)) * step, _terms(node, array.shape)
    rounding = (terms + 2) * FLOAT32_STEP * (total + terms * half_step) * largest
    return total * error + terms * half_step * largest + rounding


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


def _size(value: Value) -> int:
    return value.type.size if isinstance(value.type, TensorType) else 1
