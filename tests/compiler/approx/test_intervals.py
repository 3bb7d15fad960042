"""Intervals of single ops against all corners of their arguments."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fixed import fixed_graph
from tests.models import convolutions

from enclair.compiler.approx.intervals import Interval, intervals, largest_sum, op_interval, sum_of_weights
from enclair.compiler.ir.graph import Builder
from enclair.compiler.ir.ops.activations import Clip, Relu
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Abs, Add, Maximum, Minimum, Mul, Neg, Sub
from enclair.compiler.ir.ops.fixed import Quantise, Refresh, Requantise, Shift
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.pooling import MaxPool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceSum
from enclair.compiler.ir.ops.shape import Concat, Pad, Reshape
from enclair.compiler.ir.types import TensorType

ONE = (
    Relu(), Abs(), Neg(), Shift(3), Refresh(), Requantise(2, -9, 5), Clip(-1.0, 2.0, 2), Clip(1.5, 2.0, 2),
    Clip(-9.0, -8.0, 2), SumPool((2,), (1,), (0, 1)), MaxPool((2,), (1,), (0, 1), (1,)), ReduceSum((2,), True),
    ReduceMax((2,), True), Reshape((2,)),
    Pad((0, 0, 1, 0, 0, 0), value=7.0, scale_bits=2), Pad((0, 0, 1, 0, 0, 0)), Pad((0, 0, 1, 0, 0, 1), "edge"),
)  # fmt: skip
TWO = (Add(), Sub(), Mul(), Minimum(), Maximum(), Concat(2), MatMul())

ends = st.tuples(st.integers(-40, 40), st.integers(-40, 40)).map(lambda pair: Interval(min(pair), max(pair)))


def corners(*args: Interval) -> list[tuple[np.ndarray[Any, Any], ...]]:
    """Arguments of two elements, each at an end of its interval."""
    choices = [product((arg.low, arg.high), repeat=2) for arg in args]
    return [tuple(np.array(pair).reshape(1, 1, 2) for pair in pairs) for pairs in product(*choices)]


def contains(interval: Interval, array: np.ndarray[Any, Any]) -> bool:
    return bool(interval.low <= array.min() and array.max() <= interval.high)


@pytest.mark.parametrize("op", ONE, ids=repr)
@given(x=ends)
def test_the_interval_of_an_op_of_one_argument_holds_its_results(op: Op, x: Interval) -> None:
    found = op_interval(op, (x,), None, (1, 1, 2))
    assert all(contains(found, op.evaluate(*args)) for args in corners(x))


@pytest.mark.parametrize("op", TWO, ids=repr)
@given(x=ends, y=ends)
def test_the_interval_of_an_op_of_two_arguments_holds_its_results(op: Op, x: Interval, y: Interval) -> None:
    found = op_interval(op, (x, y), None, (1, 1, 2))
    turned = ((a, b.reshape(1, 2, 1) if isinstance(op, MatMul) else b) for a, b in corners(x, y))
    assert all(contains(found, op.evaluate(*args)) for args in turned)


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (Conv((1,), (1, 0), (1,), 1), (2, 1, 2)),
        (ConvTranspose((2,), (0, 0), (1,), 1, (1,)), (1, 2, 3)),
        (MatMul(), (2, 3)),
        (MatMul(), (2,)),
    ],
    ids=repr,
)
@given(x=ends, seed=st.integers(0, 99))
def test_the_interval_of_a_weighted_sum_holds_any_part_of_it(
    op: Op, shape: tuple[int, ...], x: Interval, seed: int
) -> None:
    weights = np.random.default_rng(seed).integers(-5, 6, size=shape)
    known = (x, Interval(int(weights.min()), int(weights.max())))
    found = op_interval(op, known, weights, (1, 1, 2))
    for (args,) in corners(x):
        for kept in ([1, 1], [1, 0], [0, 1], [0, 0]):
            assert contains(found, op.evaluate(args * np.array(kept), weights))


@given(x=ends, low=st.integers(-9, 0), high=st.integers(0, 9))
def test_the_interval_of_a_rounding_is_its_limits(x: Interval, low: int, high: int) -> None:
    for op in (Quantise(3, low, high), Requantise(3, low, high)):
        assert op_interval(op, (x,), None, ()) == Interval(low, high)


def test_a_weighted_sum_is_bounded_by_the_sum_of_weights_not_by_the_largest() -> None:
    weights = np.array([[[10, 1, -1]], [[2, -2, 2]]])
    found = op_interval(Conv((1,), (0, 0), (1,), 1), (Interval(0, 3), Interval(-2, 10)), weights, (1, 1, 3))
    assert found == Interval(-6, 33)
    assert sum_of_weights(Conv((1,), (0, 0), (1,), 1), weights) == 12


def test_reals_have_no_interval() -> None:
    known = intervals(fixed_graph(convolutions(1), 8))
    assert set(known) >= {"x.q", "conv", "w"}
    assert not {"x", "add"} & set(known)


def test_the_largest_sum_is_on_the_server_or_goes_there() -> None:
    fixed = fixed_graph(convolutions(2), 8)
    name, largest = largest_sum(fixed)
    assert name == "add.1.fixed"
    assert largest == intervals(fixed)[name].magnitude
    builder = Builder("client")
    builder.input("x", TensorType((1,)))
    assert largest_sum(builder.build([])) == ("", 0)
