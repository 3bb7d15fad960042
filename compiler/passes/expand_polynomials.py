"""Turn polynomials of ciphertexts into products and sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import AddPlainVectors, EvaluatePolynomial, MultiplyCiphers, MultiplyPlain
from enclair.compiler.ir.stages import Stage
from enclair.compiler.planner.polynomial_plans import Power, Sum, plan_polynomial, significant

ROUNDING = 1e-12
"""Relative: a factor nearer to one counts as one."""


@dataclass(frozen=True, slots=True)
class ExpandPolynomials:
    """Evaluate polynomials of degree d in ceil(log2(d + 1)) levels, with the fewest key switches.

        %y = EvaluatePolynomial(coefficients=(c0, c1, c2), low=-1, high=1) %x
     ->
        %square = MultiplyCiphers() %x %x          # and so on: T_2, T_3, ... by T_(a+b) = 2 T_a T_b - T_(a-b)
        %y = AddPlainVectors() ...

    Case 1: degree 0 and 1: at most one product with a plaintext, none where the slope is 1 or -1.
    Case 2: degree 2, x^2 with the factor 1 or -1: x (x + b) + c, one level.
    Case 3: degree 2 and 3 otherwise: x (a x + b) + c and x^2 (a x + b) + (c x + d), two levels, whatever the interval.
    Case 4: any other degree: the plan of ``plan_polynomial``. An interval whose half is not 1 takes one more level, for
    the product with 2 / (high - low): run FoldPolynomialRanges first.

    Exact but for float rounding.
    """

    produces: ClassVar[Stage] = Stage.PACKED

    def __call__(self, graph: Graph) -> Graph:
        """The graph without EvaluatePolynomial."""
        return rewrite(graph, _visit)


def _visit(graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
    if not isinstance(node.op, EvaluatePolynomial):
        return None
    emit = _Emitter(graph, node)
    result = emit.polynomial(node.op, args[0])
    return emit.named(result)


def monomials(op: EvaluatePolynomial) -> tuple[float, ...]:
    """The coefficients of 1, x, x^2, ...; for low degrees only, since it cancels in high ones."""
    p = np.polynomial.chebyshev.Chebyshev(significant(op.coefficients), domain=[op.low, op.high])
    return tuple(np.atleast_1d(p.convert(kind=np.polynomial.Polynomial).coef).tolist())


class _Emitter:
    """Adds the nodes for one polynomial."""

    def __init__(self, graph: Rewriter, node: Node) -> None:
        self.graph, self.node = graph, node

    def named(self, result: Value) -> Value:
        """The result under the name of the polynomial's."""
        name, origin = self.node.out.name, self.node.origin
        if not self.graph.nodes or self.graph.nodes[-1].out != result:
            return self.graph.add(AddPlainVectors(), result, self._number(0.0), name=name, origin=origin)
        last = self.graph.nodes.pop()
        return self.graph.add(last.op, *last.args, name=name, origin=origin)

    def polynomial(self, op: EvaluatePolynomial, x: Value) -> Value:
        """Cases 1 to 4 of the pass."""
        degree = len(significant(op.coefficients)) - 1
        half, middle = (op.high - op.low) / 2, (op.high + op.low) / 2
        if degree <= 1:
            return self._line(x, *monomials(op))
        if degree == 2:
            return self._square(x, *monomials(op))
        if degree == 3 and (half, middle) != (1.0, 0.0):
            return self._cube(x, *monomials(op))
        return self._planned(self._normalised(x, half, middle), op.coefficients)

    def _line(self, x: Value, constant: float, slope: float = 0.0) -> Value:
        return self._plus(self._times(x, slope), constant)

    def _square(self, x: Value, c: float, b: float, a: float) -> Value:
        if abs(abs(a) - 1) <= ROUNDING:
            return self._plus(self._product(x if a > 0 else self._negated(x), self._plus(x, b / a)), c)
        return self._plus(self._product(x, self._plus(self._times(x, a), b)), c)

    def _cube(self, x: Value, d: float, c: float, b: float, a: float) -> Value:
        square = self._product(x, x)
        high = self._product(square, self._plus(self._times(x, a), b))
        return self._plus(self._added([high, *([self._times(x, c)] if c else [])]), d)

    def _normalised(self, x: Value, half: float, middle: float) -> Value:
        inside = x if abs(half - 1) <= ROUNDING else self._times(x, 1 / half)
        return self._plus(inside, -middle / half)

    def _planned(self, x: Value, coefficients: Sequence[float]) -> Value:
        plan = plan_polynomial(coefficients)
        for _ in range(plan.doublings):
            x = self._power(Power(2, 1, 1), {1: x})
        powers = {1: x}
        for power in plan.powers:
            powers[power.n] = self._power(power, powers)
        return self._sum(plan.sum, powers)

    def _power(self, power: Power, powers: dict[int, Value]) -> Value:
        product = self._product(powers[power.a], powers[power.b])
        twice = self._add(AddCiphers(), product, product)
        if power.a == power.b:
            return self._plus(twice, -1.0)
        return self._add(SubtractCiphers(), twice, powers[power.a - power.b])

    def _sum(self, part: Sum, powers: dict[int, Value]) -> Value:
        products = [self._product(self._sum(quotient, powers), powers[n]) for quotient, n in part.products]
        scaled = [self._times(powers[n], factor) for n, factor in part.scaled]
        return self._plus(self._added(products + scaled), part.constant)

    def _added(self, summands: Sequence[Value]) -> Value:
        return reduce(partial(self._add, AddCiphers()), summands)

    def _product(self, x: Value, y: Value) -> Value:
        return self._add(MultiplyCiphers(), x, y)

    def _negated(self, x: Value) -> Value:
        return self._add(SubtractCiphers(), x, self._add(AddCiphers(), x, x))

    def _times(self, x: Value, factor: float) -> Value:
        if abs(abs(factor) - 1) <= ROUNDING:
            return x if factor > 0 else self._negated(x)
        return self._add(MultiplyPlain(), x, self._number(factor))

    def _plus(self, x: Value, summand: float) -> Value:
        return self._add(AddPlainVectors(), x, self._number(summand)) if summand else x

    def _number(self, number: float) -> Value:
        return self.graph.constant(f"{self.node.out.name}.c", np.array([[number]]))

    def _add(self, op: Op, *args: Value) -> Value:
        stem = f"{self.node.out.name}.{type(op).__name__.lower()}"
        return self.graph.add(op, *args, name=self.graph.fresh(stem), origin=self.node.origin)
