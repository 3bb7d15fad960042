"""A graph of tensors as few steps: sums of linear maps of values, polynomials of values, products of values.

Every chain of linear ops between two nonlinear ones becomes one map for each value it starts from, unless a value in
between is read more than once or the composition has many more nonzeros than its parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Graph, Node, Value
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul, Pow, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.normalisation import BatchNorm
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.ops.pooling import AveragePool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import Concat, DepthToSpace, Resize, SpaceToDepth
from enclair.compiler.packing.slotted.linear_ops import MOVES, AffineOp, affine_op, expansion, shape_of
from enclair.compiler.packing.slotted.maps import (
    LinearMap,
    Shape,
    composed_nonzeros,
    identity,
    identity_map,
    matrix,
)
from enclair.compiler.packing.slotted.spreads import spread_left, spread_right
from enclair.compiler.packing.slotted.steps import (
    AffineStep,
    PolynomialStep,
    ProductStep,
    Step,
    WindowStep,
    with_argument,
)

SPATIAL = (Conv, ConvTranspose, SumPool, AveragePool, Resize, DepthToSpace, SpaceToDepth)
"""Ops on images; tensors of their shapes are packed as such."""
WINDOWS = (SumPool, AveragePool, ReduceSum, ReduceMean)
LINEAR = (Conv, ConvTranspose, Add, Sub, BatchNorm, *WINDOWS, *MOVES)
"""Ops that read their first argument linearly, and may read slots beside garbage."""
Scaled: TypeAlias = tuple[str, float]
"""A computed value, and by what it is still to be multiplied."""
MOST_NONZEROS = 1 << 23
"""Of a map whose factors must be multiplied out."""
MOST_GROWTH = 4.0
"""How many times the nonzeros of its parts a composition may have."""


@dataclass(frozen=True, slots=True, eq=False)
class _Affine:
    """A value that is not computed yet: maps of computed ones, and a constant."""

    shape: Shape
    terms: dict[str, LinearMap]
    bias: Array | None

    @property
    def nonzeros(self) -> int:
        return sum(map_.nonzeros for map_ in self.terms.values())

    @property
    def is_move(self) -> bool:
        """Whether it costs nothing to compute it again."""
        return all(map_.nonzeros <= max(prod(map_.shape_in), prod(map_.shape_out)) for map_ in self.terms.values())


@dataclass(slots=True)
class Regions:
    """Cuts a graph into steps.

    Args:
        graph: of tensors of reals, without nonlinear ops but polynomials and products.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    images: set[Shape] = field(default_factory=set)
    readers: dict[str, list[Node]] = field(init=False)
    outputs: set[str] = field(init=False)
    _pending: dict[str, _Affine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers = self.graph.consumers()
        self.outputs = {value.name for value in self.graph.outputs}

    def run(self) -> list[Step]:
        """The steps, in order; each output of the graph is made by one of them.

        Raises:
            PackingError: an op has no packed form.
        """
        for value in self.graph.inputs:
            self.shapes[value.name] = shape_of(value)
        for node in self.graph.nodes:
            self._visit(node)
            if self._needs_computing(node, self.readers[node.out.name]):
                self._computed(node.out.name, node.origin)
        for value in self.graph.outputs:
            self._computed(value.name, "")
        return self.steps

    def _needs_computing(self, node: Node, readers: list[Node]) -> bool:
        """A value read more than once is computed, unless all that reads it only moves elements.

        What products of matrices read must be spread in any case: before that, it is computed in one.
        """
        value = self._pending.get(node.out.name)
        if value is None or len(readers) < 2 or value.is_move:
            return False
        moved = all(self._moves(reader) for reader in readers)
        return not moved or all(isinstance(op, MatMul) for op in self._beyond_moves(node.out.name))

    def _moves(self, node: Node) -> bool:
        """Whether a node only moves elements, or multiplies all by one number."""
        factors = [self.graph.constant(arg) for arg in node.args if self.graph.is_constant(arg)]
        scales = isinstance(node.op, Mul | Div) and any(factor.size == 1 for factor in factors)
        return scales or isinstance(node.op, MOVES)

    def _beyond_moves(self, name: str) -> Iterator[Op]:
        """The ops that read a value, or what only moves its elements."""
        for reader in self.readers[name]:
            if self._moves(reader):
                yield from self._beyond_moves(reader.out.name)
            else:
                yield reader.op

    def _visit(self, node: Node) -> None:
        name = node.out.name
        if all(self.graph.is_constant(arg) for arg in node.args):
            raise PackingError(name, "is computed from constants alone: fold constants first")
        if isinstance(node.op, SPATIAL):
            self.images |= {shape_of(node.args[0]), shape_of(node.out)}
        if (affine := affine_op(self.graph, node)) is not None:
            self._pending[name] = self._window(node, affine.map) or self._mapped(node.args[affine.argument], affine)
        elif isinstance(node.op, Add | Sub):
            sign = 1.0 if isinstance(node.op, Add) else -1.0
            left, right = (self._broadcast(arg, shape_of(node.out)) for arg in node.args)
            self._pending[name] = _summed(left, right, sign)
        elif isinstance(node.op, Concat):
            self._pending[name] = self._concatenated(node)
        else:
            self._nonlinear(node)

    def _nonlinear(self, node: Node) -> None:
        name, shape = node.out.name, shape_of(node.out)
        match node.op:
            case Polynomial():
                shift = self._without_shift(node.args[0].name)
                argument, scale = self._unscaled(node.args[0].name, node.origin)
                moved = with_argument(node.op, scale, shift)
                self._append(PolynomialStep(name, shape, argument, moved, node.origin))
            case Pow(exponent=2.0):
                operand = self._unscaled(node.args[0].name, node.origin)
                self._product(node, shape, (operand, operand), 1)
            case Mul():
                left, right = (self._operand(arg, expansion(shape_of(arg), shape), node) for arg in node.args)
                self._product(node, shape, (left, right), 1)
            case MatMul():
                self._matrix_product(node, shape)
            case _:
                raise PackingError(
                    name, f"{type(node.op).__name__} has no form on CKKS slots: approximate it by polynomials first"
                )

    def _append(self, step: Step) -> None:
        self.shapes[step.out] = step.shape
        self.steps.append(step)

    def _matrix_product(self, node: Node, shape: Shape) -> None:
        """sum_k x[i, k] y[k, j]: both spread to (k, ..., i, j), multiplied, and summed over k."""
        left, right = shape_of(node.args[0]), shape_of(node.args[1])
        left = left if len(left) > 1 else (1, *left)
        right = right if len(right) > 1 else (*right, 1)
        inner = left[-1]
        operands = (spread_left(left, right), spread_right(left, right))
        left_operand, right_operand = (
            self._operand(arg, map_, node) for arg, map_ in zip(node.args, operands, strict=True)
        )
        self._product(node, shape, (left_operand, right_operand), inner)

    def _product(self, node: Node, shape: Shape, operands: tuple[Scaled, Scaled], sums: int) -> None:
        """A product of multiples of values: the multiple is left to what reads it."""
        (left, left_scale), (right, right_scale) = operands
        scale, name = left_scale * right_scale, node.out.name
        made = name if scale == 1 else self._fresh(f"{name}.unscaled")
        self._append(ProductStep(made, shape, left, right, sums, node.origin))
        if scale != 1:
            self._pending[name] = _Affine(shape, {made: identity_map(shape, shape).times(scale)}, None)

    def _without_shift(self, name: str) -> float:
        """Leave a constant that is added to every element to the polynomial that reads it; what it is."""
        pending = self._pending.get(name)
        if pending is None or pending.bias is None or len(self.readers[name]) > 1 or name in self.outputs:
            return 0.0
        maps = list(pending.terms.values())
        if len(maps) != 1 or maps[0].weight is None or np.ptp(pending.bias):
            return 0.0
        self._pending[name] = _Affine(pending.shape, pending.terms, None)
        return float(pending.bias.reshape(-1)[0])

    def _unscaled(self, name: str, origin: str) -> Scaled:
        """A computed value, and of what multiple of it the named one is: maps with one weight are computed without."""
        pending = self._pending.get(name)
        if pending is None or pending.bias is not None or len(pending.terms) != 1:
            return self._computed(name, origin), 1.0
        ((source, map_),) = pending.terms.items()
        weight = map_.weight
        if weight is None or weight == 1 or name in self.outputs:
            return self._computed(name, origin), 1.0
        bare = map_.unweighted()
        if bare.is_identity and self.shapes[source] == map_.shape_out:
            return source, weight
        made = self._fresh(f"{name}.unscaled")
        self._append(AffineStep(made, map_.shape_out, ((source, bare),), None, origin))
        self._pending[name] = _Affine(
            map_.shape_out, {made: identity_map(bare.shape_out, bare.shape_out).times(weight)}, None
        )
        return made, weight

    def _operand(self, value: Value, map_: LinearMap, node: Node) -> Scaled:
        """An operand as its product needs it: the value itself, or a map of it."""
        if map_.is_identity and map_.shape_in == map_.shape_out:
            return self._unscaled(value.name, node.origin)
        name = self._fresh(f"{value.name}.for.{node.out.name}")
        self._pending[name] = self._mapped(value, AffineOp(0, map_))
        return self._unscaled(name, node.origin)

    def _affine(self, value: Value) -> _Affine:
        """A value as maps of computed ones."""
        if (pending := self._pending.get(value.name)) is not None:
            return pending
        shape = self.shapes[value.name]
        return _Affine(shape, {value.name: identity_map(shape, shape)}, None)

    def _window(self, node: Node, map_: LinearMap) -> _Affine | None:
        """Sums by rotations alone, if a convolution reads them: multiplied out they would widen its kernel."""
        readers = self.readers[node.out.name]
        argument = node.args[0].name
        if not isinstance(node.op, WINDOWS) or argument in self._pending or node.out in self.graph.outputs:
            return None
        convolved = any(isinstance(reader.op, Conv | ConvTranspose) for reader in readers)
        scale = map_.weight
        if not convolved or not all(isinstance(reader.op, LINEAR) for reader in readers) or scale is None:
            return None
        name = self._fresh(f"{node.out.name}.sums")
        self._append(WindowStep(name, map_.shape_out, argument, map_.unweighted(), node.origin))
        return _Affine(map_.shape_out, {name: identity_map(map_.shape_out, map_.shape_out).times(scale)}, None)

    def _fresh(self, name: str) -> str:
        """A name that no value has."""
        while name in self.shapes or name in self.readers:
            name += "'"
        return name

    def _mapped(self, value: Value, op: AffineOp) -> _Affine:
        """An op on a value: composed with how the value is made, or on the value computed first."""
        inner = self._affine(value)
        if not _composes(op.map, inner):
            name, weight = self._unscaled(value.name, "")
            shape = self.shapes[name]
            inner = _Affine(shape, {name: identity_map(shape, shape).times(weight)}, None)
        terms = {name: op.map.after(map_) for name, map_ in inner.terms.items()}
        bias = op.bias
        if inner.bias is not None:
            moved = op.map.apply(inner.bias)
            bias = moved if bias is None else moved + bias
        return _Affine(op.map.shape_out, terms, bias)

    def _broadcast(self, value: Value, shape: Shape) -> _Affine:
        if self.graph.is_constant(value):
            return _Affine(shape, {}, np.broadcast_to(self.graph.constant(value), shape))
        return self._mapped(value, AffineOp(0, expansion(shape_of(value), shape)))

    def _concatenated(self, node: Node) -> _Affine:
        """Each argument goes to its part of the result."""
        op, out = node.op, shape_of(node.out)
        if not isinstance(op, Concat):
            raise PackingError(node.out.name, "is no Concat")
        total = _Affine(out, {}, None)
        start = 0
        for arg in node.args:
            shape = shape_of(arg)
            placed = _placement(shape, out, op.axis, start)
            start += shape[op.axis]
            if self.graph.is_constant(arg):
                part = _Affine(out, {}, placed.apply(self.graph.constant(arg)))
            else:
                part = self._mapped(arg, AffineOp(0, placed))
            total = _summed(total, part, 1.0)
        return total

    def _computed(self, name: str, origin: str) -> str:
        """Make sure that a value is computed; its name."""
        pending = self._pending.pop(name, None)
        if pending is not None:
            self._append(AffineStep(name, pending.shape, tuple(pending.terms.items()), pending.bias, origin))
        return name


def _composes(outer: LinearMap, inner: _Affine) -> bool:
    """Whether a map may be composed with how its argument is made."""
    for map_ in inner.terms.values():
        if map_.is_identity or outer.is_identity:
            continue
        expected = composed_nonzeros(outer, map_)
        merges = map_.split_out != outer.split_in
        if expected > MOST_GROWTH * (outer.nonzeros + map_.nonzeros) or (merges and expected > MOST_NONZEROS):
            return False
    return True


def _summed(left: _Affine, right: _Affine, sign: float) -> _Affine:
    """left + sign right."""
    terms = dict(left.terms)
    for name, map_ in right.terms.items():
        signed = map_ if sign == 1.0 else map_.times(sign)
        terms[name] = terms[name].plus(signed) if name in terms else signed
    if right.bias is None:
        return _Affine(left.shape, terms, left.bias)
    bias = sign * right.bias if left.bias is None else left.bias + sign * right.bias
    return _Affine(left.shape, terms, bias)


def _placement(shape: Shape, out: Shape, axis: int, start: int) -> LinearMap:
    """The argument at its place along the axis of a concatenation."""
    factors = [identity(n) for n in shape]
    rows = np.zeros((out[axis], shape[axis]))
    rows[start + np.arange(shape[axis]), np.arange(shape[axis])] = 1
    factors[axis] = matrix(rows)
    return LinearMap(shape, out, (tuple(factors),))
