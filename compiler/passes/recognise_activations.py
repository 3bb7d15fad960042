"""Find activations that a model spells out, so that one polynomial does what would take several and a product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Array, Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.activations import Erf, Gelu, HardSigmoid, HardSwish, Mish, Sigmoid, Silu, Softplus, Tanh
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul, Neg, Pow, Sub
from enclair.compiler.ir.stages import Stage

KNOWN: tuple[Op, ...] = (Silu(), Gelu("none"), Gelu("tanh"), HardSwish(), Mish())
ELEMENTWISE = (Add, Sub, Mul, Div, Neg, Pow, Sigmoid, HardSigmoid, Tanh, Erf, Softplus)
POINTS = np.concatenate([np.linspace(-9.0, 9.0, 181), [-0.01, 0.01]])
CLOSE = 1e-6
"""Largest difference of two functions that are the same: models write their constants in float32."""
FARTHEST = 8
"""Most steps back from the last product of an activation to its argument."""


@dataclass(frozen=True, slots=True)
class RecogniseActivations:
    """A product of functions of one value that is a known activation, or a multiple of one, becomes it.

    Mul() %x (Sigmoid() %x)                            ->  Silu() %x
    Mul() %x (Add() (Erf() (Mul() %x 0.7071)) 1)       ->  Mul() (Gelu(approximate="none") %x) 2

    Functions are compared at points in [-9, 9], not by how they are written.
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The graph with the activations by name."""
        producers = graph.producers()

        def visit(new: Rewriter, node: Node, _: tuple[Value, ...]) -> Value | None:
            if not isinstance(node.op, Mul):
                return None
            for root in _ancestors(node, producers):
                values = _probed(graph, node, root, producers)
                if values is not None and root.type == node.out.type and (match := _match(values)) is not None:
                    return _named(new, node, new.new[root.name], *match)
            return None

        return rewrite(graph, visit)


def _ancestors(node: Node, producers: Mapping[str, Node]) -> Iterator[Value]:
    """Values that the node depends on through functions of single elements, the nearest first."""
    seen, front = {node.out.name}, [node]
    for _ in range(FARTHEST):
        reached = [arg for at in front for arg in at.args if arg.name not in seen]
        for value in dict.fromkeys(reached):
            seen.add(value.name)
            yield value
        made_by = [producers[value.name] for value in dict.fromkeys(reached) if value.name in producers]
        front = [other for other in made_by if isinstance(other.op, ELEMENTWISE)]


def _probed(graph: Graph, node: Node, root: Value, producers: Mapping[str, Node]) -> Array | None:
    """The node's values where the root has the probed ones; None when it depends on anything else."""
    known: dict[str, Array] = {root.name: POINTS}

    def value_of(value: Value, left: int) -> Array | None:
        if value.name in known:
            return known[value.name]
        if graph.is_constant(value):
            array = graph.constant(value)
            return array.reshape(()) if array.size == 1 else None
        made_by = producers.get(value.name)
        if made_by is None or left == 0 or not isinstance(made_by.op, ELEMENTWISE):
            return None
        args = [value_of(arg, left - 1) for arg in made_by.args]
        found = [arg for arg in args if arg is not None]
        if len(found) < len(args):
            return None
        known[value.name] = made_by.op.evaluate(*found)
        return known[value.name]

    return None if graph.is_constant(root) else value_of(node.out, FARTHEST)


def _match(values: Array) -> tuple[Op, float] | None:
    """The known activation that the values are a multiple of, and the factor."""
    for op in KNOWN:
        wanted = op.evaluate(POINTS)
        factor = float(values[POINTS.argmax()] / wanted[POINTS.argmax()])
        if np.isfinite(factor) and factor and np.abs(values - factor * wanted).max() <= CLOSE * abs(factor):
            return op, 1.0 if abs(factor - 1) <= CLOSE else factor
    return None


def _named(graph: Rewriter, node: Node, x: Value, op: Op, factor: float) -> Value:
    if factor == 1.0:
        return graph.add(op, x, name=node.out.name, origin=node.origin)
    constant = graph.constant(f"{node.out.name}.factor", np.array(factor))
    return graph.add(Mul(), graph.add(op, x, origin=node.origin), constant, name=node.out.name, origin=node.origin)
