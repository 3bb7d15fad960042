"""Pack products of what the client sends, of matrices or of images: the rest works on their results where they are."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Protocol, TypeAlias

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers, SubtractCiphers
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.fixed import Shift
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.packed import AddPlain, LinearCombination
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.packing.tiles import ONLY_MATRICES, Packed, scale_of, shape_of
from enclair.compiler.planner.costs import StageCost

Kinds: TypeAlias = tuple[type[Op], ...]

MATRICES: Kinds = (MatMul,)
IMAGES: Kinds = (Conv, ConvTranspose)


class Blocking(Protocol):
    """A way to put matrices, or images, into ciphertexts so that their products with weights can be computed."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    def source(self, shape: tuple[int, ...]) -> Layout:
        """The layout in which the client sends a value."""
        ...

    def target(self, node: Node) -> Layout:
        """The layout of a product."""
        ...

    def work(self, node: Node) -> StageCost:
        """The server's operations for a product."""
        ...

    def product(self, builder: Builder, node: Node, x: Packed, weights: Array, scale_bits: int) -> Packed:
        """Write the product of a value in its source layout with the node's weights.

        Raises:
            PackingError: the value is not in a source layout.
        """
        ...

    def finished(self, builder: Builder, result: Packed) -> Packed:
        """Write what must happen to a result before it is sent."""
        ...

    def reshaped(self, layout: Layout, shape: tuple[int, ...]) -> Layout:
        """The layout of a result under another shape.

        Raises:
            PackingError: it has none.
        """
        ...


def products_of(graph: Graph, kinds: Kinds = MATRICES + IMAGES) -> list[Node]:
    """The products of a part of a stage."""
    return [node for node in graph.nodes if isinstance(node.op, kinds)]


def starts_with_products(graph: Graph, kinds: Kinds) -> bool:
    """Whether the part of a stage starts with products of its inputs of these kinds, and has no others."""
    products = products_of(graph)
    inputs = {value.name for value in graph.inputs}
    readers = [node for node in graph.nodes if inputs & {arg.name for arg in node.args}]
    return (
        bool(products)
        and products == products_of(graph, kinds)
        and all(node in products for node in readers)
        and all(node.args[0].name in inputs for node in products)
    )


def check_matrix(node: Node, weights: Array) -> None:
    """Refuse a product of a stack of matrices.

    Raises:
        PackingError: the weights are no matrix.
    """
    if weights.ndim != 2:
        raise PackingError(node.out.name, ONLY_MATRICES.format(shape=weights.shape))


def extents(graph: Graph) -> tuple[int, dict[str, int], dict[str, int]]:
    """The most rows of a product, the features of each input and the outputs of each result."""
    products = products_of(graph)
    rows = max(prod(shape_of(node.out)[:-1]) for node in products)
    features = {node.args[0].name: shape_of(node.args[0])[-1] for node in products}
    return rows, features, {node.out.name: shape_of(node.out)[-1] for node in products}


def least_cost(graph: Graph, blocking: Blocking) -> StageCost:
    """What a part costs at least: its products, and the ciphertexts that it takes and returns."""
    products = products_of(graph)
    made = {node.out.name: blocking.target(node) for node in products}
    uploads = sum(blocking.source(shape_of(value)).count for value in graph.inputs)
    answers = sum(made[value.name].count for value in graph.outputs if value.name in made)
    return sum(map(blocking.work, products), StageCost(uploads, answers))


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
            case MatMul() | Conv() | ConvTranspose():
                weights, bits = self.graph.constant(node.args[1]), scale_of(node.args[1])
                return self.blocking.product(self.builder, node, x, weights, bits)
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
            case Reshape():
                return replace(x, layout=self.blocking.reshaped(x.layout, shape_of(node.out)))
            case _:
                raise PackingError(node.out.name, f"{type(node.op).__name__} has no form in blocks")

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
