"""Keep the weights of linear transforms apart from their vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.weight_scales import divided_scale


@dataclass(frozen=True, slots=True)
class DivideScales:
    """Divide the scale of plaintexts between weights and vectors, where many weights share a vector.

        %y = LinearTransform(outputs=16, plain_scale=2^40) %x ...
            ->
        %y = LinearTransform(outputs=16, plain_scale=2^40, weight_scale=2^16) %x ...

    The server then multiplies a rotated input by each vector once, and by integers for each result. Both are rounded
    at about the square root of the scale: the noise grows, and is predicted by ``NoiseSimulator``. Values do not
    change.
    """

    produces: ClassVar[Stage] = Stage.LEVELED

    def __call__(self, graph: Graph) -> Graph:
        """The graph; itself where nothing pays."""
        scales = {node.out.name: scale for node in graph.nodes if (scale := _scale(graph, node)) is not None}
        return rewrite(graph, lambda rewriter, node, args: _visit(rewriter, node, args, scales)) if scales else graph


def _scale(graph: Graph, node: Node) -> float | None:
    x = node.args[0].type
    if not isinstance(node.op, LinearTransform) or not isinstance(x, CkksType) or node.op.weight_scale is not None:
        return None
    return divided_scale(node.op, tuple(graph.constant(arg) for arg in node.args[1:]), x.slots)


def _visit(rewriter: Rewriter, node: Node, args: tuple[Value, ...], scales: dict[str, float]) -> Value | None:
    name = node.out.name
    if name not in scales or not isinstance(node.op, LinearTransform):
        return None
    divided = replace(node.op, weight_scale=scales[name])
    return rewriter.add(divided, *args, name=name, origin=node.origin, place=node.place)
