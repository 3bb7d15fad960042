"""Folding intervals and expanding polynomials: exact, and no level more than needed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ckks_graphs import inputs_of, packed_graphs

from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    EvaluatePolynomial,
    LinearTransform,
    MultiplyCiphers,
    RotateSlots,
)
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.verify import verify
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.fold_polynomial_ranges import FoldPolynomialRanges
from enclair.compiler.planner.levels import LevelPlan

SLOTS = 8


def layer(b: Builder, size: float = 1.0) -> EvaluatePolynomial:
    x = b.input("x", CkksType(2, SLOTS))
    tables = [b.constant("t", np.array(t), 0) for t in ([0, 1], [0, 1], [0, 0], [0, 0])]
    sums = b.add(LinearTransform(2), x, *tables, b.constant("w", np.ones(2)), b.constant("v", np.full((1, 1), size)))
    return b.add(AddPlainVectors(), sums, b.constant("b", np.full((2, 1), 0.25)), name="layer")


def activated(polynomial: EvaluatePolynomial) -> Graph:
    b = Builder("activated")
    return b.build([b.add(polynomial, layer(b), name="y")])


def levels(graph: Graph) -> int:
    return LevelPlan(ExpandPolynomials()(FoldPolynomialRanges()(graph))).depth


@given(st.integers(0, 20), st.sampled_from(((-1.0, 1.0), (-4.0, 4.0), (0.5, 3.0))), st.integers(0, 2**16))
def test_both_passes_keep_values(degree: int, interval: tuple[float, float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = activated(EvaluatePolynomial(tuple(rng.normal(size=degree + 1).tolist()), *interval))
    inputs = {"x": rng.uniform(*interval, size=(2, SLOTS)) - 0.25}
    want = run(graph, inputs)["y"]
    for passes in ([FoldPolynomialRanges()], [ExpandPolynomials()], [FoldPolynomialRanges(), ExpandPolynomials()]):
        changed = graph
        for pass_ in passes:
            changed = pass_(changed)
            verify(changed, Stage.PACKED)
        np.testing.assert_allclose(run(changed, inputs)["y"], want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("coefficients", "interval", "want"),
    [
        ((0.0, 1.0), (-4.0, 4.0), 0),
        ((0.5, 0.0, 0.5), (-1.0, 1.0), 1),
        ((0.3, 0.2, -0.7), (-4.0, 4.0), 1),
        ((0.3, 0.2, -0.7), (1.0, 4.0), 1),
        ((0.3, 0.2, -0.7, 0.1), (-4.0, 4.0), 2),
        ((0.0,) * 7 + (1.0,), (-4.0, 4.0), 3),
        ((1.0,) * 16, (-6.0, 2.0), 4),
    ],
)
def test_levels_after_a_linear_layer(coefficients: tuple[float, ...], interval: tuple[float, float], want: int) -> None:
    assert levels(activated(EvaluatePolynomial(coefficients, *interval))) == 1 + want


def test_a_polynomial_of_an_input_takes_a_level_for_its_interval() -> None:
    b = Builder("direct")
    x = b.input("x", CkksType(1, SLOTS))
    graph = b.build([b.add(EvaluatePolynomial((1.0,) * 8, -4.0, 4.0), x)])
    assert levels(graph) == 4


def test_a_square_is_one_product() -> None:
    graph = ExpandPolynomials()(activated(EvaluatePolynomial((0.5, 0.0, 0.5), -1.0, 1.0)))
    assert sum(isinstance(node.op, MultiplyCiphers) for node in graph.nodes) == 1


def test_a_gated_value_is_scaled_with_its_polynomial() -> None:
    b = Builder("gated")
    x = layer(b)
    gate = b.add(EvaluatePolynomial((0.5,) * 4, -4.0, 4.0), x)
    graph = b.build([b.add(MultiplyCiphers(), x, gate, name="y")])
    folded = FoldPolynomialRanges()(graph)
    (gate_after,) = [node.op for node in folded.nodes if isinstance(node.op, EvaluatePolynomial)]
    assert (gate_after.low, gate_after.high) == (-1.0, 1.0)
    inputs = inputs_of(graph)
    np.testing.assert_allclose(run(folded, inputs)["y"], run(graph, inputs)["y"], rtol=1e-12)


def test_rotated_copies_that_are_added_are_scaled_together() -> None:
    b = Builder("summed")
    x = layer(b)
    total = b.add(AddCiphers(), x, b.add(RotateSlots(2), x))
    graph = b.build([b.add(EvaluatePolynomial((1.0,) * 8, -4.0, 4.0), total, name="y")])
    assert levels(graph) == 4
    inputs = inputs_of(graph)
    folded = FoldPolynomialRanges()(graph)
    np.testing.assert_allclose(run(folded, inputs)["y"], run(graph, inputs)["y"], rtol=1e-10)


def test_a_value_that_something_else_reads_is_left_alone() -> None:
    b = Builder("skip")
    x = layer(b)
    graph = b.build([b.add(AddCiphers(), x, b.add(EvaluatePolynomial((0.5,) * 4, -4.0, 4.0), x))])
    assert FoldPolynomialRanges()(graph) == graph


@given(packed_graphs())
def test_passes_on_any_graph(graph: Graph) -> None:
    inputs = inputs_of(graph)
    after = graph
    for pass_ in (FoldPolynomialRanges(), ExpandPolynomials()):
        after = pass_(after)
        verify(after, Stage.PACKED)
        assert pass_(after) == after
    for name, want in run(graph, inputs).items():
        np.testing.assert_allclose(run(after, inputs)[name], want, rtol=1e-9, atol=1e-9 * max(1, np.abs(want).max()))
