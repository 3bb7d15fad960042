"""What the client sees at each split point, and after how many queries it can solve for the layers behind it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.packed import Pack
from enclair.compiler.ir.stages import FIXED_POINT
from enclair.compiler.ir.types import TensorType
from enclair.compiler.program import Program
from enclair.compiler.report import slots
from enclair.compiler.report.images import on_tiles
from enclair.compiler.report.model import Exposure, Layer
from enclair.compiler.report.rows import in_rows
from enclair.compiler.report.systems import commonest, equations_of, systems_of
from enclair.compiler.report.views import View, secret_nodes, views, weights_of

OUTPUT, SENT_AGAIN = "output", "next upload"


def exposures(program: Program) -> Iterator[Exposure]:
    """What each answer shows, in order."""
    for number, view in views(program):
        yield _exposure(program, number, view)


def readers(graph: Graph, name: str, outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Which ops of a client's graph a value is for, seen through the ops that only round."""
    found: set[str] = {OUTPUT} if name in outputs else set()
    for node in graph.nodes:
        if name not in {arg.name for arg in node.args}:
            continue
        if isinstance(node.op, FIXED_POINT):
            found.update(readers(graph, node.out.name, outputs))
        else:
            found.add(SENT_AGAIN if isinstance(node.op, Pack) else type(node.op).__name__)
    return tuple(sorted(found))


def _exposure(program: Program, number: int, view: View) -> Exposure:
    told = on_tiles(in_rows(view))
    equations = equations_of(told)
    systems = systems_of(equations)
    composed = slots.is_composed(told)
    queries = max((system.queries for system in systems), default=None)
    inner = commonest(equations) if composed else None
    shape = view.value.type.shape if isinstance(view.value.type, TensorType) else ()
    return Exposure(
        number,
        view.value.name,
        shape,
        readers(program.rounds[number - 1].client, view.value.name, program.outputs),
        tuple(_layers(program.fixed, view)),
        composed,
        _summands(view.layout),
        systems,
        inner if inner and queries and inner.queries < queries else None,
        queries,
    )


def _layers(fixed: Graph, view: View) -> Iterator[Layer]:
    """The weights on the way from what the client knew to a value."""
    on_the_way = {node.out.name for node in _behind(fixed, view)}
    for node in secret_nodes(fixed):
        if node.out.name in on_the_way:
            for value in weights_of(fixed, node):
                array = fixed.constant(value)
                yield Layer(type(node.op).__name__, value.name, array.shape, array.size, node.origin)


def _behind(fixed: Graph, view: View) -> list[Node]:
    """The server's nodes that make a value, back to what the client has or has seen."""
    producers = fixed.producers()
    queue, found = [view.value.name], dict[str, Node]()
    while queue:
        name = queue.pop()
        node = producers.get(name)
        if node is None or name in found or name in view.seen or not (node.place and node.place.side == "server"):
            continue
        found[name] = node
        queue += [arg.name for arg in node.args]
    return list(found.values())


def _summands(layout: Layout) -> int:
    """In how many slots an element is spread, the most; 1 where slots are whole elements or copies."""
    if not layout.partial:
        return 1
    index = layout.index()
    return int(np.bincount(index[index >= 0]).max(initial=1))
