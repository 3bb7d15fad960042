"""Which side can compute what.

SERVER   ops with weights: the weights never leave it
CLIENT   ops that are not linear in encrypted values
EITHER   ops without weights that only add and move elements
"""

from __future__ import annotations

from enum import Enum

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.pooling import SumPool
from enclair.compiler.ir.ops.reductions import ReduceSum
from enclair.compiler.ir.ops.shape import (
    Concat,
    DepthToSpace,
    Expand,
    Gather,
    Pad,
    Reshape,
    Resize,
    Slice,
    SpaceToDepth,
    Transpose,
)
from enclair.compiler.ir.public import is_public

LINEAR = (Conv, ConvTranspose, MatMul)
MOVES = (Reshape, Transpose, Slice, Gather, Expand, Resize, DepthToSpace, SpaceToDepth, Concat)
SUMS = (Add, Sub, Neg, SumPool, ReduceSum)


class Side(Enum):
    """Who may compute a node."""

    SERVER = "server"
    CLIENT = "client"
    EITHER = "either"


def sides_of(graph: Graph) -> dict[str, Side]:
    """Where each node may run, by the name of its result."""
    return {node.out.name: side_of(graph, node) for node in graph.nodes}


def side_of(graph: Graph, node: Node) -> Side:
    """Where the node may run, by its op and by which of its arguments are weights."""
    constants = [arg for arg in node.args if graph.is_constant(arg)]
    weighted = any(not is_public(graph, arg) for arg in constants)
    if isinstance(node.op, LINEAR):
        return Side.SERVER if graph.is_constant(node.args[-1]) else Side.CLIENT
    if isinstance(node.op, Mul):
        return (Side.SERVER if weighted else Side.EITHER) if constants else Side.CLIENT
    if isinstance(node.op, SUMS):
        return Side.SERVER if weighted else Side.EITHER
    if isinstance(node.op, Pad):
        return Side.EITHER if node.op.mode == "constant" and node.op.value == 0 else Side.CLIENT
    return Side.EITHER if isinstance(node.op, MOVES) and not constants else Side.CLIENT
