"""Write softmax and normalisations by sums, products and functions of one element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Array, Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.activations import Exp, Softmax
from enclair.compiler.ir.ops.elementwise import Add, Mul, Pow, Reciprocal, Sub
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.ops.normalisation import GroupNorm, LayerNormalization
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceSum
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.public import public_constant
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Shift:
    """What is subtracted from every row before exp: one number, and perhaps the row's mean.

    With the mean the sum of a row's n powers is never below n exp(-number), by Jensen's inequality.
    """

    number: float
    mean: bool = False


@dataclass(frozen=True, slots=True)
class LowerNormalisations:
    """Exact but for float64's rounding. n is how many elements are normalised together.

    Softmax(axis=a) %x           ->  %e = Exp() (%x - shift);  Mul() %e (Reciprocal() (ReduceSum(axes=(a,)) %e))
    LayerNormalization(axis=a) %x %gamma %beta
                                 ->  %c = %x - ReduceSum(%x) / n
                                     %r = Pow(exponent=-0.5) (ReduceSum(%c %c) / n + epsilon)
                                     (%c gamma) %r + beta
                                     %c = MatMul() %x (I - 1/n) where FoldProducts takes it into the product before
    GroupNorm(groups=g) %x ...   ->  the same on a Reshape of %x

    gamma goes beside what is centred and not beside the result: the way through the root is the longer one.
    ``shifts`` says what to subtract for a softmax, by the name of its result; of those that are not in it the
    maximum of each row is subtracted.
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    shifts: Mapping[str, Shift] = field(default_factory=dict)

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        match node.op:
            case Softmax():
                return self._softmax(graph, node, node.op.axis, args[0])
            case LayerNormalization():
                axes = tuple(range(node.op.axis, len(_shape(args[0]))))
                gamma, beta = (graph.arrays.get(arg.name) for arg in args[1:])
                if gamma is None or beta is None:
                    return None
                normal = _standardised(graph, node, args[0], axes, node.op.epsilon, gamma)
                return _shifted(graph, node, normal, beta)
            case GroupNorm():
                return _group_norm(graph, node, node.op, args)
            case _:
                return None

    def _softmax(self, graph: Rewriter, node: Node, axis: int, x: Value) -> Value:
        origin = node.origin
        shift = self.shifts.get(node.out.name)
        if shift is not None:
            if shift.mean:
                share = public_constant(graph, f"{node.out.name}.share", np.array(1 / _shape(x)[axis]))
                x = graph.add(Sub(), x, _mean(graph, node, x, (axis,), share), origin=origin)
            number = graph.constant(f"{node.out.name}.shift", np.array(-shift.number))
            shifted = graph.add(Add(), x, number, origin=origin)
        else:
            shifted = graph.add(Sub(), x, graph.add(ReduceMax((axis,), True), x, origin=origin), origin=origin)
        powers = graph.add(Exp(), shifted, origin=origin)
        total = graph.add(ReduceSum((axis,), True), powers, origin=origin)
        inverse = graph.add(Reciprocal(), total, origin=origin)
        return graph.add(Mul(), powers, inverse, name=node.out.name, origin=origin)


def _standardised(graph: Rewriter, node: Node, x: Value, axes: tuple[int, ...], epsilon: float, gamma: Array) -> Value:
    """gamma (x - mean) / sqrt(variance + epsilon)."""
    share = public_constant(graph, f"{node.out.name}.share", np.array(1 / prod(_shape(x)[axis] for axis in axes)))
    if axes == (len(_shape(x)) - 1,) and _follows_product(graph.old, node):
        centre = np.eye(_shape(x)[-1]) - 1 / _shape(x)[-1]
        centred = graph.add(MatMul(), x, graph.constant(f"{node.out.name}.centre", centre), origin=node.origin)
    else:
        centred = graph.add(Sub(), x, _mean(graph, node, x, axes, share), origin=node.origin)
    variance = _mean(graph, node, graph.add(Mul(), centred, centred, origin=node.origin), axes, share)
    floor = graph.constant(f"{node.out.name}.epsilon", np.array(epsilon))
    root = graph.add(Pow(-0.5), graph.add(Add(), variance, floor, origin=node.origin), origin=node.origin)
    if not (gamma == 1).all():
        centred = graph.add(Mul(), centred, graph.constant(f"{node.out.name}.gamma", gamma), origin=node.origin)
    return graph.add(Mul(), centred, root, origin=node.origin)


def _follows_product(graph: Graph, node: Node) -> bool:
    """Whether the node alone reads a product with a constant matrix, perhaps with a bias."""
    producers, readers = graph.producers(), graph.consumers()
    name = node.args[0].name
    while (made_by := producers.get(name)) is not None and len(readers[name]) == 1:
        constant = len(made_by.args) == 2 and graph.is_constant(made_by.args[1])
        if isinstance(made_by.op, MatMul):
            return constant and graph.constant(made_by.args[1]).ndim == 2 and made_by.out not in graph.outputs
        if not (isinstance(made_by.op, Add) and constant) or made_by.out in graph.outputs:
            return False
        name = made_by.args[0].name
    return False


def _mean(graph: Rewriter, node: Node, x: Value, axes: tuple[int, ...], share: Value) -> Value:
    total = graph.add(ReduceSum(axes, True), x, origin=node.origin)
    return graph.add(Mul(), total, share, origin=node.origin)


def _shifted(graph: Rewriter, node: Node, x: Value, beta: Array) -> Value:
    addend = graph.constant(f"{node.out.name}.beta", beta)
    return graph.add(Add(), x, addend, name=node.out.name, origin=node.origin)


def _group_norm(graph: Rewriter, node: Node, op: GroupNorm, args: tuple[Value, ...]) -> Value | None:
    """The groups as rows, then back; gamma and beta per channel."""
    gamma, beta = (graph.arrays.get(arg.name) for arg in args[1:])
    if gamma is None or beta is None:
        return None
    shape = _shape(args[0])
    rows = graph.add(Reshape((shape[0], op.groups, prod(shape[1:]) // op.groups)), args[0], origin=node.origin)
    normal = graph.add(
        Reshape(shape), _standardised(graph, node, rows, (2,), op.epsilon, np.ones(1)), origin=node.origin
    )
    per_channel = (-1, *(1,) * (len(shape) - 2))
    gain = graph.constant(f"{node.out.name}.gamma", gamma.reshape(per_channel))
    scaled = graph.add(Mul(), normal, gain, origin=node.origin)
    return _shifted(graph, node, scaled, beta.reshape(per_channel))


def _shape(value: Value) -> tuple[int, ...]:
    return value.type.shape if isinstance(value.type, TensorType) else ()
