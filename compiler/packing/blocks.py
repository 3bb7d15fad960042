"""Pack matrix products in blocks: weights in plaintext slots, several outputs to a ciphertext.

The client finishes the sums. It sends each feature once per output that shares a ciphertext (``Replicated``). With p
summands left per output, a product of F features and O outputs takes F / p ciphertexts up and O p rows / slots down.
p = 1 leaves nothing to finish and shows the client nothing but the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node, Value
from enclair.compiler.ir.layouts import BlockSums, Replicated
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.fixed import Shift
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.ops.packed import AddCiphers, AddPlain, LinearCombination, SlotCombination, SubtractCiphers
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.packing.tiles import ONLY_MATRICES, Packed, scale_of, shape_of


def blockable(graph: Graph) -> bool:
    """Whether the part of a stage starts with matrix products of its inputs and has none after."""
    products = [node for node in graph.nodes if isinstance(node.op, MatMul)]
    inputs = {value.name for value in graph.inputs}
    readers = [node for node in graph.nodes if inputs & {arg.name for arg in node.args}]
    return (
        bool(products)
        and all(node in products for node in readers)
        and all(node.args[0].name in inputs for node in products)
    )


@dataclass(frozen=True, slots=True)
class Blocking:
    """How many summands per output are left to the client, and how many outputs share a ciphertext."""

    partials: int
    copies: int
    slots: int

    def source(self, value: Value) -> Replicated:
        """The layout in which the client sends a value."""
        return Replicated(shape_of(value), self.partials, self.copies, self.slots)

    def target(self, shape: tuple[int, ...]) -> BlockSums:
        """The layout of a product."""
        return BlockSums(shape, self.partials, self.copies, self.slots)


def blockings(graph: Graph, slots: int) -> Iterable[Blocking]:
    """Blockings worth trying: summands by powers of two."""
    products = [node for node in graph.nodes if isinstance(node.op, MatMul)]
    rows = max(prod(shape_of(node.out)[:-1]) for node in products)
    features = max(shape_of(node.args[0])[-1] for node in products)
    outputs = max(shape_of(node.out)[-1] for node in products)
    partials = 1
    while rows * partials <= slots and partials < 2 * features:
        yield Blocking(partials, min(slots // (rows * partials), outputs), slots)
        partials *= 2


class BlockLowering:
    """Writes the packed ops of one part of a stage into a builder shared with the other parts."""

    def __init__(self, graph: Graph, blocking: Blocking, builder: Builder, values: dict[str, Packed]) -> None:
        self.graph, self.blocking, self.builder = graph, blocking, builder
        self.values = dict(values)

    def run(self) -> dict[str, Packed]:
        """All values of the part, packed."""
        for node in self.graph.nodes:
            self.values[node.out.name] = self._lower(node)
        return self.values

    def _lower(self, node: Node) -> Packed:
        x = self.values[node.args[0].name]
        match node.op:
            case MatMul():
                return self._product(node, x)
            case Add() if self.graph.is_constant(node.args[1]):
                constant = self.builder.constant(
                    node.args[1].name, self.graph.constant(node.args[1]), scale_of(node.args[1])
                )
                return replace(x, cipher=self.builder.add(AddPlain(x.layout), x.cipher, constant))
            case Add() | Sub():
                op = AddCiphers() if isinstance(node.op, Add) else SubtractCiphers()
                return self._joined(node, x, self.values[node.args[1].name], op)
            case Mul() if self.graph.constant(node.args[1]).size == 1:
                factor = int(self.graph.constant(node.args[1]).reshape(-1)[0])
                return self._scaled(x, factor, scale_of(node.args[1]))
            case Neg():
                return self._scaled(x, -1, 0)
            case Shift():
                return self._scaled(x, 1 << node.op.bits, node.op.bits)
            case Reshape() if isinstance(x.layout, BlockSums) and _keeps_rows(node):
                return replace(x, layout=replace(x.layout, shape=shape_of(node.out)))
            case _:
                raise PackingError(node.out.name, f"{type(node.op).__name__} has no form in blocks")

    def _product(self, node: Node, x: Packed) -> Packed:
        weights, bits = self.graph.constant(node.args[1]), scale_of(node.args[1])
        source, target = x.layout, self.blocking.target(shape_of(node.out))
        if weights.ndim != 2:
            raise PackingError(node.out.name, ONLY_MATRICES.format(shape=weights.shape))
        if not isinstance(source, Replicated):
            raise PackingError(node.out.name, "multiplies what is not an input of the stage")
        rows, cols = np.divmod(np.arange(target.count * source.count), source.count)
        vectors = self._vectors(weights, source, target)
        indices = [self.builder.constant(name, table, 0) for name, table in (("rows", rows), ("cols", cols))]
        constant = self.builder.constant("vectors", vectors, bits)
        cipher = self.builder.add(SlotCombination(target.count), x.cipher, *indices, constant)
        return Packed(cipher, target, True)

    def _vectors(self, weights: Array, source: Replicated, target: BlockSums) -> Array:
        """Weight of the feature in each slot for the output in each slot, (targets * sources, slots)."""
        features, outputs = weights.shape
        feature, output = source.index()[None], target.index()[:, None]
        held = (feature >= 0) & (output >= 0)
        values = weights[np.where(held, feature % features, 0), np.where(held, output % outputs, 0)]
        return np.where(held, values, 0).reshape(-1, source.slots)

    def _joined(self, node: Node, x: Packed, y: Packed, op: AddCiphers | SubtractCiphers) -> Packed:
        if x.layout != y.layout:
            raise PackingError(node.out.name, "adds values in different blocks")
        return replace(x, cipher=self.builder.add(op, x.cipher, y.cipher))

    def _scaled(self, x: Packed, factor: int, bits: int) -> Packed:
        every = np.arange(x.layout.count)[:, None, None]
        tables = [self.builder.constant(name, every, 0) for name in ("gather", "scatter")]
        weights = self.builder.constant("weights", np.full_like(every, factor), bits)
        op = LinearCombination(x.layout.count)
        return replace(x, cipher=self.builder.add(op, x.cipher, tables[0], weights, tables[1]))


def _keeps_rows(node: Node) -> bool:
    """Whether a Reshape leaves the last axis as it is."""
    return shape_of(node.out)[-1:] == shape_of(node.args[0])[-1:]
