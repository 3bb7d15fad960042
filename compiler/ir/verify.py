"""Check that a graph keeps its own rules, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping

from enclair.compiler.ir.errors import TypeRuleError, VerifyError
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.stages import Stage, check_node
from enclair.compiler.ir.types import Type


def verify(graph: Graph, stage: Stage) -> None:
    """Check names, types, constants, and that only the stage's ops occur.

    Raises:
        VerifyError: with the node and the whole graph.
    """
    bound = {value.name: value.type for value in graph.inputs + graph.constants}
    _require(len(bound) == len(graph.inputs) + len(graph.constants), "an input or constant name is used twice", graph)
    for value in graph.constants:
        array = graph.arrays.get(value.name)
        _require(
            array is not None and array.shape == getattr(value.type, "shape", None), f"{value} lacks its array", graph
        )
    for node in graph.nodes:
        try:
            _check(node, bound)
            check_node(node, stage)
        except TypeRuleError as error:
            raise VerifyError(f"{error}\n  in  {node}\n\n{graph}") from None
        bound[node.out.name] = node.out.type
    for value in graph.outputs:
        _require(bound.get(value.name) == value.type, f"output {value} is not a value of the graph", graph)


def _check(node: Node, bound: Mapping[str, Type]) -> None:
    if unbound := [str(arg) for arg in node.args if bound.get(arg.name) != arg.type]:
        raise TypeRuleError(f"{', '.join(unbound)} used before it is defined, or with another type")
    if node.out.name in bound:
        raise TypeRuleError(f"{node.out} is defined twice")
    if (want := node.op.result_type(*(arg.type for arg in node.args))) != node.out.type:
        raise TypeRuleError(f"result should be {want}")


def _require(holds: bool, message: str, graph: Graph) -> None:
    if not holds:
        raise VerifyError(f"{message}\n\n{graph}")
