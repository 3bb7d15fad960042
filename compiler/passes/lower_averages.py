"""Write averages as sums and a multiplication by a public constant."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from enclair.compiler.ir.graph import Array, Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.elementwise import Mul
from enclair.compiler.ir.ops.pooling import AveragePool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMean, ReduceSum
from enclair.compiler.ir.public import public_constant
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class LowerAverages:
    """Sums need no weights and run on either side; what remains is a public scale.

    AveragePool(kernel=(2, 2), ..., count_include_pad=True) %x  ->  Mul() SumPool(kernel=(2, 2), ...) %x, 1/4
    AveragePool(..., count_include_pad=False) %x                ->  Mul() SumPool(...) %x, map of 1/count per pixel
    ReduceMean(axes=(2, 3), ...) %x                             ->  Mul() ReduceSum(axes=(2, 3), ...) %x, 1/(H W)
    """

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph."""
        return rewrite(graph, self._visit)

    def _visit(self, graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        op, x_type = node.op, args[0].type if args else None
        if not isinstance(x_type, TensorType):
            return None
        if isinstance(op, AveragePool):
            total = graph.add(SumPool(op.kernel, op.strides, op.pads), args[0], origin=node.origin)
            factor = self._pool_factor(op, x_type)
        elif isinstance(op, ReduceMean):
            total = graph.add(ReduceSum(op.axes, op.keepdims), args[0], origin=node.origin)
            factor = np.array(1 / prod(x_type.shape[axis] for axis in op.axes))
        else:
            return None
        constant = public_constant(graph, node.out.name, factor)
        return graph.add(Mul(), total, constant, name=node.out.name, origin=node.origin)

    def _pool_factor(self, op: AveragePool, x_type: TensorType) -> Array:
        if op.count_include_pad or not any(op.pads):
            return np.array(1 / prod(op.kernel))
        ones = np.ones((1, 1, *x_type.shape[2:]))
        return np.asarray(1 / SumPool(op.kernel, op.strides, op.pads).evaluate(ones))
