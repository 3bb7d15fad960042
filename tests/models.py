"""Small models with known properties, made by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.ops.activations import Gelu, Relu, Sigmoid, Softmax
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Mul, Sub
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.normalisation import LayerNormalization
from enclair.compiler.ir.ops.pooling import AveragePool, MaxPool
from enclair.compiler.ir.ops.reductions import ReduceMean
from enclair.compiler.ir.ops.shape import Concat, Reshape, Transpose
from enclair.compiler.ir.public import public_constant
from enclair.compiler.ir.types import TensorType
from tests.strategies import shape_of


class Net:
    """A builder with layers."""

    def __init__(self, seed: int = 0) -> None:
        self.builder = Builder("net")
        self.weights = np.random.default_rng(seed)

    def input(self, *shape: int, name: str = "x") -> Value:
        return self.builder.input(name, TensorType(shape))

    def op(self, op: Op, *args: Value, name: str = "") -> Value:
        return self.builder.add(op, *args, name=name)

    def constant(self, *shape: int, fan_in: int = 1) -> Value:
        return self.builder.constant("w", self.weights.normal(size=shape) / np.sqrt(fan_in))

    def conv(self, x: Value, outputs: int, kernel: int = 3, stride: int = 1, pad: int | None = None) -> Value:
        """A convolution with a bias, "same" by default."""
        channels, rank = shape_of(x)[1], len(shape_of(x)) - 2
        pads = (kernel // 2 if pad is None else pad,) * (2 * rank)
        w = self.constant(outputs, channels, *[kernel] * rank, fan_in=channels * kernel**rank)
        y = self.op(Conv((stride,) * rank, pads, (1,) * rank, 1), x, w)
        return self.op(Add(), y, self.constant(outputs, *[1] * rank))

    def gemm(self, x: Value, outputs: int) -> Value:
        """Rows times a matrix, plus a bias."""
        features = shape_of(x)[-1]
        return self.op(
            Add(), self.op(MatMul(), x, self.constant(features, outputs, fan_in=features)), self.constant(outputs)
        )

    def relu(self, x: Value) -> Value:
        return self.op(Relu(), x)

    def norm(self, x: Value) -> Value:
        width = shape_of(x)[-1]
        return self.op(LayerNormalization(len(shape_of(x)) - 1, 1e-5), x, self.constant(width), self.constant(width))

    def flatten(self, x: Value) -> Value:
        rows, *rest = shape_of(x)
        return self.op(Reshape((rows, int(np.prod(rest)))), x)

    def graph(self, *outputs: Value) -> Graph:
        return self.builder.build(outputs)


def convolutions(count: int, channels: int = 2, extent: int = 6, activation: Op | None = None) -> Graph:
    """So many convolutions, with an activation between them or without."""
    net = Net()
    h = net.input(1, 1, extent, extent)
    for number in range(count):
        h = net.conv(h, channels if number < count - 1 else 1)
        if activation is not None and number < count - 1:
            h = net.op(activation, h)
    return net.graph(h)


def denoiser() -> Graph:
    """x - net(x) with four convolutions: the shape of the main job."""
    net = Net()
    h = x = net.input(1, 1, 6, 6)
    for number in range(4):
        h = net.conv(h, 2 if number < 3 else 1)
        h = net.relu(h) if number < 3 else h
    return net.graph(net.op(Sub(), x, h))


def residual_block() -> Graph:
    net = Net()
    x = net.conv(net.input(1, 1, 6, 6), 2)
    return net.graph(net.relu(net.op(Add(), net.conv(net.relu(net.conv(x, 2)), 2), x)))


def classifier(*, activation: bool = True, pooled: bool = False) -> Graph:
    """A convolution, then flatten or a global mean, then a matrix."""
    net = Net()
    h = net.conv(net.input(1, 1, 4, 4), 2)
    h = net.relu(h) if activation else h
    h = net.op(ReduceMean((2, 3), False), h) if pooled else net.flatten(h)
    return net.graph(net.gemm(h, 3))


def pooled(op: Op) -> Graph:
    """Convolution, pool, convolution."""
    net = Net()
    return net.graph(net.conv(net.op(op, net.conv(net.input(1, 1, 8, 8), 2)), 1))


def two_branches() -> Graph:
    """A branch of one convolution and one of three with activations, concatenated and mixed."""
    net = Net()
    x = net.input(1, 1, 6, 6)
    short, long = net.conv(x, 2), net.relu(net.conv(net.relu(net.conv(x, 2)), 2))
    return net.graph(net.conv(net.op(Concat(1), short, net.relu(net.conv(long, 2))), 1))


def transformer_block() -> Graph:
    """Normalise first, attend, then a perceptron; both with a skip."""
    net = Net()
    x = net.input(1, 3, 4)
    h = net.norm(x)
    q, k, v = (net.gemm(h, 4) for _ in range(3))
    scores = net.op(MatMul(), q, net.op(Transpose((0, 2, 1)), k))
    half = public_constant(net.builder, "half", np.array(0.5))
    weights = net.op(Softmax(2), net.op(Mul(), scores, half))
    x = net.op(Add(), x, net.gemm(net.op(MatMul(), weights, v), 4))
    mixed = net.gemm(net.op(Gelu(), net.gemm(net.norm(x), 4)), 4)
    return net.graph(net.op(Add(), x, mixed))


MAX_POOL = MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))
AVERAGE_POOL = AveragePool((2, 2), (2, 2), (0, 0, 0, 0), True)

KNOWN_ROUNDS: Sequence[tuple[str, Graph, int]] = (
    ("one convolution", convolutions(1), 1),
    ("three convolutions, no activation", convolutions(3), 1),
    ("two convolutions", convolutions(2, activation=Relu()), 2),
    ("four convolutions", convolutions(4, activation=Relu()), 4),
    ("four convolutions, real activation", convolutions(4, activation=Sigmoid()), 4),
    ("denoiser", denoiser(), 4),
    ("residual block", residual_block(), 2),
    ("flatten and Gemm", classifier(), 2),
    ("flatten and Gemm, no activation", classifier(activation=False), 1),
    ("global mean and Gemm", classifier(pooled=True), 2),
    ("global mean and Gemm, no activation", classifier(activation=False, pooled=True), 1),
    ("max pool", pooled(MAX_POOL), 2),
    ("average pool", pooled(AVERAGE_POOL), 1),
    ("two branches", two_branches(), 4),
    ("transformer block", transformer_block(), 4),
)
"""Models and the least number of rounds: the most server ops with an op of the client between any two, on one path."""
