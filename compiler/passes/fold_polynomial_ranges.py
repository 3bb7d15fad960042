"""Fold the scaling of a polynomial's argument into the linear ops before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    EvaluatePolynomial,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    RotateSlots,
)
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType
from enclair.compiler.planner.polynomial_plans import significant

MULTIPLYING = (LinearTransform, MultiplyPlain)
PASSING_ON = (AddCiphers, SubtractCiphers, AddPlainVectors, ConcatCiphers, SelectCiphers, RotateSlots)
LARGEST_SHIFT = 16.0
"""x^2 + b x is left alone for larger b: the noise of x would grow by as much."""


@dataclass(frozen=True, slots=True)
class FoldPolynomialRanges:
    """Scale what a polynomial reads so that its interval has the half 1, at no cost.

        %x = LinearTransform(...) ... %w ...         ->   %x = LinearTransform(...) ... %w / 4 ...
        %y = EvaluatePolynomial(..., -4, 4) %x       ->   %y = EvaluatePolynomial(..., -1, 1) %x

    Every other reader of the value must undo it at no cost too: another polynomial, a product with a plaintext, or the
    product with a polynomial that nothing else reads. A polynomial of degree 2 gets the factor that makes it x^2 + b x
    + c, or the negative of that, one level instead of two; one of degree 1 the slope 1.
    """

    produces: ClassVar[Stage] = Stage.PACKED

    def __call__(self, graph: Graph) -> Graph:
        """The graph with scaled constants."""
        factors = _factors(graph)
        return rewrite(graph, lambda rewriter, node, args: _visit(rewriter, node, args, factors))


def wanted_factor(op: EvaluatePolynomial) -> float:
    """By what the argument should be multiplied; 1 where nothing is won."""
    p, half = significant(op.coefficients), (op.high - op.low) / 2
    if len(p) == 1:
        return 1.0
    if len(p) == 2:
        return float(abs(p[1])) / half
    if len(p) == 3:
        factor = sqrt(2 * abs(p[2])) / half
        slope = p[1] / half - 4 * p[2] * (op.low + op.high) / 2 / half**2
        return factor if abs(slope) <= LARGEST_SHIFT * factor else 1.0
    return 1 / half


def _factors(graph: Graph) -> dict[str, float]:
    """Value name -> the factor it gets, for values between the ops that can absorb it and their readers."""
    reading = _Reading(graph)
    factors: dict[str, float] = {}
    for node in graph.nodes:
        if isinstance(node.op, EvaluatePolynomial) and (x := node.args[0]).name not in factors:
            factor = wanted_factor(node.op)
            scaled = reading.scaled_with(x) if abs(factor - 1) > 1e-12 and reading.can_undo(x) else None
            if scaled is not None and not scaled & factors.keys():
                factors.update(dict.fromkeys(scaled, factor))
    return factors


class _Reading:
    """Who makes and reads the values of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.producers, self.readers = graph.producers(), graph.consumers()
        self.outputs = {value.name for value in graph.outputs}

    def can_undo(self, x: Value) -> bool:
        """Whether every reader of a value can undo a factor."""
        return x.name not in self.outputs and all(self._undoes(reader, x) for reader in self.readers[x.name])

    def _undoes(self, reader: Node, x: Value) -> bool:
        if isinstance(reader.op, MultiplyCiphers):
            return self.polynomial_factor(reader, x) is not None
        return isinstance(reader.op, (*MULTIPLYING, EvaluatePolynomial))

    def polynomial_factor(self, reader: Node, x: Value) -> str | None:
        """The name of the other factor, where it is a polynomial that nothing else reads."""
        others = [arg.name for arg in reader.args if arg != x]
        if len(others) != 1 or others[0] in self.outputs or len(self.readers[others[0]]) != 1:
            return None
        made = self.producers.get(others[0])
        return others[0] if made is not None and isinstance(made.op, EvaluatePolynomial) else None

    def scaled_with(self, x: Value) -> set[str] | None:
        """The values that get the factor with this one: from the products that absorb it on. None where none does."""
        names, waiting = {x.name}, [x.name]
        while waiting:
            node = self.producers.get(waiting.pop())
            if node is None or not isinstance(node.op, MULTIPLYING + PASSING_ON):
                return None
            if isinstance(node.op, PASSING_ON):
                before = {arg.name for arg in node.args if not isinstance(arg.type, TensorType)} - names
                names |= before
                waiting += before
        return names if all(self._stays_within(name, names) for name in names - {x.name}) else None

    def _stays_within(self, name: str, names: set[str]) -> bool:
        """Whether nothing else than values that are scaled too is made of a value."""
        return name not in self.outputs and all(reader.out.name in names for reader in self.readers[name])


def _visit(graph: Rewriter, node: Node, args: tuple[Value, ...], factors: Mapping[str, float]) -> Value | None:
    made = factors.get(node.out.name, 1.0)
    read = factors.get(node.args[0].name, 1.0)
    if isinstance(node.op, MULTIPLYING) and made / read != 1.0:
        at = 5 if isinstance(node.op, LinearTransform) else 1
        return _again(graph, node, (*args[:at], _times(graph, args[at], made / read), *args[at + 1 :]))
    if isinstance(node.op, AddPlainVectors) and made != 1.0:
        return _again(graph, node, (args[0], _times(graph, args[1], made)))
    if isinstance(node.op, EvaluatePolynomial):
        share = _undone_after(graph.old, node, factors)
        if read != 1.0 or share != 1.0:
            coefficients = tuple(c * share for c in node.op.coefficients)
            op = replace(node.op, coefficients=coefficients, low=node.op.low * read, high=node.op.high * read)
            return graph.add(op, *args, name=node.out.name, origin=node.origin)
    return None


def _undone_after(graph: Graph, node: Node, factors: Mapping[str, float]) -> float:
    """What a polynomial is multiplied by because the value it will be multiplied with was scaled."""
    reading = _Reading(graph)
    for reader in reading.readers[node.out.name]:
        if isinstance(reader.op, MultiplyCiphers):
            for x in reader.args:
                if x.name in factors and reading.polynomial_factor(reader, x) == node.out.name:
                    return 1 / factors[x.name]
    return 1.0


def _times(graph: Rewriter, constant: Value, factor: float) -> Value:
    return graph.constant(constant.name, np.asarray(graph.arrays[constant.name] * factor))


def _again(graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value:
    return graph.add(node.op, *args, name=node.out.name, origin=node.origin)
