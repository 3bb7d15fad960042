"""Find the polynomials that a user wrote out as products and sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

from numpy.polynomial import Polynomial as Monomials
from numpy.polynomial.chebyshev import poly2cheb

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.stages import Stage

MOST_DEGREE = 3
SQUARE = Monomials([0.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True)
class Formula:
    """A value as a polynomial, by coefficients of 1, x, x^2, ..., in another value x; a number is in none."""

    of: str
    terms: Monomials

    @property
    def degree(self) -> int:
        """With coefficients of zero left out."""
        return int(self.terms.trim().degree())


@dataclass(frozen=True, slots=True)
class RecognisePolynomials:
    """One op for x (a x + b) + c with numbers a, b, c, up to degree 3; a square alone stays a product.

        %s = Mul() %x %a;  %t = Add() %s %b;  %y = Mul() %x %t    ->    %y = Polynomial(...) %x

    Degree two then takes one level instead of two. Exact but for float rounding.
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The graph with polynomials where something else than a longer polynomial reads the value."""
        formulas = _formulas(graph)
        chosen = {name: formula for name, formula in formulas.items() if _is_end(graph, name, formulas)}

        def visit(rewriter: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:  # noqa: ARG001
            formula = chosen.get(node.out.name)
            if formula is None:
                return None
            coefficients = tuple(float(c) for c in poly2cheb(formula.terms.trim().coef))
            op = Polynomial(coefficients, -1.0, 1.0)
            return rewriter.add(op, rewriter.new[formula.of], name=node.out.name, origin=node.origin)

        return rewrite(graph, visit)


def _formulas(graph: Graph) -> dict[str, Formula]:
    """The values that are polynomials of degree 1 to 3 in another one, the farthest back that they can be."""
    found: dict[str, Formula] = {}
    for node in graph.nodes:
        formula = _formula(graph, node, found)
        if formula is not None and 1 <= formula.degree <= MOST_DEGREE:
            found[node.out.name] = formula
    return found


def _formula(graph: Graph, node: Node, found: Mapping[str, Formula]) -> Formula | None:
    """Of sums and products with numbers, or of two formulas in one value; the longest that is not too long."""
    if not isinstance(node.op, Add | Sub | Mul | Neg):
        return None
    for operands in product(*(_readings(graph, node, arg, found) for arg in node.args)):
        bases = {operand.of for operand in operands if operand.of}
        if len(bases) == 1:
            formula = Formula(bases.pop(), _combined(node.op, [operand.terms for operand in operands]))
            if formula.degree <= MOST_DEGREE:
                return formula
    return None


def _readings(graph: Graph, node: Node, arg: Value, found: Mapping[str, Formula]) -> list[Formula]:
    """How an argument can be read: as a number, as a formula in a value further back, as a value."""
    if graph.is_constant(arg):
        array = graph.constant(arg)
        same = array.size and bool((array == array.flat[0]).all())
        return [Formula("", Monomials([float(array.flat[0])]))] if same else []
    if arg.type != node.out.type:
        return []
    itself = Formula(arg.name, Monomials([0.0, 1.0]))
    return [found[arg.name], itself] if arg.name in found else [itself]


def _combined(op: Op, terms: list[Monomials]) -> Monomials:
    match op:
        case Add():
            return terms[0] + terms[1]
        case Sub():
            return terms[0] - terms[1]
        case Mul():
            return terms[0] * terms[1]
        case _:
            return -terms[0]


def _is_end(graph: Graph, name: str, formulas: Mapping[str, Formula]) -> bool:
    """Whether a polynomial of a degree above 1, but no square alone, is read by something that is no longer one."""
    formula = formulas[name]
    if formula.degree < 2 or formula.terms.trim() == SQUARE:
        return False
    readers = [formulas.get(reader.out.name) for reader in graph.consumers()[name]]
    outputs = {value.name for value in graph.outputs}
    return name in outputs or not readers or any(reader is None or reader.of != formula.of for reader in readers)
