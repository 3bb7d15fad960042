"""Write batch normalisation, subtraction and division by constants as multiplications and additions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul, Neg, Sub
from enclair.compiler.ir.ops.normalisation import BatchNorm
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class LowerToAffine:
    """One form for every affine map: Mul and Add by constants.

    BatchNorm(epsilon=e) %x %scale %bias %mean %var
        ->  Add(Mul(%x, scale / sqrt(var + e)), bias - mean * scale / sqrt(var + e))
    Sub() %x %c  ->  Add() %x -c
    Sub() %c %x  ->  Add() Neg(%x) %c
    Div() %x %c  ->  Mul() %x 1/c
    Add() %c %x  ->  Add() %x %c           Mul alike
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        constant = [graph.arrays.get(arg.name) for arg in args]
        if isinstance(node.op, BatchNorm) and all(array is not None for array in constant[1:]):
            return self._batch_norm(graph, node, args, node.op.epsilon)
        if len(args) != 2 or (constant[0] is None) == (constant[1] is None):
            return None
        if isinstance(node.op, Add | Mul) and constant[0] is not None:
            return graph.add(node.op, args[1], args[0], name=node.out.name, origin=node.origin)
        if isinstance(node.op, Sub) and constant[0] is not None:
            negated = graph.add(Neg(), args[1], origin=node.origin)
            return graph.add(Add(), negated, args[0], name=node.out.name, origin=node.origin)
        if isinstance(node.op, Sub | Div) and constant[1] is not None:
            opposite = -constant[1] if isinstance(node.op, Sub) else 1 / constant[1]
            value = graph.constant(args[1].name, opposite)
            op = Add() if isinstance(node.op, Sub) else Mul()
            return graph.add(op, args[0], value, name=node.out.name, origin=node.origin)
        return None

    def _batch_norm(self, graph: Rewriter, node: Node, args: tuple[Value, ...], epsilon: float) -> Value:
        scale, bias, mean, variance = (graph.arrays[arg.name] for arg in args[1:])
        x_type = args[0].type
        rank = len(x_type.shape) if isinstance(x_type, TensorType) else 0
        per_channel = (-1, *(1,) * (rank - 2))
        factor = scale / np.sqrt(variance + epsilon)
        gain = graph.constant(f"{node.out.name}.gain", factor.reshape(per_channel))
        offset = graph.constant(f"{node.out.name}.offset", (bias - mean * factor).reshape(per_channel))
        scaled = graph.add(Mul(), args[0], gain, origin=node.origin)
        return graph.add(Add(), scaled, offset, name=node.out.name, origin=node.origin)
