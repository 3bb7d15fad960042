"""Costs of LEVELED graphs: what is counted, totals, critical paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.ckks_graphs import SLOTS, convolution, linear_layer, parameters_for

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.ckks import MultiplyCiphers, MultiplyPlain, RotateSlots
from enclair.compiler.ir.types import CkksType
from enclair.compiler.passes.divide_scales import DivideScales
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.planner.ckks_costs import (
    COLUMN_PRODUCTS,
    WEIGHT_PRODUCTS,
    RingWork,
    TransformSteps,
    UnitCosts,
    Work,
    graph_cost,
    graph_work,
    ring_work,
    step_costs,
    transform_steps,
)
from enclair.runtime.rns.keys import open_ring

PARAMETERS = CkksParameters(32768, 8, 40, 50, 3)
RING = ring_work(PARAMETERS)


def layer(baby_steps: int) -> Graph:
    b = Builder("layer")
    x = b.input("x", CkksType(1, SLOTS))
    return b.build([linear_layer(b, x, 8, np.random.default_rng(0), baby_steps)])


@pytest.mark.parametrize(("baby_steps", "want"), [(0, (1, 7, 0)), (4, (1, 3, 1)), (2, (1, 1, 3))])
def test_steps_of_a_linear_transform(baby_steps: int, want: tuple[int, int, int]) -> None:
    graph = layer(baby_steps)
    assert transform_steps(graph, graph.nodes[0]) == TransformSteps(*want, products=8, results=1)


@pytest.mark.parametrize("baby_steps", [0, 4])
def test_weights_apart_from_vectors_cost_a_product_a_column(baby_steps: int) -> None:
    b = Builder("convolution")
    x = b.input("x", CkksType(4, SLOTS))
    graph = b.build([convolution(b, x, 6, 8, np.random.default_rng(0), baby_steps=baby_steps)])
    together = PlaceLevels(parameters_for(graph))(graph)
    divided = DivideScales()(together)
    steps = [transform_steps(one, one.nodes[0]) for one in (together, divided)]
    assert (steps[0].products, steps[0].weights) == (4 * 6 * 8, 0)
    assert (steps[1].products, steps[1].weights) == (4 * 8, 4 * 8 * 8)
    assert replace(steps[1], products=4 * 6 * 8, weights=0) == steps[0]
    work = [RING.linear_transform(replace(one, babies=0), 3) for one in steps]
    assert work[1].products - work[0].products == pytest.approx(
        3 * (32 * COLUMN_PRODUCTS + 256 * WEIGHT_PRODUCTS - 192)
    )


def test_a_key_switch_takes_its_digits_and_a_rescale_divides_at_once() -> None:
    limbs, special, digits = 9, 3, 3
    assert RING.special == special
    assert RING.key_switch(limbs).transforms == digits * (limbs + special)
    assert RING.key_switch(3).transforms == 3 + special
    assert RING.rescale(limbs, extended=True).transforms == 2 * (limbs + special)
    assert RING.rescale(limbs, extended=False).transforms == 2 * limbs


def test_what_is_modulo_q_p_is_divided_where_it_is_needed_modulo_q() -> None:
    b = Builder("rotated")
    x = b.input("x", CkksType(1, SLOTS))
    turned = [b.add(RotateSlots(steps), x, name=f"r{steps}") for steps in (1, 2)]
    b.add(AddCiphers(), *turned, name="sum")
    mixed = b.add(AddCiphers(), b.nodes[-1].out, x, name="mixed")
    graph = b.build([mixed])
    parameters = parameters_for(graph)
    ring = ring_work(parameters)
    work = graph_work(PlaceLevels(parameters)(graph), ring)
    divided = [name for name, done in work.items() if done.transforms >= ring.mod_down(1).transforms * 2]
    assert divided == ["mixed"]


def test_lower_levels_cost_less() -> None:
    costs = [UnitCosts().milliseconds(RING.key_switch(limbs), 32768) for limbs in range(1, 10)]
    assert costs == sorted(costs)


def test_steps_of_linear_transforms_for_packing() -> None:
    steps = step_costs(UnitCosts(), 16384, 8)
    assert steps.keys() == {"hoist", "baby", "mod_down", "rotate", "plain", "multiply", "add"}
    assert steps["add"] < steps["plain"] < steps["baby"] < steps["rotate"]
    assert step_costs(UnitCosts(), 32768, 8)["rotate"] > 2 * steps["rotate"]


def test_units_scale_with_the_ring() -> None:
    units = UnitCosts(1.0, 1.0, 1.0, 1.0, 1.0)
    assert units.milliseconds(Work(transforms=1), 1024) == pytest.approx(1024 * 10 * 1e-6)
    assert units.milliseconds(Work(products=2, conversions=3), 1024) == pytest.approx(5 * 1024 * 1e-6)
    assert Work(1, 2, 3, 4, 5) + Work(1, 1, 1, 1, 1).times(2) == Work(3, 4, 5, 6, 7)


def fan(width: int) -> Graph:
    b = Builder("fan")
    x = b.input("x", CkksType(1, SLOTS))
    total = b.add(MultiplyCiphers(), x, x)
    for steps in range(1, width + 1):
        total = b.add(AddCiphers(), total, b.add(RotateSlots(steps), x))
    return b.build([total])


def test_the_cost_of_a_graph_is_that_of_its_nodes() -> None:
    graph = fan(4)
    parameters = parameters_for(graph)
    leveled = PlaceLevels(parameters)(graph)
    cost = graph_cost(leveled, parameters, UnitCosts())
    assert cost.nodes.keys() == {node.out.name for node in leveled.nodes}
    assert 0 < cost.total == pytest.approx(sum(cost.nodes.values()))


def test_vectors_are_encoded_and_numbers_are_not() -> None:
    for slots, encodings in ((1, 0), (SLOTS, 2)):
        b = Builder("plain")
        x = b.input("x", CkksType(2, SLOTS))
        graph = b.build([b.add(MultiplyPlain(), x, b.constant("c", np.ones((2, slots))))])
        parameters = parameters_for(graph)
        leveled = PlaceLevels(parameters)(graph)
        assert graph_work(leveled, ring_work(parameters))[leveled.nodes[0].out.name].encodings == encodings


def test_nodes_without_a_level_are_refused() -> None:
    graph = fan(1)
    with pytest.raises(TypeError, match="has no level: place levels first"):
        graph_work(graph, RING)


def test_the_server_merges_digits_as_it_will_run_them() -> None:
    for parameters in (PARAMETERS, CkksParameters(16384, 5, 28, 31, 2), CkksParameters(32768, 9, 40, 45, 10)):
        ring = open_ring(parameters)
        assert ring_work(parameters).digit_size == ring.digit_size
        assert ring_work(parameters).special == len(ring.special)


def test_primes_below_2_31_make_keys_and_plaintexts_cheaper() -> None:
    wide, narrow = RingWork(2, 2), RingWork(2, 2, narrow=True)
    assert narrow.inner_product(6).key_products < wide.inner_product(6).key_products
    assert narrow.plain_products(6).products < wide.plain_products(6).products
