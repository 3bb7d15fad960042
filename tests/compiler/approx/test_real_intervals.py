"""Intervals of reals: proven on random graphs, tight where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import graphs, within

from enclair.compiler.approx.ranges import Range
from enclair.compiler.approx.real_intervals import proven_ranges
from enclair.compiler.ir.graph import Builder, Graph, Node
from enclair.compiler.ir.ops import activations as a
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Abs, Add, Div, Mul, Neg, Pow, Reciprocal, Sub
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.normalisation import LayerNormalization
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import TensorType


def of(op: Op, low: float, high: float) -> Range:
    """The interval of an op on one input."""
    builder = Builder("g")
    x = builder.input("x", TensorType((3,)))
    y = builder.add(op, x, name="y")
    return proven_ranges(builder.build([y]), {"x": Range(low, high)})["y"]


@given(graph=graphs(), data=st.data())
def test_no_value_leaves_its_interval(graph: Graph, data: st.DataObject) -> None:
    limits = {value.name: (-1.0, 1.5) for value in graph.inputs}
    known = proven_ranges(graph, {name: Range(*limit) for name, limit in limits.items()})

    def observe(node: Node, _: tuple[np.ndarray, ...], result: np.ndarray) -> None:
        if result.size:
            assert known[node.out.name].low <= result.min()
            assert result.max() <= known[node.out.name].high

    run(graph, data.draw(within(graph, limits)), observe)


@given(
    op=st.sampled_from(
        [a.Relu(), a.LeakyRelu(0.1), a.Gelu(), a.Gelu("tanh"), a.Silu(), a.HardSwish(), a.Mish(), a.Tanh(), a.Exp(),
         Abs(), Neg(), Pow(2.0), Pow(3.0), a.Clip(0.0, 6.0), a.HardSigmoid(0.2, 0.5), a.Elu(1.0), a.Softplus()]
    ),
    low=st.floats(-6, 6),
    width=st.floats(0, 6),
)  # fmt: skip
def test_functions(op: Op, low: float, width: float) -> None:
    known = of(op, low, low + width)
    seen = op.evaluate(np.linspace(low, low + width, 501))
    assert known.low <= seen.min()
    assert seen.max() <= known.high


@pytest.mark.parametrize("op", [Reciprocal(), Pow(-0.5), a.Sqrt(), a.Log()])
def test_functions_of_positive_values(op: Op) -> None:
    ends = sorted(op.evaluate(np.array([0.5, 4.0])))
    assert of(op, 0.5, 4.0).low == pytest.approx(ends[0])
    assert of(op, 0.5, 4.0).high == pytest.approx(ends[1])
    assert of(op, -0.5, 4.0) == Range(-np.inf, np.inf)


def test_weighted_sums_use_the_signs_of_weights() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 1, 2, 2)))
    y = builder.add(
        Conv((1, 1), (0, 0, 0, 0), (1, 1), 1), x, builder.constant("w", np.array([[[[2.0, -3.0]]]])), name="y"
    )
    known = proven_ranges(builder.build([y]), {"x": Range(0.0, 1.0)})["y"]
    assert (known.low, known.high) == (pytest.approx(-3.0), pytest.approx(2.0))


def test_squares_are_not_negative() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((2,)))
    y = builder.add(Mul(), x, x, name="y")
    known = proven_ranges(builder.build([y]), {"x": Range(-2.0, 1.0)})["y"]
    assert known.low == pytest.approx(0.0, abs=1e-9)
    assert known.high == pytest.approx(4.0)


def test_quotients_and_products_of_two_values() -> None:
    builder = Builder("g")
    x, y = builder.input("x", TensorType((1, 2))), builder.input("y", TensorType((2, 1)))
    quotient = builder.add(Div(), builder.add(Sub(), x, x), builder.add(Add(), y, y), name="q")
    product = builder.add(MatMul(), x, y, name="p")
    known = proven_ranges(builder.build([quotient, product]), {"x": Range(-1, 1), "y": Range(1, 2)})
    assert (known["q"].low, known["q"].high) == (pytest.approx(-1), pytest.approx(1))
    assert (known["p"].low, known["p"].high) == (pytest.approx(-4), pytest.approx(4))


def test_normalised_values_are_bounded_by_their_count() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 5)))
    gamma, beta = builder.constant("gamma", np.full(5, 2.0)), builder.constant("beta", np.ones(5))
    y = builder.add(LayerNormalization(1, 1e-5), x, gamma, beta, name="y")
    known = proven_ranges(builder.build([y]), {})["y"]
    assert (known.low, known.high) == (pytest.approx(-3.0), pytest.approx(5.0))


def test_inputs_without_a_range_are_unbounded_until_a_bounded_function() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((2,)))
    doubled = builder.add(Add(), x, x, name="doubled")
    known = proven_ranges(builder.build([builder.add(a.Sigmoid(), doubled, name="y")]), {})
    assert known["doubled"] == Range(-np.inf, np.inf)
    assert 0 >= known["y"].low > -1e-9
    assert 1 <= known["y"].high < 1 + 1e-9
