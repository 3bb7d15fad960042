"""How the order of channels goes through the client's graphs, from the answers to the uploads.

A client's stage commutes with a permutation of channels where it treats all of them alike. Every op has a rule here
that says in which order its result stands; an op without one, or whose rule does not hold, fixes the order of its
arguments to the model's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Value
from enclair.compiler.ir.ops.activations import Clip, PRelu, RealFunction, Relu, Softmax
from enclair.compiler.ir.ops.elementwise import (
    Abs,
    Add,
    Div,
    Greater,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    Reciprocal,
    Sub,
    Where,
)
from enclair.compiler.ir.ops.fixed import Dequantise, Quantise, Refresh, Requantise, Shift
from enclair.compiler.ir.ops.normalisation import LayerNormalization
from enclair.compiler.ir.ops.packed import Pack, Unpack
from enclair.compiler.ir.ops.pooling import AveragePool, MaxPool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import Concat, Expand, Gather, Pad, Reshape, Resize, Slice, Transpose
from enclair.compiler.ir.types import TensorType, Type
from enclair.compiler.obfuscation.blocks import ChannelBlocks, channel_blocks, kept_axis
from enclair.compiler.obfuscation.orders import Order, Permutations

POINTWISE = (
    RealFunction, Relu, Clip, PRelu, Add, Sub, Mul, Div, Maximum, Minimum, Neg, Abs, Pow, Reciprocal, Where, Greater,
    Quantise, Requantise, Dequantise, Shift, Refresh,
)  # fmt: skip


@dataclass(slots=True)
class Flow:
    """Follows the order of channels, graph by graph.

    Args:
        permutations: found so far.
        orders: of the client's tensors, by name; those that are not here stand in their own order.
        answers, uploads: orders of what crosses the wire, by the name of the ciphertext array.
        blocks: the ciphertexts of each channel, by the name of the array.
        refused: why an answer has no channels to permute, by name.
    """

    permutations: Permutations = field(default_factory=Permutations)
    orders: dict[str, Order] = field(default_factory=dict)
    answers: dict[str, Order] = field(default_factory=dict)
    uploads: dict[str, Order] = field(default_factory=dict)
    blocks: dict[str, ChannelBlocks] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def follow(self, graph: Graph) -> None:
        """Go through a client's graph."""
        for node in graph.nodes:
            if isinstance(node.op, Unpack):
                self._unpack(node, node.op)
            elif isinstance(node.op, Pack):
                self._pack(node, node.op)
            elif order := self._result(graph, node):
                self.orders[node.out.name] = order

    def fix_outputs(self, names: Iterable[str]) -> None:
        """The user gets the model's outputs as they are."""
        for name in names:
            if name in self.orders:
                self.permutations.forbid(self.orders[name], f"%{name} is an output of the model")

    def _unpack(self, node: Node, op: Unpack) -> None:
        name, blocks = node.args[0].name, channel_blocks(op.layout)
        if blocks is None:
            self.refused[name] = "its ciphertexts hold several channels each"
            return
        self.blocks[name] = blocks
        if len(blocks.numbers) == 1:
            self.refused[name] = "it has one channel"
            return
        order = Order(blocks.axis, ((self.permutations.new(), len(blocks.numbers)),))
        self.orders[node.out.name] = self.answers[name] = order

    def _pack(self, node: Node, op: Pack) -> None:
        order = self.orders.get(node.args[0].name)
        if order is None:
            return
        blocks = channel_blocks(op.layout)
        if blocks is None or blocks.axis != order.axis:
            reason = f"{node.args[0]} is sent again in ciphertexts that hold several channels each"
            self.permutations.forbid(order, reason)
            return
        self.uploads[node.out.name], self.blocks[node.out.name] = order, blocks

    def _result(self, graph: Graph, node: Node) -> Order | None:
        """The order of a node's result; None for its own."""
        if not any(arg.name in self.orders for arg in node.args):
            return None
        if isinstance(node.op, Concat):
            return self._joined(node, node.op.axis)
        first = self.orders.get(node.args[0].name)
        moved = _moved_axis(node, first.axis) if first else None
        if isinstance(node.op, POINTWISE) or (isinstance(node.op, LayerNormalization) and moved is not None):
            return self._pointwise(graph, node)
        if first is None or moved is None:
            return self._fixed(node, f"{_described(node)} mixes channels")
        return Order(moved, first.runs)

    def _fixed(self, node: Node, reason: str) -> Order | None:
        """All arguments must stand in their own order, and so does the result: None."""
        for arg in node.args:
            if arg.name in self.orders:
                self.permutations.forbid(self.orders[arg.name], reason)
        return None

    def _pointwise(self, graph: Graph, node: Node) -> Order | None:
        """One order for all arguments; what broadcasts along the channels, or is the same for all, has any."""
        rank = len(_shape(node.out.type))
        lifted = {
            arg.name: Order(order.axis + rank - len(_shape(arg.type)), order.runs)
            for arg in node.args
            if (order := self.orders.get(arg.name))
        }
        order = next(iter(lifted.values()))
        if any(other.axis != order.axis or not self.permutations.unite(order, other) for other in lifted.values()):
            return self._fixed(node, f"{_described(node)} joins channels of different kinds")
        for arg in node.args:
            if arg.name not in lifted and _varies(graph, arg, order.axis - rank):
                self.permutations.forbid(order, _met(graph, node, arg))
        return order

    def _joined(self, node: Node, axis: int) -> Order | None:
        """Runs one after another, where the tensors are joined along their channels; else one order for all."""
        known = [self.orders.get(arg.name) for arg in node.args]
        first = next(order for order in known if order)
        if any(order and order.axis != first.axis for order in known):
            return self._fixed(node, f"{_described(node)} joins channels of different kinds")
        reason = f"{_described(node)} joins it with channels that stand in their own order"
        orders = [
            order or self.permutations.plain(first.axis, _shape(arg.type)[first.axis], reason)
            for order, arg in zip(known, node.args, strict=True)
        ]
        if axis == first.axis:
            return Order(axis, tuple(run for order in orders for run in order.runs))
        if not all(self.permutations.unite(first, order) for order in orders):
            return self._fixed(node, f"{_described(node)} joins channels of different kinds")
        return first


