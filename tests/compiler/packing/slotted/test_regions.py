"""Graphs of tensors as few steps."""

from __future__ import annotations

import numpy as np
import pytest
from tests.packed_models import Network

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Graph, Value
from enclair.compiler.ir.ops.activations import Relu, Softmax
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.ops.reductions import ReduceMean
from enclair.compiler.packing.slotted.regions import Regions
from enclair.compiler.packing.slotted.steps import (
    AffineStep,
    PolynomialStep,
    ProductStep,
    Step,
    WindowStep,
    with_argument,
)


def steps_of(net: Network, *outputs: Value) -> list[Step]:
    return Regions(net.build(*outputs)).run()


def kinds(steps: list[Step]) -> list[str]:
    return [type(step).__name__.removesuffix("Step") for step in steps]


def test_linear_ops_in_a_row_are_one_step() -> None:
    net = Network("chain")
    x = net.dense(net.flat(net.pool(net.conv(net.input(1, 1, 6, 6), 2))), 3)
    steps = steps_of(net, x)
    assert kinds(steps) == ["Affine"]
    assert steps[0].shape == (1, 3)


def test_a_skip_around_linear_ops_is_one_map() -> None:
    net = Network("skip")
    x = net.cubic(net.input(1, 2, 5, 5))
    (_, step) = steps_of(net, net.sum(net.conv(x, 2), x))
    assert isinstance(step, AffineStep)
    assert len(step.terms) == 1


def test_a_value_that_is_read_twice_is_computed_once() -> None:
    net = Network("twice")
    x = net.dense(net.input(1, 4), 4)
    steps = steps_of(net, net.sum(net.cubic(x), x))
    assert kinds(steps) == ["Affine", "Polynomial", "Affine"]


def test_a_bottleneck_is_not_multiplied_out() -> None:
    net = Network("bottleneck")
    x = net.dense(net.dense(net.input(1, 64), 2), 64)
    assert kinds(steps_of(net, x)) == ["Affine", "Affine"]


def test_pools_before_convolutions_are_sums_by_rotations() -> None:
    net = Network("pool")
    x = net.conv(net.pool(net.square(net.conv(net.input(1, 1, 8, 8), 2))), 3)
    steps = steps_of(net, x)
    assert kinds(steps) == ["Affine", "Product", "Window", "Affine"]
    assert isinstance(steps[2], WindowStep)
    assert steps[2].map.weight == 1


def test_multiples_and_shifts_before_a_polynomial_are_in_its_interval() -> None:
    net = Network("scaled")
    x = net.square(net.input(1, 4))
    scaled = net.builder.add(Add(), net.builder.add(Mul(), x, constant(net, -0.5)), constant(net, 1.0))
    steps = steps_of(net, net.cubic(scaled))
    assert kinds(steps) == ["Product", "Polynomial"]
    assert isinstance(steps[1], PolynomialStep)
    assert (steps[1].op.low, steps[1].op.high) == (-6.0, 10.0)


def constant(net: Network, value: float) -> Value:
    return net.builder.constant("c", np.array(value))


def test_multiples_of_operands_are_left_to_what_reads_the_product() -> None:
    net = Network("scaled")
    x = net.input(1, 4)
    mean = net.builder.add(ReduceMean((1,), True), x)
    product = net.builder.add(Mul(), mean, net.builder.add(Mul(), x, constant(net, 3.0)))
    steps = steps_of(net, net.dense(product, 2))
    assert kinds(steps) == ["Affine", "Product", "Affine"]
    assert isinstance(steps[1], ProductStep)


@pytest.mark.parametrize("scale", [0.5, -2.0])
def test_polynomials_of_affine_arguments(scale: float) -> None:
    op, x = Polynomial((0.1, 0.2, 0.3, 0.4), -1.0, 5.0), np.linspace(-2, 2, 9)
    np.testing.assert_allclose(with_argument(op, scale, 0.7).evaluate(x), op.evaluate(scale * x + 0.7), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("Relu", lambda net, x: net.builder.add(Relu(), x)),
        ("Softmax", lambda net, x: net.builder.add(Softmax(1), x)),
        ("Div", lambda net, x: net.builder.add(Div(), x, x)),
    ],
)
def test_what_has_no_form_is_named(name: str, make: object) -> None:
    net = Network("refused")
    graph: Graph = net.build(make(net, net.input(1, 4)))  # type: ignore[operator]
    with pytest.raises(PackingError, match=f"{name} has no form on CKKS slots: approximate it by polynomials first"):
        Regions(graph).run()


def test_constants_are_folded_before() -> None:
    net = Network("constants")
    x = net.builder.add(Add(), net.constant(1, 2), net.constant(1, 2))
    with pytest.raises(PackingError, match="is computed from constants alone: fold constants first"):
        Regions(net.build(x)).run()
