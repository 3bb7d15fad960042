"""Rescale after rotate-and-sum, not before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from enclair.compiler.ir.graph import Graph, Node, Rewriter, Value, rewrite
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.ckks import Rescale, RotateSlots
from enclair.compiler.ir.stages import Stage


@dataclass(frozen=True, slots=True)
class SinkRescales:
    """Move a rescale behind the rotation and the sum that read it, as often as there are some.

        %y = Rescale(prime=q) %x                 %r = RotateSlots(steps=4) %x
        %r = RotateSlots(steps=4) %y     ->      %s = AddCiphers() %x %r
        %z = AddCiphers() %y %r                  %z = Rescale(prime=q) %s

    A rotation rounds, by as much at any scale: before the rescale its error counts for a prime less. The rotation has
    one limb more to work on.
    """

    produces: ClassVar[Stage] = Stage.LEVELED

    def __call__(self, graph: Graph) -> Graph:
        """The graph, when there is nothing left to move."""
        while (moved := _move_once(graph)) is not None:
            graph = moved
        return graph


def _move_once(graph: Graph) -> Graph | None:
    """Every rescale moved by one rotation and sum; None where none can be."""
    producers, readers = graph.producers(), graph.consumers()
    outputs = {value.name for value in graph.outputs}
    sums: dict[str, Node] = {}
    for node in graph.nodes:
        after = readers[node.out.name]
        rotations = [reader for reader in after if isinstance(reader.op, RotateSlots)]
        others = [reader for reader in after if isinstance(reader.op, AddCiphers)]
        if not isinstance(node.op, Rescale) or len(after) != 2 or len(rotations) != 1 or len(others) != 1:
            continue
        rotated, summed = rotations[0].out, others[0]
        if {arg.name for arg in summed.args} != {node.out.name, rotated.name} or len(readers[rotated.name]) != 1:
            continue
        if not outputs & {node.out.name, rotated.name}:
            sums[summed.out.name] = producers[node.out.name]
    if not sums:
        return None
    moved = {rescale.out.name for rescale in sums.values()}

    def visit(rewriter: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        if node.out.name in moved:
            return args[0]
        if node.out.name in sums:
            total = rewriter.add(node.op, *args, origin=node.origin)
            return rewriter.add(sums[node.out.name].op, total, name=node.out.name, origin=node.origin)
        return None

    return rewrite(graph, visit)
