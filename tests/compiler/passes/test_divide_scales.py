"""Weights apart from vectors: values stay, it is done once, and only where it pays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.ckks_graphs import SLOTS, STEPS, Packed, convolution, inputs_of, linear_layer, packed_graphs, parameters_for

from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.verify import verify
from enclair.compiler.passes.divide_scales import DivideScales
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.place_levels import PlaceLevels


def convolved(p: Packed, x: Value) -> Value:
    """Many channels."""
    return convolution(p.builder, x, 8, 4, p.rng, baby_steps=p.draw(st.sampled_from((0, 2))))


def leveled(graph: Graph) -> Graph:
    expanded = ExpandPolynomials()(graph)
    return PlaceLevels(parameters_for(expanded))(expanded)


def scales(graph: Graph) -> list[float | None]:
    return [node.op.weight_scale for node in graph.nodes if isinstance(node.op, LinearTransform)]


@given(packed_graphs((*STEPS, convolved, convolved), most=6))
def test_values_types_and_keys_stay(graph: Graph) -> None:
    before = leveled(graph)
    after = DivideScales()(before)
    event("divided" if after != before else "nothing to divide")
    verify(after, Stage.LEVELED)
    assert list(after.values()) == list(before.values())
    assert key_needs([after]) == key_needs([before])
    inputs = inputs_of(graph)
    for name, want in run(before, inputs).items():
        np.testing.assert_array_equal(run(after, inputs)[name], want)


@given(packed_graphs((*STEPS, convolved, convolved), most=6))
def test_twice_is_once(graph: Graph) -> None:
    once = DivideScales()(leveled(graph))
    assert DivideScales()(once) == once


@pytest.mark.parametrize("outputs", [4, 16])
def test_convolutions_of_many_channels_are_divided(outputs: int) -> None:
    b = Builder("convolution")
    graph = leveled(b.build([convolution(b, b.input("x", CkksType(4, SLOTS)), outputs, 9, np.random.default_rng(0))]))
    (scale,) = scales(DivideScales()(graph))
    assert scale is not None
    node = next(node for node in graph.nodes if isinstance(node.op, LinearTransform))
    (divided,) = [node for node in DivideScales()(graph).nodes if isinstance(node.op, LinearTransform)]
    assert divided == replace(node, op=replace(node.op, weight_scale=scale))


def test_one_result_and_one_diagonal_each_are_left_alone() -> None:
    b, rng = Builder("layers"), np.random.default_rng(0)
    x = b.input("x", CkksType(4, SLOTS))
    graph = leveled(b.build([convolution(b, x, 1, 9, rng), linear_layer(b, x, 8, rng)]))
    assert DivideScales()(graph) is graph
    assert scales(graph) == [None, None]
