"""How many levels a graph of tensors takes at least: known before it is packed."""

from __future__ import annotations

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.elementwise import Mul
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.planner.polynomial_plans import significant

Depth = tuple[int, bool]
"""Levels spent, and whether the last of them was a layer with weights: the next one may be merged with it."""


def least_levels(graph: Graph) -> int:
    """The levels of the longest way: one for each run of layers with weights, and those of products between values.

    Moves, sums, and products with numbers take none here; packing may need more than this.
    """
    depths: dict[str, Depth] = {}
    for node in graph.nodes:
        depths[node.out.name] = _after(graph, node, max(depths.get(arg.name, (0, False)) for arg in node.args))
    return max((depths.get(value.name, (0, False))[0] for value in graph.outputs), default=0)


def _after(graph: Graph, node: Node, before: Depth) -> Depth:
    """A polynomial of degree n takes log2(n) at least: x^2 + b x is one product where b is added first."""
    levels, merged = before
    between = len([arg for arg in node.args if not graph.is_constant(arg)]) > 1
    if isinstance(node.op, Polynomial):
        degree = len(significant(node.op.coefficients)) - 1
        return levels + max(degree - 1, 0).bit_length(), False
    if isinstance(node.op, Mul | MatMul) and between:
        return levels + 1, False
    if isinstance(node.op, Conv | ConvTranspose | MatMul):
        return levels + (not merged), True
    return before
