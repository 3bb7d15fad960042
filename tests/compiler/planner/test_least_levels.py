"""The levels that a graph takes at least."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models import Net

from enclair.compiler.ir.graph import Value
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.ops.shape import Transpose
from enclair.compiler.planner.least_levels import least_levels


@pytest.fixture
def net() -> Net:
    return Net()


def polynomial(net: Net, x: Value, degree: int) -> Value:
    return net.op(Polynomial((0.5,) * (degree + 1), -1.0, 1.0), x)


def test_layers_with_weights_may_be_merged(net: Net) -> None:
    x = net.input(1, 4)
    assert least_levels(net.graph(net.gemm(net.gemm(x, 3), 2))) == 1


def test_products_between_layers_keep_them_apart(net: Net) -> None:
    x = net.gemm(net.input(1, 4), 3)
    assert least_levels(net.graph(net.gemm(net.op(Mul(), x, x), 2))) == 3


@pytest.mark.parametrize(("degree", "levels"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (31, 5)])
def test_polynomials(net: Net, degree: int, levels: int) -> None:
    assert least_levels(net.graph(polynomial(net, net.input(1, 4), degree))) == levels


def test_zeros_are_no_degree(net: Net) -> None:
    op = Polynomial((0.5, 0.5, 0.5, 0.0, 1e-300), -1.0, 1.0)
    assert least_levels(net.graph(net.op(op, net.input(1, 4)))) == 1


def test_the_longest_way_counts(net: Net) -> None:
    x = net.input(4, 4)
    deep, flat = polynomial(net, x, 7), net.op(Transpose((1, 0)), x)
    assert least_levels(net.graph(net.op(Add(), deep, flat))) == 3
    assert least_levels(net.graph(net.op(MatMul(), deep, flat), x)) == 4


def test_products_with_numbers_take_none(net: Net) -> None:
    x = net.input(1, 4)
    assert least_levels(net.graph(net.op(Mul(), x, net.builder.constant("c", np.array(2.0))))) == 0
