"""Let the client send rotated copies of its ciphertexts, where that costs less than the server's rotations.

%x.up: ckks<1x4096>                          ->  %x.up: ckks<16x4096>, rotated by 0, 1, ..., 15
LinearTransform(baby_steps=16) of %x.up, ...     LinearTransform(baby_steps=16) of %x.up without baby steps
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from enclair.compiler.ir.graph import Array, Builder, Graph, Node, Value
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts, count_steps
from enclair.compiler.packing.slotted.rotation_keys import split_steps


@dataclass(frozen=True, slots=True)
class Copies:
    """Which steps of a transform the client's copies take over, and what that saves."""

    steps: tuple[int, ...]
    giants: bool
    saved: float


def best_copies(graph: Graph, value: Value, costs: RotationCosts) -> Copies | None:
    """The copies of an input that save most time: all baby steps, or all steps; None where none save any."""
    readers = graph.consumers()[value.name]
    if len(readers) != 1 or value in graph.outputs or not isinstance(readers[0].op, LinearTransform):
        return None
    (node,) = readers
    tried = [_copies(graph, node, costs, giants=giants) for giants in (False, True)]
    best = max(tried, key=lambda copies: copies.saved)
    return best if best.saved > 0 else None


def _copies(graph: Graph, node: Node, costs: RotationCosts, *, giants: bool) -> Copies:
    op, x = node.op, node.args[0].type
    if not isinstance(op, LinearTransform) or not isinstance(x, CkksType):
        raise TypeError(f"{node} is no linear transform of ciphertexts")
    rows, cols, rotations = np.unique(np.stack([graph.constant(arg) for arg in node.args[1:4]]), axis=1)
    babies, rest = split_steps(rotations, op.baby_steps)
    taken, left = (rotations, np.zeros_like(rest)) if giants else (babies, rest)
    steps = tuple(np.unique(np.append(taken, 0)).tolist())
    before = count_steps(rows, cols, rotations, op.baby_steps, x.slots)
    after = count_steps(rows, cols, left, op.baby_steps, x.slots)
    after = replace(after, hoists=0, babies=0, products=before.products)
    uploads = costs.client * x.count * (len(steps) - 1)
    return Copies(steps, giants, before.milliseconds(costs) - after.milliseconds(costs) - uploads)


def with_copies(graph: Graph, value: Value, copies: Copies) -> Graph:
    """The graph with an input of more ciphertexts, and its reader without the steps that they take over."""
    builder = Builder(graph.name, [v.name for v in graph.values()])
    new: dict[str, Value] = {}
    for old in graph.inputs:
        type_ = old.type
        if old == value and isinstance(type_, CkksType):
            type_ = replace(type_, count=type_.count * len(copies.steps))
        new[old.name] = builder.input(old.name, type_)
    for node in graph.nodes:
        tables = [graph.arrays[arg.name] for arg in node.args if graph.is_constant(arg)]
        if value in node.args:
            tables[1:3] = _moved(tables, node.op, value, copies)
        constants = iter(tables)
        args = [
            _constant(builder, arg, next(constants)) if graph.is_constant(arg) else new[arg.name] for arg in node.args
        ]
        new[node.out.name] = builder.add(node.op, *args, name=node.out.name, origin=node.origin)
    return builder.build(new[v.name] for v in graph.outputs)


def _constant(builder: Builder, old: Value, array: Array) -> Value:
    return builder.constant(old.name, array, getattr(old.type, "scale_bits", None))


def _moved(tables: list[Array], op: object, value: Value, copies: Copies) -> list[Array]:
    """Columns that read copies, and the rotations that are left."""
    _, cols, rotations = tables[:3]
    if not isinstance(op, LinearTransform) or not isinstance(value.type, CkksType):
        raise TypeError(f"{value} is not read by a linear transform")
    babies, giants = split_steps(rotations, op.baby_steps)
    taken = rotations if copies.giants else babies
    numbers = np.searchsorted(np.array(copies.steps), taken)
    return [cols + value.type.count * numbers, np.zeros_like(giants) if copies.giants else giants]
