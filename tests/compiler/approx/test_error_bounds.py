"""Error bounds: tight enough to be worth stating, and infinite where nothing can be proven."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from tests.fixed import fixed_graph
from tests.models import Net, convolutions, pooled, residual_block
from tests.strategies import samples_of

from enclair.compiler.approx.error_bounds import error_bound, is_linear
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.ops.activations import Clip, LeakyRelu, Relu, Sigmoid
from enclair.compiler.ir.ops.fixed import Quantise
from enclair.compiler.ir.ops.pooling import SumPool
from enclair.compiler.ir.ops.shape import Pad
from enclair.compiler.ir.reference import run


def largest_gap(graph: Graph, fixed: Graph) -> float:
    gaps = [
        np.abs(run(fixed, sample)[value.name] - run(graph, sample)[value.name]).max()
        for sample in samples_of(graph, 20)
        for value in graph.outputs
    ]
    return float(max(gaps))


@pytest.mark.parametrize("count", [1, 2])
def test_the_bound_of_a_linear_model_is_proven_and_tight(count: int) -> None:
    graph = convolutions(count)
    fixed = fixed_graph(graph, 8)
    assert is_linear(fixed)
    assert largest_gap(graph, fixed) <= error_bound(fixed) <= 30 * largest_gap(graph, fixed)


def test_more_bits_make_a_smaller_bound() -> None:
    bounds = [error_bound(fixed_graph(convolutions(2), bits)) for bits in (6, 8, 10, 12)]
    assert bounds == sorted(bounds, reverse=True)


@pytest.mark.parametrize(
    "graph",
    [convolutions(2, activation=Sigmoid()), convolutions(2, activation=Relu()), residual_block()],
    ids=["a function on reals", "a value that may saturate", "a skip"],
)
def test_what_cannot_be_proven_has_no_bound(graph: Graph) -> None:
    assert error_bound(fixed_graph(graph, 8)) == inf


def test_a_value_that_cannot_saturate_keeps_its_bound() -> None:
    """An activation whose calibrated range, widened, holds all that its layer can reach."""
    net = Net()
    graph = net.graph(net.relu(net.op(Clip(-0.5, 0.5), net.conv(net.input(1, 1, 4, 4), 1))))
    fixed = fixed_graph(graph, 8)
    assert not is_linear(fixed)
    assert largest_gap(graph, fixed) <= error_bound(fixed) < inf


def test_rounded_limits_and_fill_values_count() -> None:
    """0.3 is no multiple of a step: a clip to it, and padding with it, are off by up to half of one."""
    for op in (Clip(0.3, 0.3), Pad((0, 0, 1, 1, 0, 0, 1, 1), value=0.3)):
        net = Net()
        x = net.op(op, net.conv(net.input(1, 1, 2, 2), 1))
        fixed = fixed_graph(net.graph(x), 3)
        assert largest_gap(net.graph(x), fixed) <= error_bound(fixed) < inf


def test_a_leaky_slope_above_one_counts() -> None:
    net = Net()
    graph = net.graph(net.op(LeakyRelu(-3.0), net.conv(net.input(1, 1, 4, 4), 1)))
    fixed = fixed_graph(graph, 8)
    assert largest_gap(graph, fixed) <= error_bound(fixed) < inf


def test_sums_of_many_add_up() -> None:
    graph = pooled(SumPool((2, 2), (2, 2), (0, 0, 0, 0)))
    assert largest_gap(graph, fixed_graph(graph, 8)) <= error_bound(fixed_graph(graph, 8)) < inf


def test_an_intermediate_value_rounded_from_reals_is_not_proven() -> None:
    fixed = fixed_graph(convolutions(1), 8)
    (quantise,) = [node for node in fixed.nodes if isinstance(node.op, Quantise)]
    relu = replace(quantise, op=Relu(), out=replace(quantise.out, name="y", type=quantise.args[0].type))
    rest = [replace(quantise, args=(relu.out,)), *fixed.nodes[1:]]
    assert error_bound(replace(fixed, nodes=(relu, *rest))) == inf
