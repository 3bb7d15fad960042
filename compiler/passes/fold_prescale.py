"""Fold what maps a polynomial's interval to [-1, 1] into what comes before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Array, Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType

LINEAR = (Conv, ConvTranspose, MatMul)


@dataclass(frozen=True, slots=True)
class FoldPrescale:
    """Until nothing changes; an inner value must have no other readers.

    Polynomial(c, low, high) (Mul() %x s)      ->  Polynomial(c, low / s, high / s) %x          s one number > 0
    Polynomial(c, low, high) (Add() %x b)      ->  Polynomial(c, low - b, high - b) %x          b one number
    Polynomial(c, -h, h) (Neg() %x)            ->  Polynomial(c with odd terms negated, -h, h) %x
    Polynomial(c, low, high) (Conv(...) %x %w) ->  Polynomial(c, -1, 1) (Add() (Conv(...) %x (w s)) b),
                                                   s = 2 / (high - low), b = -(high + low) / (high - low);
                                                   MatMul, ConvTranspose, and these with an Add of a constant, alike
    Mul() %x (Polynomial(c, -h, h) %x)         ->  Mul() %y (Polynomial(h c, -1, 1) %y)         y = x / h, folded alike
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The folded graph."""
        for fold in (_absorb, _fold_linear):
            while (folded := fold(graph)) is not None:
                graph = folded
        return graph


def _absorb(graph: Graph) -> Graph | None:
    """Take one number's multiplication or addition into the interval of the polynomial that alone reads it."""
    readers, producers = graph.consumers(), graph.producers()
    outputs = {value.name for value in graph.outputs}
    for node in graph.nodes:
        inner = producers.get(node.args[0].name) if isinstance(node.op, Polynomial) else None
        if inner is None or len(readers[inner.out.name]) > 1 or inner.out.name in outputs:
            continue
        if (op := _absorbed(graph, node, inner)) is not None:
            return _replaced(graph, {node.out.name: replace(node, op=op, args=inner.args[:1])})
    return None


def _absorbed(graph: Graph, node: Node, inner: Node) -> Polynomial | None:
    op = node.op
    if not isinstance(op, Polynomial) or inner.args[0].type != inner.out.type:
        return None
    if isinstance(inner.op, Neg) and op.low == -op.high:
        return replace(op, coefficients=tuple(-c if k % 2 else c for k, c in enumerate(op.coefficients)))
    constant = graph.arrays.get(inner.args[1].name) if len(inner.args) == 2 else None
    if constant is None or constant.size != 1:
        return None
    number = float(constant.reshape(()))
    if isinstance(inner.op, Mul) and number > 0:
        return replace(op, low=op.low / number, high=op.high / number)
    if isinstance(inner.op, Add):
        return replace(op, low=op.low - number, high=op.high - number)
    return None


def _replaced(graph: Graph, new: dict[str, Node]) -> Graph:
    """The graph with other nodes under the same names."""

    def visit(copy: Rewriter, node: Node, _: tuple[Value, ...]) -> Value | None:
        if node.out.name not in new:
            return None
        other = new[node.out.name]
        return copy.keep(other, tuple(copy.new[arg.name] for arg in other.args))

    return rewrite(graph, visit)


def _fold_linear(graph: Graph) -> Graph | None:
    """Scale the first linear layer whose result goes to polynomials on one interval only."""
    readers = graph.consumers()
    outputs = {value.name for value in graph.outputs}
    for value in graph.values():
        domain = _domain(graph, value, readers)
        if domain is None or domain == (-1.0, 1.0) or value.name in outputs:
            continue
        if (chain := _linear_chain(graph, value, readers, outputs)) is not None:
            return _scaled(graph, value, chain, domain)
    return None


