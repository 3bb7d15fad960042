"""Proven intervals of the reals in a graph, element by element, from the intervals of its inputs.

Interval arithmetic (Moore, 1966): for a weighted sum of elements in [c - r, c + r] the interval is that of sum w c with
radius sum |w| r. Every result is widened by a share of 1e-12 for float64's rounding. Intervals take no notice of how
values depend on each other; they say something near the inputs, and behind functions that are bounded themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, prod

import numpy as np

from enclair.compiler.approx.ranges import Range
from enclair.compiler.ir.graph import Array, Graph, Node, Value
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
    Relu,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Softsign,
    Sqrt,
    Tanh,
)
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Abs, Add, Div, Maximum, Minimum, Mul, Neg, Pow, Reciprocal, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.normalisation import LayerNormalization
from enclair.compiler.ir.ops.pooling import AveragePool, MaxPool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import Pad
from enclair.compiler.ir.types import TensorType
from enclair.compiler.planner.sides import MOVES

INCREASING = (
    Relu, LeakyRelu, Clip, Sigmoid, Tanh, Erf, HardSigmoid, Softplus, Softsign, Elu, Selu, Celu, Exp, Add, Maximum,
    Minimum, MaxPool, SumPool, AveragePool, ReduceSum, ReduceMean, ReduceMax, Pad, *MOVES,
)  # fmt: skip
"""Ops that grow with every argument (of a parameter alpha, for alpha >= 0)."""
POSITIVE = (Log, Sqrt)
"""Ops that grow, defined above 0."""
LEAST: Mapping[type[Op], float] = {Gelu: -0.1701, Silu: -0.2785, HardSwish: -0.375, Mish: -0.3089}
"""Functions that fall to a minimum left of 0 and grow beyond, with a bound below it."""
ROUNDING_SHARE = 1e-12


@dataclass(frozen=True, slots=True)
class Bounds:
    """Elementwise lower and upper bounds of a tensor."""

    low: Array
    high: Array

    @property
    def finite(self) -> bool:
        """Whether every element is bounded."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    @property
    def range(self) -> Range:
        """Of all elements."""
        return Range(float(self.low.min(initial=inf)), float(self.high.max(initial=-inf)))


