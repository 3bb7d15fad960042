"""Pack matrix products of what the client sends: the rest of the stage works on their results where they are."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Protocol

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.fixed import Shift
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.ops.packed import AddCiphers, AddPlain, LinearCombination, SubtractCiphers
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.packing.tiles import ONLY_MATRICES, Packed, scale_of, shape_of
from enclair.compiler.planner.costs import StageCost


class Blocking(Protocol):
    """A way to put matrices into ciphertexts so that their products with weights can be computed."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    def source(self, shape: tuple[int, ...]) -> Layout:
        """The layout in which the client sends a matrix."""
        ...

    def target(self, shape: tuple[int, ...]) -> Layout:
        """The layout of a product."""
        ...

    def work(self, source: Layout, target: Layout) -> StageCost:
        """The server's operations for a product."""
        ...

    def product(self, builder: Builder, x: Packed, weights: Array, scale_bits: int, shape: tuple[int, ...]) -> Packed:
        """Write the product of a matrix in its source layout with weights (features, outputs)."""
        ...

    def finished(self, builder: Builder, result: Packed) -> Packed:
        """Write what must happen to a result before it is sent."""
        ...

    def reshaped(self, layout: Layout, shape: tuple[int, ...]) -> Layout:
        """The layout of a result under a shape with the same last axis."""
        ...


def products_of(graph: Graph) -> list[Node]:
    """The matrix products of a part of a stage."""
    return [node for node in graph.nodes if isinstance(node.op, MatMul)]


def starts_with_products(graph: Graph) -> bool:
    """Whether the part of a stage starts with matrix products of its inputs and has none after."""
    products = products_of(graph)
    inputs = {value.name for value in graph.inputs}
    readers = [node for node in graph.nodes if inputs & {arg.name for arg in node.args}]
    return (
        bool(products)
        and all(node in products for node in readers)
        and all(node.args[0].name in inputs for node in products)
    )


def extents(graph: Graph) -> tuple[int, dict[str, int], dict[str, int]]:
    """The most rows of a product, the features of each input and the outputs of each result."""
    products = products_of(graph)
    rows = max(prod(shape_of(node.out)[:-1]) for node in products)
    features = {node.args[0].name: shape_of(node.args[0])[-1] for node in products}
    return rows, features, {node.out.name: shape_of(node.out)[-1] for node in products}


def least_cost(graph: Graph, blocking: Blocking) -> StageCost:
    """What a part costs at least: its products, and the ciphertexts that it takes and returns."""
    products = products_of(graph)
    made = {node.out.name: blocking.target(shape_of(node.out)) for node in products}
    uploads = sum(blocking.source(shape_of(value)).count for value in graph.inputs)
    answers = sum(made[value.name].count for value in graph.outputs if value.name in made)
    work = [blocking.work(blocking.source(shape_of(n.args[0])), made[n.out.name]) for n in products]
    return sum(work, StageCost(uploads, answers))


class ProductLowering:
    """Writes the packed ops of one part of a stage."""

    def __init__(self, graph: Graph, blocking: Blocking, builder: Builder, values: dict[str, Packed]) -> None:
        self.graph, self.blocking, self.builder = graph, blocking, builder
        self.values = dict(values)

    def run(self) -> dict[str, Packed]:
        """The outputs of the part, packed."""
        for node in self.graph.nodes:
            self.values[node.out.name] = self._lower(node)
        return {
            value.name: self.blocking.finished(self.builder, self.values[value.name]) for value in self.graph.outputs
        }

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
            case Reshape() if _keeps_rows(node):
                return replace(x, layout=self.blocking.reshaped(x.layout, shape_of(node.out)))
            case _:
                raise PackingError(node.out.name, f"{type(node.op).__name__} has no form in blocks")

    def _product(self, node: Node, x: Packed) -> Packed:
        weights, bits = self.graph.constant(node.args[1]), scale_of(node.args[1])
        if weights.ndim != 2:
            raise PackingError(node.out.name, ONLY_MATRICES.format(shape=weights.shape))
        return self.blocking.product(self.builder, x, weights, bits, shape_of(node.out))

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
