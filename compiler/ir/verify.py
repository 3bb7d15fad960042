"""Check that a graph keeps its own rules, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from enclair.compiler.ir.errors import TypeRuleError, VerifyError
from enclair.compiler.ir.graph import Array, Graph, Node, Value
from enclair.compiler.ir.stages import Stage, check_node
from enclair.compiler.ir.types import TensorType, Type


def verify(graph: Graph, stage: Stage) -> None:
    """Check names, types, constants, and that only the stage's ops occur.

    Raises:
        VerifyError: with the node and the whole graph.
    """
    bound = {value.name: value.type for value in graph.inputs + graph.constants}
    _require(len(bound) == len(graph.inputs) + len(graph.constants), "an input or constant name is used twice", graph)
    for value in graph.constants:
        _require(_holds(value, graph.arrays.get(value.name)), f"{value} lacks its array of {value.type}", graph)
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


def _holds(value: Value, array: Array | None) -> bool:
    """Whether the array is what the type of a constant says."""
    type_ = value.type
    if array is None or not isinstance(type_, TensorType):
        return False
    return array.shape == type_.shape and array.dtype == (np.int64 if type_.is_fixed else np.float64)


def _require(holds: bool, message: str, graph: Graph) -> None:
    if not holds:
        raise VerifyError(f"{message}\n\n{graph}")
