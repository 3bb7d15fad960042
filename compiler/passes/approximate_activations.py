"""Replace activations by polynomials: the one pass of full mode that changes numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from enclair.compiler.approx.fits import Fit, InTheClear
from enclair.compiler.approx.series import Reals, Series
from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.stages import Stage


@dataclass(frozen=True, slots=True)
class ApproximateActivations:
    """Each named result by its fit, within the error that the fit certifies.

    %y = Relu() %x   ->   %y = Polynomial(coefficients=(...), low=-4.0, high=4.0) %x
    %y = Relu() %x   ->   %p = Polynomial(...) %x;  %q = Polynomial(...) %p;  %y = Mul() %x %q     composite sign
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    fits: Mapping[str, Fit]

    def __call__(self, graph: Graph) -> Graph:
        """The graph with polynomials."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        fit = self.fits.get(node.out.name)
        if fit is None:
            return None
        counted = _Counted()
        fit.apply(counted, np.array(fit.low))
        return fit.apply(_InGraph(graph, node, counted.count), args[0])


class _Counted(InTheClear):
    """Arithmetic that counts the nodes that it would take."""

    def __init__(self) -> None:
        self.count = 0

    def polynomial(self, series: Series, x: Reals) -> Reals:
        """One node."""
        self.count += 1
        return super().polynomial(series, x)

    def multiply(self, x: Reals, y: Reals) -> Reals:
        """One node."""
        self.count += 1
        return super().multiply(x, y)

    def times(self, x: Reals, factor: float) -> Reals:
        """One node."""
        self.count += 1
        return super().times(x, factor)

    def plus(self, x: Reals, constant: float) -> Reals:
        """One node."""
        self.count += 1
        return super().plus(x, constant)


class _InGraph:
    """Arithmetic that adds nodes; the last of them gets the name of the node that they replace."""

    def __init__(self, graph: Rewriter, node: Node, count: int) -> None:
        self.graph, self.node, self.left = graph, node, count

    def polynomial(self, series: Series, x: Value) -> Value:
        """A Polynomial."""
        return self._add(Polynomial(series.coefficients, series.low, series.high), x)

    def multiply(self, x: Value, y: Value) -> Value:
        """A Mul of two computed values."""
        return self._add(Mul(), x, y)

    def times(self, x: Value, factor: float) -> Value:
        """A Mul by a constant, or Neg."""
        if factor == -1.0:
            return self._add(Neg(), x)
        return self._add(Mul(), x, self.graph.constant(f"{self.node.out.name}.factor", np.array(factor)))

    def plus(self, x: Value, constant: float) -> Value:
        """An Add of a constant."""
        return self._add(Add(), x, self.graph.constant(f"{self.node.out.name}.addend", np.array(constant)))

    def _add(self, op: Polynomial | Mul | Neg | Add, *args: Value) -> Value:
        self.left -= 1
        name = self.node.out.name if self.left == 0 else self.graph.fresh(f"{self.node.out.name}.part")
        return self.graph.add(op, *args, name=name, origin=self.node.origin)
