"""Give the values of a graph other names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from enclair.compiler.ir.graph import Graph, Value


def rename(graph: Graph, new_name: Callable[[str], str]) -> Graph:
    """The same graph under new names; ``new_name`` must keep them unique."""

    def renamed(value: Value) -> Value:
        return Value(new_name(value.name), value.type)

    return replace(
        graph,
        inputs=tuple(map(renamed, graph.inputs)),
        constants=tuple(map(renamed, graph.constants)),
        nodes=tuple(replace(node, args=tuple(map(renamed, node.args)), out=renamed(node.out)) for node in graph.nodes),
        outputs=tuple(map(renamed, graph.outputs)),
        arrays={new_name(name): array for name, array in graph.arrays.items()},
    )


def merge(name: str, graphs: list[Graph]) -> Graph:
    """Several graphs side by side. Inputs of the same name are shared; all other names must differ."""
    inputs = {value.name: value for graph in graphs for value in graph.inputs}
    return Graph(
        name,
        tuple(inputs.values()),
        tuple(value for graph in graphs for value in graph.constants),
        tuple(node for graph in graphs for node in graph.nodes),
        tuple(value for graph in graphs for value in graph.outputs),
        {key: array for graph in graphs for key, array in graph.arrays.items()},
    )
