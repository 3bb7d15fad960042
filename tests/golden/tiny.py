"""One small model with everything a report shows: convolutions, a slope that goes to the client, a matrix product.

Its weights are written down by a formula, so that neither a random generator's stream nor a file decides what is
golden.
"""

from functools import lru_cache

import numpy as np

import enclair.compiler
from enclair.compiler import SplitOptions
from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.ops.activations import PRelu, Relu
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.types import TensorType
from enclair.compiler.program import Program

OPTIONS = SplitOptions(activation_bits=9, weight_bits=10, input_ranges={"x": (-1.0, 1.0)})
SAME = (1, 1, 1, 1)


def numbers(*shape: int, seed: int = 1, digits: int = 3) -> Array:
    """Decimal fractions in [-1, 1] without a pattern."""
    flat = np.arange(1, np.prod(shape, dtype=int) + 1)
    return np.round(np.sin(flat * flat * seed * 0.7), digits).reshape(shape)


def tiny_graph(digits: int = 3) -> Graph:
    """The model, with weights of so many decimal digits."""
    builder = Builder("tiny")

    def weights(name: str, *shape: int, seed: int) -> Value:
        return builder.constant(name, numbers(*shape, seed=seed, digits=digits))

    x = builder.input("x", TensorType((1, 1, 6, 6)))
    conv = Conv((1, 1), SAME, (1, 1), 1)
    first = builder.add(conv, x, weights("w1", 2, 1, 3, 3, seed=1), name="c1", origin="net.first")
    biased = builder.add(Add(), first, weights("b1", 2, 1, 1, seed=2), name="s1", origin="net.first")
    bent = builder.add(PRelu(), biased, weights("slope", 2, 1, 1, seed=3), name="a1", origin="net.act")
    second = builder.add(conv, bent, weights("w2", 2, 2, 3, 3, seed=5), name="c2", origin="net.second")
    relu = builder.add(Relu(), second, name="a2")
    flat = builder.add(Reshape((1, 72)), relu, name="flat")
    product = builder.add(MatMul(), flat, weights("w3", 72, 3, seed=7), name="m", origin="net.head")
    out = builder.add(Add(), product, weights("b3", 3, seed=11), name="y", origin="net.head")
    return builder.build([out])


def tiny_samples() -> list[dict[str, Array]]:
    return [{"x": numbers(1, 1, 6, 6, seed=seed)} for seed in (13, 17, 19, 23)]


@lru_cache
def tiny_program() -> Program:
    return enclair.compiler.compile(tiny_graph(), tiny_samples(), options=OPTIONS)