def _domain(graph: Graph, value: Value, readers: dict[str, list[Node]]) -> tuple[float, float] | None:
    """The interval that all readers of a value share; None when one is not a polynomial, nor its product with x."""
    polynomials = [node for node in readers[value.name] if isinstance(node.op, Polynomial)]
    domains = {(node.op.low, node.op.high) for node in polynomials if isinstance(node.op, Polynomial)}
    others = [node for node in readers[value.name] if not isinstance(node.op, Polynomial)]
    if len(domains) != 1 or not all(_factor_of(graph, node, value, readers) for node in others):
        return None
    (domain,) = domains
    return None if others and domain[0] != -domain[1] else domain


def _factor_of(graph: Graph, node: Node, value: Value, readers: dict[str, list[Node]]) -> Node | None:
    """The polynomial whose result a Mul multiplies with the value and which it alone reads."""
    if not isinstance(node.op, Mul) or node.args.count(value) != 1:
        return None
    other = next(arg for arg in node.args if arg != value)
    made_by = graph.producers().get(other.name)
    alone = made_by is not None and len(readers[other.name]) == 1 and other not in graph.outputs
    return made_by if alone and made_by is not None and isinstance(made_by.op, Polynomial) else None


def _linear_chain(graph: Graph, value: Value, readers: dict[str, list[Node]], outputs: set[str]) -> list[Node] | None:
    """A layer with weights, and perhaps an addition of a constant after it, that make the value for nothing else."""
    producers, chain, name = graph.producers(), [], value.name
    while (node := producers.get(name)) is not None:
        chain.append(node)
        if len(readers[name]) > 1 and len(chain) > 1:
            return None
        constant = len(node.args) == 2 and graph.is_constant(node.args[1])
        if isinstance(node.op, LINEAR):
            return chain if constant else None
        if not (isinstance(node.op, Add) and constant) or node.args[0].type != node.out.type:
            return None
        name = node.args[0].name
        if name in outputs:
            return None
    return None


def _scaled(graph: Graph, value: Value, chain: list[Node], domain: tuple[float, float]) -> Graph:
    """The graph with the chain's constants scaled, the rest added, and the readers on [-1, 1]."""
    low, high = domain
    scale, offset = 2 / (high - low), -(high + low) / (high - low)
    readers = graph.consumers()
    targets = {node.out.name for node in readers[value.name] if isinstance(node.op, Polynomial)}
    factors = [_factor_of(graph, node, value, readers) for node in readers[value.name]]
    enlarged = {node.out.name for node in factors if node is not None}
    links = {node.out.name for node in chain}

    def visit(new: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        name = node.out.name
        if name in links:
            return _scaled_link(new, node, args, scale, offset if name == value.name else 0.0)
        if isinstance(node.op, Polynomial) and name in targets | enlarged:
            op = replace(node.op, low=-1.0, high=1.0) if name in targets else node.op
            gain = high if name in enlarged else 1.0
            op = replace(op, coefficients=tuple(gain * c for c in op.coefficients))
            return new.add(op, *args, name=name, origin=node.origin)
        return None

    return rewrite(graph, visit)


def _scaled_link(graph: Rewriter, node: Node, args: tuple[Value, ...], scale: float, offset: float) -> Value:
    """The layer or addition with its constant scaled, and ``offset`` added after it."""
    array: Array = graph.arrays[args[1].name] * scale
    if isinstance(node.op, Add):
        constant = graph.constant(args[1].name, array + offset)
        return graph.add(node.op, args[0], constant, name=node.out.name, origin=node.origin)
    weights = graph.constant(args[1].name, array)
    if offset == 0.0:
        return graph.add(node.op, args[0], weights, name=node.out.name, origin=node.origin)
    result = graph.add(node.op, args[0], weights, origin=node.origin)
    rank = len(node.out.type.shape) if isinstance(node.out.type, TensorType) else 0
    addend = graph.constant(f"{node.out.name}.offset", np.full((1,) * rank, offset))
    return graph.add(Add(), result, addend, name=node.out.name, origin=node.origin)
