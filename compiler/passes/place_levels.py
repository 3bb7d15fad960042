"""Give ciphertexts levels and scales, and place what keeps them right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from math import sqrt
from typing import ClassVar

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SubtractCiphers, same_scale
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    DropToLevel,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    Relinearise,
    Rescale,
)
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.levels import ADDITIVE, PRODUCTS, LevelPlan, Sum, Summand
from enclair.compiler.planner.scales import ScalePlan

WEIGHTS = {LinearTransform: 5, MultiplyPlain: 1}
"""Where the constant factors of an op are among its arguments."""


@dataclass(frozen=True, slots=True)
class PlaceLevels:
    """Relinearise, rescale and drop levels; every op works at the lowest level that its readers allow.

        %p = MultiplyCiphers() %x %y                %p: level 2 = MultiplyCiphers() %x %y
        %q = MultiplyCiphers() %u %v        ->      %q: level 2 = MultiplyCiphers() %u %v
        %s = AddCiphers() %p %q                     %sum: level 2 = AddCiphers() %p %q
                                                    %two: level 2 = Relinearise() %sum
                                                    %s: level 1 = Rescale(prime=q2) %two

    Rescaling comes last: the rounding of a third part would be multiplied by the square of the secret.

    Levels and scales are those of ``LevelPlan`` and ``ScalePlan``; inputs get the level at which they are needed.
    Values do not change.

    Args:
        parameters: with the levels that the graph needs.
    """

    produces: ClassVar[Stage] = Stage.LEVELED

    parameters: CkksParameters

    def __call__(self, graph: Graph) -> Graph:
        """The LEVELED graph."""
        return _Placing(graph, self.parameters).place()


class _Placing(Rewriter):
    """Builds the LEVELED graph, value by value; what is within a sum is made where the sum is."""

    def __init__(self, graph: Graph, parameters: CkksParameters) -> None:
        super().__init__(graph)
        self.parameters = parameters
        self.plan = LevelPlan(graph)
        self.scales = ScalePlan(self.plan, parameters)
        self.brought: dict[tuple[str, int, float | None], Value] = {}
        self.numbers: dict[float, Value] = {}
        self.origin = ""

    def place(self) -> Graph:
        """The whole graph."""
        for value in self.old.inputs:
            self.new[value.name] = self.input(value.name, self._input_type(value))
        for value in self.old.constants:
            self._claim(value.name)
            self.constants.append(value)
            self.arrays[value.name] = self.old.arrays[value.name]
            self.new[value.name] = value
        for node in self.old.nodes:
            if not self.plan.is_inside(node.out):
                self.origin = node.origin
                self.new[node.out.name] = self._named(self._value(node), node.out)
        return self.build([self._output(value) for value in self.old.outputs])

    def _output(self, old: Value) -> Value:
        """An output at level 0: one that is made at a higher level is dropped."""
        value = self.new[old.name]
        if _level(value) == 0 or old in self.old.inputs:
            return value
        return self.add(DropToLevel(0), value, name=old.name)

    def _input_type(self, value: Value) -> CkksType:
        type_ = _ckks(value)
        if value.name not in self.plan.levels:
            return replace(type_, level=0, scale=self.parameters.scales[0])
        return replace(type_, level=self.plan.levels[value.name], scale=self.scales.scale(value))

    def _named(self, value: Value, old: Value) -> Value:
        """The value under its old name: the last node is made again; any other that must keep its name gets a zero.

        Outputs that are made above level 0 get their name when they are dropped.
        """
        is_output = old.name in self.plan.outputs
        if is_output and _level(value) > 0:
            return value
        if self.nodes and self.nodes[-1].out == value and value not in self.brought.values():
            last = self.nodes.pop()
            return self.add(last.op, *last.args, name=old.name, origin=self.origin)
        if not is_output:
            return value
        return self.add(AddPlainVectors(), value, self._number(0.0), name=old.name, origin=self.origin)

    def _value(self, node: Node) -> Value:
        level = self.plan.levels[node.out.name]
        if isinstance(node.op, ADDITIVE + PRODUCTS):
            return self._sum(node.out, self.plan.sum_of(node))
        if isinstance(node.op, ConcatCiphers) or self.scales.is_strict(node.out):
            scale: float | None = self.scales.canonical(node.out)
        else:
            scale = None
        ciphers = [self._bring(arg, level, scale) for arg in node.args if isinstance(arg.type, CkksType)]
        tables = [self.new[arg.name] for arg in node.args if not isinstance(arg.type, CkksType)]
        return self._add(node.op, *ciphers, *tables)

    def _bring(self, old: Value, level: int, scale: float | None = None) -> Value:
        """A value at a level, and at a scale where one is given."""
        value = self.new[old.name]
        if scale is not None and same_scale(_ckks(value).scale, scale):
            scale = None
        key = (value.name, level, scale)
        if key not in self.brought:
            dropped = self._dropped(value, level if scale is None else level + 1)
            self.brought[key] = dropped if scale is None else self._rescaled_to(dropped, scale)
        return self.brought[key]

    def _dropped(self, value: Value, level: int) -> Value:
        return value if _level(value) == level else self._add(DropToLevel(level), value)

    def _rescaled_to(self, value: Value, scale: float) -> Value:
        """The value one level lower with another scale: times one."""
        prime = self.parameters.primes[_level(value)]
        return self._add(Rescale(prime), self._times(value, 1.0, scale * prime))

    def _times(self, value: Value, factor: float, scale: float) -> Value:
        """A product with a number, of a given scale."""
        return self._add(MultiplyPlain(scale / _scale(value)), value, self._number(factor))

    def _sum(self, root: Value, sum_: Sum) -> Value:
        level, scale = self.plan.levels[root.name], self.scales.scale(root)
        after = [s for s in sum_.values if same_scale(_scale(self.new[s.value.name]), scale)]
        lifted = [s for s in sum_.values if s not in after]
        parts = [(s.times, self._bring(s.value, level)) for s in after]
        if sum_.products or lifted:
            sign, total = self._of_products(root, sum_.products, lifted)
            parts.append((sign, self._add(Rescale(self.parameters.primes[level + 1]), total)))
        total = self._total(parts)
        for sign, vectors in sum_.vectors:
            total = self._add(AddPlainVectors(), total, self._signed(self.new[vectors.name], sign))
        return total

    def _of_products(self, root: Value, products: Sequence[Summand], lifted: Sequence[Summand]) -> tuple[int, Value]:
        """The sum of products, relinearised, with its sign."""
        level, scale = self.plan.levels[root.name] + 1, self.scales.before_rescale(root)
        two = [self._by_plaintext(s, level, scale) for s in products if not _of_ciphers(s)]
        two += [self._times(self._bring(s.value, level), float(s.times), scale) for s in lifted]
        three = [(s.times, self._of_ciphers(s, level, scale)) for s in products if _of_ciphers(s)]
        add = partial(self._add, AddCiphers())
        if not three:
            return 1, reduce(add, two)
        sign = 1 if two or any(times >= 0 for times, _ in three) else -1
        total = self._add(Relinearise(), self._total([(sign * times, product) for times, product in three]))
        return sign, add(reduce(add, two), total) if two else total

    def _by_plaintext(self, summand: Summand, level: int, scale: float) -> Value:
        node = _product(summand)
        x = self._bring(node.args[0], level)
        constants = [self.new[arg.name] for arg in node.args[1:]]
        at = WEIGHTS[type(node.op)] - 1
        constants[at] = self._signed(constants[at], summand.times)
        return self._add(_with_scale(node.op, scale / _scale(x)), x, *constants)

    def _of_ciphers(self, summand: Summand, level: int, scale: float) -> Value:
        """A product of ciphertexts; where it would have another scale, one factor from a higher level is corrected."""
        x, y = _product(summand).args
        factors = [self._bring(x, level), self._bring(y, level)]
        if not same_scale(_scale(factors[0]) * _scale(factors[1]), scale):
            if x == y:
                factors = [self._bring(x, level, sqrt(scale))] * 2
            else:
                at = 0 if self.plan.levels[x.name] > self.plan.levels[y.name] else 1
                factors[at] = self._bring((x, y)[at], level, scale / _scale(factors[1 - at]))
        return self._add(MultiplyCiphers(), *factors)

    def _total(self, parts: Sequence[tuple[int, Value]]) -> Value:
        """The sum of multiples of values."""
        add, subtract = partial(self._add, AddCiphers()), partial(self._add, SubtractCiphers())
        positive = [self._multiple(times, value) for times, value in parts if times >= 0]
        negative = [self._multiple(-times, value) for times, value in parts if times < 0]
        if not positive:
            total = reduce(add, negative)
            return subtract(total, add(total, total))
        return reduce(subtract, negative, reduce(add, positive))

    def _multiple(self, times: int, value: Value) -> Value:
        """``times`` value, by doubling."""
        if times == 0:
            return self._add(SubtractCiphers(), value, value)
        total = value
        for bit in bin(times)[3:]:
            total = self._add(AddCiphers(), total, total)
            total = self._add(AddCiphers(), total, value) if bit == "1" else total
        return total

    def _signed(self, constant: Value, factor: int) -> Value:
        """A constant times a number."""
        if factor == 1:
            return constant
        return self.constant(constant.name, np.asarray(self.arrays[constant.name] * factor))

    def _number(self, number: float) -> Value:
        if number not in self.numbers:
            self.numbers[number] = self.constant("number", np.array([[number]]))
        return self.numbers[number]

    def _add(self, op: Op, *args: Value) -> Value:
        return self.add(op, *args, origin=self.origin)


def _with_scale(op: Op, plain_scale: float) -> Op:
    if isinstance(op, LinearTransform):
        return replace(op, plain_scale=plain_scale)
    return MultiplyPlain(plain_scale)


def _of_ciphers(summand: Summand) -> bool:
    return summand.product is not None and isinstance(summand.product.op, MultiplyCiphers)


def _product(summand: Summand) -> Node:
    if summand.product is None:
        raise TypeError(f"{summand.value} is not a product")
    return summand.product


def _ckks(value: Value) -> CkksType:
    if not isinstance(value.type, CkksType):
        raise TypeError(f"{value}: {value.type} is not of CKKS ciphertexts")
    return value.type


def _level(value: Value) -> int:
    level = _ckks(value).level
    return 0 if level is None else level


def _scale(value: Value) -> float:
    scale = _ckks(value).scale
    return 1.0 if scale is None else scale
