"""The client gets whole sums where that is asked for."""

import numpy as np
import pytest
from tests.rounds import run_rounds

from enclair import compiler
from enclair.compiler import SplitOptions
from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.layouts import summands
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.packed import Unpack
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import TensorType

RNG = np.random.default_rng(0)


def product() -> Graph:
    builder = Builder("product")
    x = builder.input("x", TensorType((1, 64)))
    y = builder.add(MatMul(), x, builder.constant("w", RNG.normal(size=(64, 8))), name="y")
    return builder.build([y])


def flattened() -> Graph:
    """A convolution, and a product of its flattened result without an activation between."""
    builder = Builder("flattened")
    x = builder.input("x", TensorType((1, 1, 4, 4)))
    kernel = builder.constant("k", RNG.normal(size=(2, 1, 3, 3)))
    features = builder.add(Conv((1, 1), (1, 1, 1, 1), (1, 1), 1), x, kernel)
    flat = builder.add(Reshape((1, 32)), features)
    y = builder.add(MatMul(), flat, builder.constant("w", RNG.normal(size=(32, 3))), name="y")
    return builder.build([y])


def most_summands(program: compiler.Program) -> int:
    graphs = [round_.client for round_ in program.rounds]
    return max(summands(n.op.layout) for graph in graphs for n in graph.nodes if isinstance(n.op, Unpack))


@pytest.fixture(autouse=True)
def in_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """No products on coefficients: these leave nothing to sum."""
    monkeypatch.setattr("enclair.compiler.packing.candidates.polynomial_blockings", lambda *_: [])


@pytest.mark.parametrize("graph", [product(), flattened()], ids=lambda graph: graph.name)
def test_sums_are_whole_where_finishing_sums_are_forbidden(graph: Graph) -> None:
    samples = [{"x": RNG.normal(size=graph.inputs[0].type.shape)} for _ in range(4)]
    cheapest = compiler.compile(graph, samples)
    whole = compiler.compile(graph, samples, options=SplitOptions(finishing_sums=False))
    assert most_summands(cheapest) > 1
    assert most_summands(whole) == 1
    for program in (cheapest, whole):
        np.testing.assert_array_equal(run_rounds(program, samples[0])["y"], run(program.fixed, samples[0])["y"])
