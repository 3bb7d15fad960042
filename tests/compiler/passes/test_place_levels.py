"""Levels and scales: every op at the lowest level, sums relinearised and rescaled once, type rules hold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from tests.ckks_graphs import SLOTS, inputs_of, packed_graphs, parameters_for

from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.ops.ciphers import AddCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import EvaluatePolynomial, MultiplyCiphers, MultiplyPlain
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.verify import verify
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.place_levels import PlaceLevels


def placed(graph: Graph) -> Graph:
    leveled = PlaceLevels(parameters_for(graph))(graph)
    verify(leveled, Stage.LEVELED)
    return leveled


def counted(graph: Graph) -> Counter[str]:
    return Counter(type(node.op).__name__ for node in graph.nodes)


def ckks(value: Value) -> CkksType:
    assert isinstance(value.type, CkksType)
    return value.type


@given(packed_graphs(most=10))
def test_leveled_graphs_keep_values_and_never_run_out_of_levels(graph: Graph) -> None:
    expanded = ExpandPolynomials()(graph)
    leveled = placed(expanded)
    inputs = inputs_of(graph)
    for name, want in run(expanded, inputs).items():
        np.testing.assert_allclose(run(leveled, inputs)[name], want, rtol=1e-12, atol=1e-12 * max(1, abs(want).max()))
    assert all(ckks(value).level == 0 for value in leveled.outputs)
    levels = parameters_for(expanded).levels
    assert all((ckks(value).level or 0) <= levels for value in leveled.inputs)


@given(packed_graphs(most=10))
def test_ciphertexts_keep_scales_near_those_of_their_level(graph: Graph) -> None:
    leveled = placed(ExpandPolynomials()(graph))
    for value in leveled.values():
        if isinstance(value.type, CkksType):
            scale = value.type.scale or 0.0
            assert scale == pytest.approx(2.0**40, rel=1e-6) or scale == pytest.approx(2.0**80, rel=1e-6)


def products(count: int) -> tuple[Builder, Value]:
    b = Builder("dot")
    pairs = [(b.input(f"x{i}", CkksType(1, SLOTS)), b.input(f"y{i}", CkksType(1, SLOTS))) for i in range(count)]
    total = b.add(MultiplyCiphers(), *pairs[0])
    for pair in pairs[1:]:
        total = b.add(AddCiphers(), total, b.add(MultiplyCiphers(), *pair))
    return b, total


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_dot_product_relinearises_and_rescales_once(count: int) -> None:
    b, total = products(count)
    counts = counted(placed(b.build([total])))
    assert (counts["MultiplyCiphers"], counts["Relinearise"], counts["Rescale"]) == (count, 1, 1)


def test_a_product_with_a_plaintext_joins_before_the_rescale() -> None:
    b, total = products(2)
    scaled = b.add(MultiplyPlain(), b.input("z", CkksType(1, SLOTS)), b.constant("c", np.array([[0.3]])))
    counts = counted(placed(b.build([b.add(SubtractCiphers(), scaled, total)])))
    assert (counts["Relinearise"], counts["Rescale"]) == (1, 1)


def test_a_sum_that_two_read_is_rescaled_once() -> None:
    b, total = products(2)
    graph = b.build([b.add(MultiplyCiphers(), total, total), b.add(AddCiphers(), total, total)])
    assert counted(placed(graph))["Rescale"] == 2


def test_inputs_are_encrypted_at_the_level_where_they_are_needed() -> None:
    b = Builder("late")
    early, late = b.input("early", CkksType(1, SLOTS)), b.input("late", CkksType(1, SLOTS))
    square = b.add(MultiplyCiphers(), early, early)
    leveled = placed(b.build([b.add(AddCiphers(), b.add(MultiplyCiphers(), square, square), late)]))
    assert [ckks(value).level for value in leveled.inputs] == [2, 0]
    assert counted(leveled)["MultiplyPlain"] == 0


def test_a_value_of_a_higher_level_is_multiplied_by_one_within_the_sum() -> None:
    b = Builder("skip")
    x = b.input("x", CkksType(1, SLOTS))
    square = b.add(MultiplyCiphers(), x, x)
    counts = counted(placed(b.build([b.add(AddCiphers(), b.add(MultiplyCiphers(), square, square), x)])))
    assert (counts["MultiplyPlain"], counts["Rescale"]) == (1, 2)


def test_products_with_plaintexts_need_no_correction_of_scales() -> None:
    b = Builder("dropped")
    x, c = b.input("x", CkksType(1, SLOTS)), b.constant("c", np.array([[0.3]]))
    square = b.add(MultiplyCiphers(), x, x)
    graph = b.build([b.add(MultiplyCiphers(), square, square), b.add(MultiplyPlain(), x, c)])
    counts = counted(placed(graph))
    assert (counts["MultiplyPlain"], counts["Rescale"]) == (1, 3)


@pytest.mark.parametrize(("degree", "relinearisations"), [(3, 2), (7, 4), (15, 7)])
def test_polynomials_take_the_fewest_levels(degree: int, relinearisations: int) -> None:
    b, coefficients = Builder("polynomial"), tuple(np.random.default_rng(0).normal(size=degree + 1).tolist())
    x = b.input("x", CkksType(1, SLOTS))
    expanded = ExpandPolynomials()(b.build([b.add(EvaluatePolynomial(coefficients, -1.0, 1.0), x)]))
    leveled = placed(expanded)
    assert ckks(leveled.inputs[0]).level == degree.bit_length()
    assert counted(leveled)["Relinearise"] == relinearisations


def test_what_nothing_cancels_stays() -> None:
    b = Builder("zero")
    x = b.input("x", CkksType(1, SLOTS))
    square = b.add(MultiplyCiphers(), x, x)
    graph = b.build([b.add(SubtractCiphers(), square, square, name="y")])
    assert not run(placed(graph), inputs_of(graph))["y"].any()
