"""Costs of stages and growth of noise."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.layouts import Axes, Tiles
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.packed import AddPlain, LinearCombination, MaskSlots, SlotCombination
from enclair.compiler.ir.types import CipherType, TensorType
from enclair.compiler.planner.costs import PLAIN_NOISE, OpCosts, StageCost, noise_growth, stage_cost

TILES = Tiles((1, 2, 3, 3), Axes(0, 1, 2, 3), (2, 2), (2, 2), (0, 0), (2, 2), 4)


class Stage:
    """A packed graph in the making, with the layout's eight ciphertexts as input x."""

    def __init__(self) -> None:
        self.builder = Builder("stage")
        self.x = self.builder.input("x", CipherType(8, 4, 0))

    def table(self, array: np.ndarray) -> Value:  # type: ignore[type-arg]
        return self.builder.constant("table", array, 0)

    def combine(self, x: Value, *weights: int) -> Value:
        """One ciphertext: the sum of the first ones times weights."""
        gather, scatter = np.arange(len(weights)).reshape(1, 1, -1), np.zeros((1, 1, 1))
        tables = self.table(gather), self.table(np.array(weights).reshape(1, 1, -1)), self.table(scatter)
        return self.builder.add(LinearCombination(1), x, *tables)

    def slotwise(self, x: Value, terms: int) -> Value:
        rows, cols = np.zeros(terms), np.arange(terms)
        tables = self.table(rows), self.table(cols), self.table(np.ones((terms, 4)))
        return self.builder.add(SlotCombination(1), x, *tables)

    def graph(self, *outputs: Value) -> Graph:
        return self.builder.build(outputs)


def test_a_weighted_sum_costs_its_terms_and_grows_by_the_sum_of_weights() -> None:
    stage = Stage()
    graph = stage.graph(y := stage.combine(stage.x, 3, -5, 0, 3))
    assert stage_cost(graph, 8, 1) == StageCost(8, 1, multiplications=4)
    assert noise_growth(graph, 60.0, {})[y.name] == pytest.approx(log2(11))


def test_sums_of_sums_multiply() -> None:
    stage = Stage()
    first = stage.combine(stage.x, 3, 5)
    graph = stage.graph(y := stage.combine(first, 7))
    assert noise_growth(graph, 60.0, {})[y.name] == pytest.approx(log2(8 * 7))


def test_plaintext_vectors_grow_noise_by_their_bits_and_their_number() -> None:
    stage = Stage()
    graph = stage.graph(y := stage.slotwise(stage.x, 4))
    assert stage_cost(graph, 8, 1) == StageCost(8, 1, multiplications=4, encodings=4)
    assert noise_growth(graph, 60.0, {})[y.name] == 62.0


def test_a_mask_is_one_product_for_each_ciphertext_with_a_slot_outside() -> None:
    stage = Stage()
    graph = stage.graph(y := stage.builder.add(MaskSlots(TILES), stage.x))
    assert stage_cost(graph, 8, 8) == StageCost(8, 8, multiplications=6, encodings=6)
    assert noise_growth(graph, 60.0, {})[y.name] == 60.0


def test_additions_of_ciphertexts_and_constants() -> None:
    stage = Stage()
    bias = stage.builder.constant("bias", np.ones((2, 1, 1)), 0)
    shifted = stage.builder.add(AddPlain(TILES), stage.x, bias)
    total = stage.builder.add(AddCiphers(), stage.builder.add(SubtractCiphers(), shifted, stage.x), stage.x)
    graph = stage.graph(total)
    assert stage_cost(graph, 8, 8) == StageCost(8, 8, encodings=8, additions=24)
    assert noise_growth(graph, 60.0, {})[total.name] == pytest.approx(log2(3 + PLAIN_NOISE))


def test_moving_ciphertexts_is_free() -> None:
    stage = Stage()
    grown = stage.combine(stage.x, 8)
    both = stage.builder.add(ConcatCiphers(), stage.x, grown)
    graph = stage.graph(y := stage.builder.add(SelectCiphers(), both, stage.table(np.arange(9))))
    assert stage_cost(graph, 8, 9).multiplications == 1
    assert noise_growth(graph, 60.0, {})[y.name] == 3.0


def test_kept_values_bring_their_growth() -> None:
    stage = Stage()
    graph = stage.graph(y := stage.combine(stage.x, 2))
    assert noise_growth(graph, 60.0, {"x": 10.0})[y.name] == 11.0


def test_an_op_of_another_stage_is_refused() -> None:
    builder = Builder("client")
    graph = builder.build([builder.add(Relu(), builder.input("x", TensorType((1,))))])
    with pytest.raises(TypeError, match="Relu is not a server op"):
        noise_growth(graph, 60.0, {})


weights = st.lists(st.integers(-(2**40), 2**40).filter(bool), min_size=1, max_size=8)


@given(weights=weights, more=st.integers(-9, 9).filter(bool), known=st.floats(0, 50), vector_bits=st.floats(0, 70))
def test_growth_never_falls_with_more_weights_or_noise(
    weights: list[int], more: int, known: float, vector_bits: float
) -> None:
    def growth(weights: list[int], known: float) -> float:
        stage = Stage()
        y = stage.slotwise(stage.combine(stage.x, *weights[:8]), 1)
        return noise_growth(stage.graph(y), vector_bits, {"x": known})[y.name]

    assert growth([*weights[:7], more], known) >= growth(weights[:7], known)
    assert growth(weights, known + 1) >= growth(weights, known) + 1 - 1e-9
    assert growth(weights, known) >= known + vector_bits


counts = st.builds(StageCost, *[st.integers(0, 1000)] * len(StageCost.__dataclass_fields__))


@given(cost=counts, field=st.sampled_from(list(StageCost.__dataclass_fields__)))
def test_time_never_falls_with_more_work_or_a_larger_ring(cost: StageCost, field: str) -> None:
    costs = OpCosts()
    more = StageCost(**{name: getattr(cost, name) + (name == field) for name in StageCost.__dataclass_fields__})
    assert more.milliseconds(8192, 2, costs) > cost.milliseconds(8192, 2, costs)
    assert cost.milliseconds(16384, 2, costs) >= 2 * cost.milliseconds(8192, 2, costs)
    assert cost.milliseconds(8192, 3, costs) >= cost.milliseconds(8192, 2, costs)
