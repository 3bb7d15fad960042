"""Converters of ONNX activation functions and softmax."""

from __future__ import annotations

import math

from enclair.compiler.ir.ops.activations import (
    Celu,
    Clip,
    Elu,
    Erf,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Log,
    Mish,
    PRelu,
    Relu,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Greater, Maximum, Minimum, Sub, Where
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceSum
from enclair.compiler.ir.ops.shape import Reshape
from enclair.frontends.expression import Constant, Operand, apply, constant, reshape
from enclair.frontends.onnx_node import OnnxNode, normalise_axis
from enclair.frontends.registry import converts

_PLAIN: dict[str, tuple[Op, int]] = {
    "Relu": (Relu(), 11),
    "Sigmoid": (Sigmoid(), 11),
    "Tanh": (Tanh(), 11),
    "Erf": (Erf(), 11),
    "Softplus": (Softplus(), 11),
    "Softsign": (Softsign(), 11),
    "HardSwish": (HardSwish(), 14),
    "Mish": (Mish(), 18),
}


def _plain(node: OnnxNode) -> Operand:
    """The op of the same name."""
    return apply(_PLAIN[node.op_type][0], node.arg())


for _name, (_op, _since) in _PLAIN.items():
    converts(_name, to=(type(_op),), since=_since)(_plain)


@converts("LeakyRelu", to=(LeakyRelu,))
def leaky_relu(node: OnnxNode) -> Operand:
    """Slope ``alpha`` below 0."""
    return apply(LeakyRelu(node.real("alpha", 0.01)), node.arg())


@converts("Elu", to=(Elu,))
def elu(node: OnnxNode) -> Operand:
    """alpha (exp(x) - 1) below 0."""
    return apply(Elu(node.real("alpha", 1.0)), node.arg())


@converts("Celu", to=(Celu,), since=12)
def celu(node: OnnxNode) -> Operand:
    """alpha (exp(x / alpha) - 1) below 0."""
    return apply(Celu(node.real("alpha", 1.0)), node.arg())


@converts("Selu", to=(Selu,))
def selu(node: OnnxNode) -> Operand:
    """The scaled exponential linear unit."""
    return apply(Selu(node.real("alpha", 1.6732632423543772), node.real("gamma", 1.0507009873554805)), node.arg())


@converts("HardSigmoid", to=(HardSigmoid,))
def hard_sigmoid(node: OnnxNode) -> Operand:
    """max(0, min(1, alpha x + beta))."""
    return apply(HardSigmoid(node.real("alpha", 0.2), node.real("beta", 0.5)), node.arg())


@converts("ThresholdedRelu", to=(Where, Greater))
def thresholded_relu(node: OnnxNode) -> Operand:
    """x above ``alpha``, else 0."""
    above = apply(Greater(), node.arg(), constant(node.real("alpha", 1.0), "threshold"))
    return apply(Where(), above, node.arg(), constant(0.0, "zero"))


@converts("PRelu", to=(PRelu,))
def prelu(node: OnnxNode) -> Operand:
    """A slope for each channel below 0."""
    return apply(PRelu(), node.arg(0), node.arg(1))


@converts("Gelu", to=(Gelu,), since=20)
def gelu(node: OnnxNode) -> Operand:
    """x Phi(x), exact or by tanh."""
    return apply(Gelu(node.text("approximate", "none")), node.arg())


@converts("Clip", to=(Clip, Minimum, Maximum))
def clip(node: OnnxNode) -> Operand:
    """Constant limits go into the op; others are a minimum and a maximum."""
    limits = [node.arg(index) if node.has(index) else None for index in (1, 2)]
    if all(limit is None or isinstance(limit, Constant) for limit in limits):
        low, high = _limit(limits[0], -math.inf), _limit(limits[1], math.inf)
        return apply(Clip(min(low, high), high), node.arg())
    bounded = node.arg() if limits[0] is None else apply(Maximum(), node.arg(), limits[0])
    return bounded if limits[1] is None else apply(Minimum(), bounded, limits[1])


def _limit(operand: Operand | None, default: float) -> float:
    return float(operand.array.ravel()[0]) if isinstance(operand, Constant) else default


@converts("Softmax", to=(Softmax, Reshape), note="before opset 13 over all axes from `axis` on")
def softmax(node: OnnxNode) -> Operand:
    """Along one axis; before opset 13 along all from ``axis`` on, as one."""
    if node.opset >= 13:
        return apply(Softmax(node.axis(-1)), node.arg())
    return reshape(apply(Softmax(1), _flattened(node)), node.shape())


@converts("LogSoftmax", to=(Sub, Log, Exp, ReduceMax, ReduceSum, Reshape), note="before opset 13 like Softmax")
def log_softmax(node: OnnxNode) -> Operand:
    """x - max - log sum exp(x - max)."""
    x, axis = (node.arg(), node.axis(-1)) if node.opset >= 13 else (_flattened(node), 1)
    shifted = apply(Sub(), x, apply(ReduceMax((axis,), keepdims=True), x))
    total = apply(ReduceSum((axis,), keepdims=True), apply(Exp(), shifted))
    return reshape(apply(Sub(), shifted, apply(Log(), total)), node.shape())


def _flattened(node: OnnxNode) -> Operand:
    """The argument as a matrix whose columns are the axes from ``axis`` on."""
    axis = normalise_axis(node.integer("axis", 1), node.rank())
    rows = math.prod(node.shape()[:axis])
    return reshape(node.arg(), (rows, math.prod(node.shape()[axis:])))
