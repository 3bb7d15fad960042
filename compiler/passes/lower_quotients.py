"""Write quotients, powers, roots and PRelu by functions of one element and products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.activations import LeakyRelu, PRelu, Relu, Sqrt
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul, Pow, Reciprocal
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType

MOST_PRODUCTS_OF_POWER = 64
"""The largest integer exponent that becomes products."""


@dataclass(frozen=True, slots=True)
class LowerQuotients:
    """Exact but for float64's rounding.

    Div() %x %y                      ->  Mul() %x (Reciprocal() %y)
    Div() %x (Sqrt() %y)             ->  Mul() %x (Pow(exponent=-0.5) %y);  Reciprocal() (Sqrt() %y) alike
    Pow(exponent=3) %x               ->  Mul() %x (Mul() %x %x);  other integers alike, by squares
    Pow(exponent=-2) %x              ->  the power 2 of Reciprocal() %x
    Pow(exponent=0.5) %x             ->  Sqrt() %x
    PRelu() %x %slope                ->  LeakyRelu(alpha) %x, or Add() (Mul() %x %slope) (Mul() (Relu() %x) 1 - slope)
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        producers = graph.producers()

        def visit(new: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
            match node.op:
                case Div() if args[1].name not in new.arrays:
                    inverse = _inverse(new, node, args[1], producers.get(node.args[1].name))
                    return _finish(new, node, args[0], inverse)
                case Reciprocal() if _is_root(producers.get(node.args[0].name)):
                    root = producers[node.args[0].name]
                    return new.add(Pow(-0.5), new.new[root.args[0].name], name=node.out.name, origin=node.origin)
                case Pow():
                    return _power(new, node, node.op.exponent, args[0])
                case PRelu() if args[1].name in new.arrays:
                    return _prelu(new, node, *args)
                case _:
                    return None

        return rewrite(graph, visit)


def _is_root(node: Node | None) -> bool:
    return node is not None and (isinstance(node.op, Sqrt) or (isinstance(node.op, Pow) and node.op.exponent == 0.5))


def _inverse(graph: Rewriter, node: Node, y: Value, made_by: Node | None) -> Value:
    """1 / y; of a root without the root."""
    if made_by is not None and _is_root(made_by):
        return graph.add(Pow(-0.5), graph.new[made_by.args[0].name], origin=node.origin)
    return graph.add(Reciprocal(), y, origin=node.origin)


def _finish(graph: Rewriter, node: Node, x: Value, y: Value) -> Value:
    return graph.add(Mul(), x, y, name=node.out.name, origin=node.origin)


def _power(graph: Rewriter, node: Node, exponent: float, x: Value) -> Value | None:
    """Integer powers by squaring; the last product gets the node's name."""
    if exponent == 0.5:
        return graph.add(Sqrt(), x, name=node.out.name, origin=node.origin)
    if exponent == -1:
        return graph.add(Reciprocal(), x, name=node.out.name, origin=node.origin)
    if exponent != int(exponent) or exponent == 0 or abs(exponent) > MOST_PRODUCTS_OF_POWER:
        return None
    if exponent == 1:
        return graph.add(Reshape(_shape(node.out)), x, name=node.out.name, origin=node.origin)
    base = x if exponent > 0 else graph.add(Reciprocal(), x, origin=node.origin)
    powers = {1: base}
    half, rest = _split(abs(int(exponent)))
    return _finish(graph, node, _raised(graph, node, powers, half), _raised(graph, node, powers, rest))


def _split(exponent: int) -> tuple[int, int]:
    """The largest power of two below the exponent, or half of it, and what is left: the least depth."""
    top = 1 << (exponent - 1).bit_length() - 1
    return top, exponent - top


def _raised(graph: Rewriter, node: Node, powers: dict[int, Value], exponent: int) -> Value:
    if exponent not in powers:
        parts = (_raised(graph, node, powers, part) for part in _split(exponent))
        powers[exponent] = graph.add(Mul(), *parts, origin=node.origin)
    return powers[exponent]


def _prelu(graph: Rewriter, node: Node, x: Value, slope: Value) -> Value:
    """One slope: LeakyRelu. Several: slope x + (1 - slope) relu(x)."""
    slopes = graph.arrays[slope.name]
    if slopes.size and (slopes == slopes.flat[0]).all():
        return graph.add(LeakyRelu(float(slopes.flat[0])), x, name=node.out.name, origin=node.origin)
    positive = graph.add(Relu(), x, origin=node.origin)
    rest = graph.constant(f"{slope.name}.rest", np.asarray(1 - slopes))
    parts = (graph.add(Mul(), x, slope, origin=node.origin), graph.add(Mul(), positive, rest, origin=node.origin))
    return graph.add(Add(), *parts, name=node.out.name, origin=node.origin)


def _shape(value: Value) -> tuple[int, ...]:
    return value.type.shape if isinstance(value.type, TensorType) else ()