def _moved_axis(node: Node, axis: int) -> int | None:
    """Where the channels of the first argument are in the result; None where the op mixes or picks some of them."""
    x = _shape(node.args[0].type)
    match node.op:
        case Transpose(perm=perm):
            return perm.index(axis)
        case Reshape(shape=shape):
            return kept_axis(x, axis, shape)
        case Expand(shape=shape):
            return axis + len(shape) - len(x)
        case ReduceSum() | ReduceMean() | ReduceMax():
            return _after_reduction(node.op, axis)
        case _:
            return axis if _leaves(node, axis, x) else None


def _after_reduction(op: ReduceSum | ReduceMean | ReduceMax, axis: int) -> int | None:
    if axis in op.axes:
        return None
    return axis if op.keepdims else axis - sum(gone < axis for gone in op.axes)


def _leaves(node: Node, axis: int, x: tuple[int, ...]) -> bool:
    """Whether the op does the same to each index of an axis, and moves none."""
    match node.op:
        case MaxPool() | SumPool() | AveragePool():
            return axis < 2
        case Softmax(axis=over) | Gather(axis=over):
            return axis != over
        case LayerNormalization(axis=start):
            return axis < start
        case Slice(starts=starts, stops=stops, steps=steps):
            return (starts[axis], stops[axis], steps[axis]) == (0, x[axis], 1)
        case Pad(pads=pads):
            return pads[axis] == pads[axis + len(x)] == 0
        case Resize(factors=factors):
            return factors[axis] == 1
        case _:
            return False


def _varies(graph: Graph, arg: Value, axis: int) -> bool:
    """Whether an argument differs along an axis, which is counted from the last."""
    shape = _shape(arg.type)
    if -axis > len(shape) or shape[axis] == 1:
        return False
    if not graph.is_constant(arg):
        return True
    array = graph.constant(arg)
    return bool((array != np.take(array, [0], axis=axis)).any())


def _met(graph: Graph, node: Node, arg: Value) -> str:
    if graph.is_constant(arg):
        return f"{_described(node)} has numbers of its own for each channel ({arg})"
    return f"{_described(node)} joins it with {arg}, whose channels stand in their own order"


def _described(node: Node) -> str:
    return f"{type(node.op).__name__} {node.out}"


def _shape(type_: Type) -> tuple[int, ...]:
    return type_.shape if isinstance(type_, TensorType) else ()