def proven_ranges(graph: Graph, input_ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The range of every value of a graph of reals, by name; infinite where nothing is known.

    Args:
        graph: in the stage of tensors.
        input_ranges: of inputs; those without are unbounded.
    """
    known = {value.name: _of_input(value, input_ranges.get(value.name)) for value in graph.inputs}
    known |= {name: Bounds(array, array) for name, array in graph.arrays.items()}
    for node in graph.nodes:
        known[node.out.name] = _of_node(node, tuple(known[arg.name] for arg in node.args))
    return {name: bounds.range for name, bounds in known.items()}


def _of_input(value: Value, range_: Range | None) -> Bounds:
    shape = _shape(value)
    low, high = (-inf, inf) if range_ is None else (range_.low, range_.high)
    return Bounds(np.full(shape, float(low)), np.full(shape, float(high)))


def _shape(value: Value) -> tuple[int, ...]:
    return value.type.shape if isinstance(value.type, TensorType) else ()


def _of_node(node: Node, args: tuple[Bounds, ...]) -> Bounds:
    with np.errstate(all="ignore"):
        found = _of_op(node, args)
        if found is None or np.isnan(found.low).any() or np.isnan(found.high).any():
            shape = _shape(node.out)
            return Bounds(np.full(shape, -inf), np.full(shape, inf))
        slack = ROUNDING_SHARE * np.maximum(np.abs(found.low), np.abs(found.high))
        return Bounds(found.low - slack, found.high + slack)


def _of_op(node: Node, args: tuple[Bounds, ...]) -> Bounds | None:
    """The op's bounds; None where no rule gives one."""
    op, x = node.op, args[0] if args else None
    if x is None:
        return None
    if isinstance(op, Conv | ConvTranspose | MatMul):
        return _bilinear(op, x, args[1]) if x.finite and args[1].finite else None
    if isinstance(op, Mul) and node.args[0] == node.args[1]:
        return _even_power(x, 2.0)
    if isinstance(op, INCREASING) and getattr(op, "alpha", 0.0) >= 0:
        return Bounds(op.evaluate(*(arg.low for arg in args)), op.evaluate(*(arg.high for arg in args)))
    return _of_arithmetic(op, args) or _of_function(node, args)


def _of_arithmetic(op: Op, args: tuple[Bounds, ...]) -> Bounds | None:
    x = args[0]
    match op:
        case Neg():
            return Bounds(-x.high, -x.low)
        case Sub():
            return Bounds(x.low - args[1].high, x.high - args[1].low)
        case Mul():
            return _product(x, args[1])
        case Div():
            inverse = _inverse(args[1])
            return None if inverse is None else _product(x, inverse)
        case Reciprocal():
            return _inverse(x)
        case Abs():
            return Bounds(np.maximum(np.maximum(x.low, -x.high), 0), np.maximum(-x.low, x.high))
        case Pow():
            return _power(op, x)
        case _:
            return None


def _of_function(node: Node, args: tuple[Bounds, ...]) -> Bounds | None:
    op, x = node.op, args[0]
    if isinstance(op, Softmax):
        return Bounds(np.zeros_like(x.low), np.ones_like(x.low))
    if isinstance(op, LayerNormalization):
        return _standardised(op, args)
    if isinstance(op, POSITIVE):
        return Bounds(op.evaluate(x.low), op.evaluate(x.high)) if (x.low > 0).all() else None
    if type(op) in LEAST:
        ends = op.evaluate(x.low), op.evaluate(x.high)
        return Bounds(np.where(x.low >= 0, ends[0], LEAST[type(op)]), np.maximum(*ends))
    return None


def _bilinear(op: Op, x: Bounds, y: Bounds) -> Bounds:
    """(cx +- rx) (cy +- ry) = cx cy +- (|cx| ry + rx |cy| + rx ry), summed by the op."""
    (cx, rx), (cy, ry) = _centred(x), _centred(y)
    centre = op.evaluate(cx, cy)
    radius = op.evaluate(rx, np.abs(cy) + ry)
    if ry.any():
        radius = radius + op.evaluate(np.abs(cx), ry)
    return Bounds(centre - radius, centre + radius)


def _centred(x: Bounds) -> tuple[Array, Array]:
    return (x.low + x.high) / 2, (x.high - x.low) / 2


def _product(x: Bounds, y: Bounds) -> Bounds:
    corners = [a * b for a in (x.low, x.high) for b in (y.low, y.high)]
    return Bounds(np.minimum.reduce(corners), np.maximum.reduce(corners))


def _inverse(x: Bounds) -> Bounds | None:
    one_sided = ((x.low > 0) | (x.high < 0)).all()
    return Bounds(1 / x.high, 1 / x.low) if one_sided else None


def _power(op: Pow, x: Bounds) -> Bounds | None:
    if op.exponent > 0 and op.exponent % 2 == 0:
        return _even_power(x, op.exponent)
    if op.exponent > 0 and op.exponent % 2 == 1:
        return Bounds(op.evaluate(x.low), op.evaluate(x.high))
    if not (x.low > 0).all():
        return None
    ends = op.evaluate(x.low), op.evaluate(x.high)
    return Bounds(np.minimum(*ends), np.maximum(*ends))


def _even_power(x: Bounds, exponent: float) -> Bounds:
    least = np.maximum(np.maximum(x.low, -x.high), 0)
    return Bounds(least**exponent, np.maximum(-x.low, x.high) ** exponent)


def _standardised(op: LayerNormalization, args: tuple[Bounds, ...]) -> Bounds:
    """Of n numbers with mean 0 and mean square 1 none is beyond sqrt(n - 1)."""
    x, gamma, beta = args
    reach = np.full(x.low.shape, max(prod(x.low.shape[op.axis :]) - 1, 0) ** 0.5)
    scaled = _product(Bounds(-reach, reach), gamma)
    return Bounds(scaled.low + beta.low, scaled.high + beta.high)
