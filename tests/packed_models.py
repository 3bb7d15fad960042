"""Small networks with polynomial activations, for tests of packing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from enclair.compiler.ir.graph import Array, Builder, Graph, Node, Value
from enclair.compiler.ir.ops.ckks import EvaluatePolynomial
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.ops.pooling import AveragePool
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import TensorType
from enclair.compiler.packing.slotted.pack import Packed

CUBIC = Polynomial((0.3, 0.5, 0.2, 0.05), -4.0, 4.0)
SHIFTED = Polynomial((0.5, -0.3, 0.1), 1.0, 9.0)


@dataclass
class Network:
    """Adds layers with random weights, one after another."""

    name: str
    seed: int = 0
    builder: Builder = field(init=False)
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.builder, self.rng = Builder(self.name), np.random.default_rng(self.seed)

    def input(self, *shape: int, name: str = "x") -> Value:
        return self.builder.input(name, TensorType(shape))

    def constant(self, *shape: int, scale: float = 1.0) -> Value:
        return self.builder.constant("w", self.rng.normal(size=shape) * scale)

    def conv(
        self, x: Value, outputs: int, kernel: int = 3, stride: int = 1, pad: int = 1, dilation: int = 1, groups: int = 1
    ) -> Value:
        inputs = shape(x)[1] // groups
        weights = self.constant(outputs, inputs, kernel, kernel, scale=(inputs * kernel * kernel) ** -0.5)
        op = Conv((stride, stride), (pad,) * 4, (dilation, dilation), groups)
        return self.builder.add(Add(), self.builder.add(op, x, weights), self.constant(1, outputs, 1, 1))

    def dense(self, x: Value, outputs: int) -> Value:
        inputs = shape(x)[-1]
        product = self.builder.add(MatMul(), x, self.constant(inputs, outputs, scale=inputs**-0.5))
        return self.builder.add(Add(), product, self.constant(outputs))

    def square(self, x: Value) -> Value:
        return self.builder.add(Mul(), x, x)

    def cubic(self, x: Value) -> Value:
        return self.builder.add(CUBIC, x)

    def pool(self, x: Value, size: int = 2) -> Value:
        return self.builder.add(AveragePool((size, size), (size, size), (0,) * 4, True), x)

    def flat(self, x: Value) -> Value:
        extents = shape(x)
        return self.builder.add(Reshape((extents[0], int(np.prod(extents[1:])))), x)

    def sum(self, x: Value, y: Value) -> Value:
        return self.builder.add(Add(), x, y)

    def build(self, *outputs: Value) -> Graph:
        return self.builder.build(outputs)


def shape(value: Value) -> tuple[int, ...]:
    assert isinstance(value.type, TensorType)
    return value.type.shape


def mlp(*widths: int, batch: int = 1) -> Graph:
    net = Network("mlp")
    x = net.input(batch, widths[0])
    for number, width in enumerate(widths[1:], 2):
        x = net.dense(x, width)
        x = x if number == len(widths) else net.square(x)
    return net.build(x)


def lola() -> Graph:
    net = Network("lola")
    x = net.square(net.conv(net.input(1, 1, 28, 28), 5, kernel=5, stride=2))
    return net.build(net.dense(net.square(net.dense(net.flat(x), 100)), 10))


def lenet() -> Graph:
    net = Network("lenet")
    x = net.pool(net.square(net.conv(net.input(1, 1, 28, 28), 32, kernel=5, pad=2)))
    x = net.pool(net.square(net.conv(x, 64, kernel=5, pad=2)))
    return net.build(net.dense(net.square(net.dense(net.flat(x), 512)), 10))


def random_inputs(graph: Graph, seed: int = 1) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {value.name: rng.normal(size=shape(value)) for value in graph.inputs}


def packed_run(packed: Packed, inputs: dict[str, Array]) -> dict[str, Array]:
    """What client and server compute together, in the clear."""
    return run(packed.client, run(packed.server, run(packed.prologue, inputs)))


def check_bounded(graph: Graph, packed: Packed, inputs: dict[str, Array]) -> None:
    """Slots without an element are within every polynomial's interval: outside it they would overflow."""
    names = [node.out.name for node in graph.nodes if isinstance(node.op, Polynomial)]

    def observe(node: Node, args: tuple[Array, ...], _: Array) -> None:
        if isinstance(node.op, EvaluatePolynomial):
            beside = args[0][packed.layouts[names.pop(0)].index() < 0]
            assert np.all((node.op.low <= beside) & (beside <= node.op.high)), node

    run(packed.server, run(packed.prologue, inputs), observe)
    assert not names


def check_packed(graph: Graph, pack: Callable[[Graph], Packed]) -> Packed:
    """Pack a graph and hold it to the graph itself; every slot on the way stays bounded."""
    packed, inputs = pack(graph), random_inputs(graph)
    check_bounded(graph, packed, inputs)
    want, got = run(graph, inputs), packed_run(packed, inputs)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-9 * max(1.0, float(np.abs(value).max())))
    return packed
