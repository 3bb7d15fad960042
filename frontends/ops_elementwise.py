"""Converters of ONNX arithmetic. Truth values become the reals 0 and 1."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from enclair.compiler.ir import exact_math
from enclair.compiler.ir.ops.activations import Exp, Log, Sign, Sqrt
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import (
    Abs,
    Add,
    Div,
    Greater,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    Reciprocal,
    Sub,
    Where,
)
from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Constant, Operand, apply, constant, scale
from enclair.frontends.onnx_node import OnnxNode
from enclair.frontends.registry import converts

_BINARY: dict[str, Op] = {"Add": Add(), "Sub": Sub(), "Mul": Mul()}
_UNARY: dict[str, Op] = {
    "Neg": Neg(), "Abs": Abs(), "Reciprocal": Reciprocal(), "Sqrt": Sqrt(), "Exp": Exp(), "Log": Log(), "Sign": Sign(),
}  # fmt: skip
_FOLDS: dict[str, Op] = {"Min": Minimum(), "Max": Maximum(), "Sum": Add()}


def _binary(node: OnnxNode) -> Operand:
    """The op of the same name."""
    return apply(_BINARY[node.op_type], node.arg(0), node.arg(1))


def _unary(node: OnnxNode) -> Operand:
    """The op of the same name."""
    return apply(_UNARY[node.op_type], node.arg())


def _fold(node: OnnxNode) -> Operand:
    """Two arguments at a time, from the left."""
    op = _FOLDS[node.op_type]
    return reduce(lambda left, right: apply(op, left, right), map(node.arg, range(len(node.args))))


for _name, _op in _BINARY.items():
    converts(_name, to=(type(_op),))(_binary)
for _name, _op in _UNARY.items():
    converts(_name, to=(type(_op),))(_unary)
for _name, _op in _FOLDS.items():
    converts(_name, to=(type(_op),), note="any number of arguments")(_fold)


@converts("Mean", to=(Add, Mul), note="any number of arguments")
def mean(node: OnnxNode) -> Operand:
    """The sum of the arguments over their number."""
    total = reduce(lambda left, right: apply(Add(), left, right), map(node.arg, range(len(node.args))))
    return scale(total, 1.0 / len(node.args))


@converts("Div", to=(Div, Mul), note="by a constant: a product with its reciprocal")
def div(node: OnnxNode) -> Operand:
    """A quotient."""
    divisor = node.arg(1)
    if isinstance(divisor, Constant) and np.all(divisor.array != 0):
        return apply(Mul(), node.arg(0), replace(divisor, array=1.0 / divisor.array.astype(np.float64)))
    return apply(Div(), node.arg(0), divisor)


@converts("Pow", to=(Pow, Exp, Mul), note="exponent or base constant, one number")
def pow_(node: OnnxNode) -> Operand:
    """x^c, or c^x = exp(x log c)."""
    base, exponent = node.arg(0), node.arg(1)
    if isinstance(exponent, Constant) and len(set(exponent.array.ravel().tolist())) == 1:
        power = apply(Pow(float(exponent.array.ravel()[0])), base)
        return power if exponent.array.size == 1 else apply(Mul(), power, constant(np.ones(exponent.array.shape)))
    if isinstance(base, Constant) and np.all(base.array > 0):
        return apply(Exp(), apply(Mul(), exponent, replace(base, array=exact_math.log(base.array))))
    raise UnsupportedNodeError(
        "neither exponent nor base is one constant number", "write it as exp(y * log(x)) for x > 0"
    )


@converts("Where", to=(Where,))
def where(node: OnnxNode) -> Operand:
    """A choice element by element."""
    return apply(Where(), node.arg(0), node.arg(1), node.arg(2))


def _not(x: Operand) -> Operand:
    return apply(Sub(), constant(1.0, "one"), x)


@converts("Greater", "Less", to=(Greater,))
def greater(node: OnnxNode) -> Operand:
    """x > y, or y > x."""
    x, y = node.arg(0), node.arg(1)
    return apply(Greater(), x, y) if node.op_type == "Greater" else apply(Greater(), y, x)


@converts("GreaterOrEqual", "LessOrEqual", to=(Greater, Sub), since=12)
def greater_or_equal(node: OnnxNode) -> Operand:
    """Not y > x, or not x > y."""
    x, y = node.arg(0), node.arg(1)
    return _not(apply(Greater(), y, x) if node.op_type == "GreaterOrEqual" else apply(Greater(), x, y))


@converts("And", to=(Mul,))
def and_(node: OnnxNode) -> Operand:
    """The product of truth values."""
    return apply(Mul(), node.arg(0), node.arg(1))


@converts("Or", to=(Maximum,))
def or_(node: OnnxNode) -> Operand:
    """The maximum of truth values."""
    return apply(Maximum(), node.arg(0), node.arg(1))


@converts("Not", to=(Sub,))
def not_(node: OnnxNode) -> Operand:
    """1 - x of a truth value."""
    return _not(node.arg())
