"""The ring of a program of full mode: the smallest that will do, larger ones where they are cheaper, within memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.packed_models import Network, mlp, random_inputs

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.ops.elementwise import Mul
from enclair.compiler.ir.reference import run
from enclair.compiler.options import FullOptions
from enclair.compiler.packing.slotted.pack import pack
from enclair.compiler.planner import ckks_rings
from enclair.compiler.planner.ckks_candidates import Candidate
from enclair.compiler.planner.ckks_costs import GraphCost, UnitCosts
from enclair.compiler.planner.ckks_memory import Memory, check_memory, graph_memory
from enclair.compiler.planner.ckks_rings import RingChoice, Wanted, better, choose_ckks_ring, key_counts


def wanted(graph: Graph, tolerance: float = 1e-3, options: FullOptions | None = None) -> Wanted:
    samples = [random_inputs(graph, seed) for seed in range(2)]
    return Wanted(graph, samples, tolerance, 0.25, options or FullOptions())


def power(squares: int, tolerance: float, options: FullOptions | None = None) -> Wanted:
    """So many squares, one after another, of numbers up to 1."""
    net = Network("power")
    x = net.input(1, 2)
    for _ in range(squares):
        x = net.builder.add(Mul(), x, x)
    return Wanted(net.build(x), [{"x": np.array([[1.0, -0.9]])}], tolerance, 0.0, options or FullOptions())


def rings_of(found: RingChoice) -> int:
    return found.choice.parameters.ring_dim


def test_the_smallest_ring_that_keeps_the_tolerance() -> None:
    coarse, fine = (choose_ckks_ring(wanted(mlp(8, 8, 4), tolerance)) for tolerance in (1e-2, 1e-7))
    assert (rings_of(coarse), rings_of(fine)) == (8192, 16384)
    assert coarse.has_room
    assert fine.choice.error_bound <= 1e-7


def test_a_larger_ring_where_that_is_cheaper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of several ciphertexts may be cheaper in fewer, larger ones; the search stops where they are not."""
    net = Network("wide")
    task = wanted(net.build(net.conv(net.input(1, 8, 32, 32), 8)))
    found = choose_ckks_ring(task)
    costs = {}
    for ring_dim in (8192, 16384, 32768):
        monkeypatch.setattr(ckks_rings, "MAX_MODULUS_BITS", {ring_dim: 0})
        costs[ring_dim] = choose_ckks_ring(task)
        monkeypatch.undo()
    assert not costs[8192].has_room
    assert found.milliseconds == costs[rings_of(found)].milliseconds
    smaller = [each for ring_dim, each in costs.items() if ring_dim < rings_of(found)]
    assert all(each.milliseconds > found.milliseconds for each in smaller)


def test_a_larger_ring_where_digits_make_the_smaller_one_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven levels leave one special prime at ring dimension 16384, and so a digit for each prime."""
    products_with_keys = UnitCosts(transform=0, product=0, key_product=1000, conversion=0, encoding=0)
    task = power(11, 1e-2, FullOptions(costs=products_with_keys))
    found = choose_ckks_ring(task)
    monkeypatch.setattr(ckks_rings, "MAX_MODULUS_BITS", {16384: 0})
    smaller = choose_ckks_ring(task)
    assert smaller.has_room
    assert smaller.choice.parameters.digits == 12
    assert rings_of(found) == 32768
    assert found.milliseconds < smaller.milliseconds


def test_a_ring_that_cannot_be_better_is_not_packed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = []
    monkeypatch.setattr(
        ckks_rings, "pack", lambda graph, count, *rest: slots.append(count) or pack(graph, count, *rest)
    )
    found = choose_ckks_ring(power(9, 1e-2))
    assert slots[-1] == rings_of(found) // 2


def test_no_noise_is_predicted_for_a_ring_that_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where values fill several ciphertexts the next ring is packed for; then its costs say enough."""
    packed, rings = [], []

    def noted(self: Candidate, leveled: Graph, parameters: CkksParameters, *rest: Any, **more: Any) -> Any:
        rings.append(parameters.ring_dim)
        return predicted(self, leveled, parameters, *rest, **more)

    predicted = Candidate.predicted
    monkeypatch.setattr(Candidate, "predicted", noted)
    monkeypatch.setattr(RingChoice, "has_room", False)
    monkeypatch.setattr(ckks_rings, "pack", lambda *given: packed.append(2 * given[1]) or pack(*given))
    found = choose_ckks_ring(wanted(mlp(8, 8, 4), 1e-7))
    assert max(packed) == 2 * rings_of(found)
    assert max(rings) == rings_of(found)


def test_of_programs_that_cost_nearly_the_same_the_one_with_smaller_keys() -> None:
    found = choose_ckks_ring(wanted(mlp(8, 8, 4), 1e-2))

    def of(milliseconds: float, keys: int) -> RingChoice:
        choice = replace(found.choice, cost=GraphCost({}, milliseconds))
        return replace(found, choice=choice, memory=Memory(keys, 0, 0, 0, 1))

    one, dear, large = of(100.0, 5), of(110.0, 1), of(99.0, 6)
    assert better(one, dear) is better(dear, one) is one
    assert better(one, large) is better(large, one) is one
    assert better(one, of(98.0, 4)).memory.keys == 4
    assert better(one, of(100.0, 5)) is one


def test_memory_is_kept_by_fewer_keys() -> None:
    graph = mlp(60, 32, 16, 5)
    free = choose_ckks_ring(wanted(graph))
    memory = free.memory
    most = memory.total - memory.keys // memory.key_count * 4 // 5
    tight = choose_ckks_ring(wanted(graph, options=FullOptions(max_ram=most)))
    assert tight.memory.total <= most
    assert tight.memory == graph_memory(tight.choice.graph, tight.choice.parameters)
    assert key_needs([tight.choice.graph]).count < memory.key_count
    (sample, *_) = wanted(graph).samples
    for found in (free, tight):
        packed = found.packed
        got = run(packed.client, run(found.choice.graph, run(packed.prologue, sample)))
        for name, array in run(graph, sample).items():
            np.testing.assert_allclose(got[name], array, atol=1e-9)


def test_fewer_keys_are_tried_where_composed_rotations_take_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    task = wanted(mlp(60, 32, 16, 5))
    free = choose_ckks_ring(task)
    most = free.memory.total - 2 * free.memory.keys // free.memory.key_count
    first = free.memory.affordable_keys(most) - 1

    def composed(graph: Graph, parameters: CkksParameters) -> Memory:
        found = graph_memory(graph, parameters)
        return replace(found, ciphertexts=most) if len(key_needs([graph]).rotations) == first else found

    monkeypatch.setattr(ckks_rings, "graph_memory", composed)
    tight = choose_ckks_ring(replace(task, options=FullOptions(max_ram=most)))
    assert len(key_needs([tight.choice.graph]).rotations) < first
    assert tight.memory.total <= most


def test_numbers_of_keys_to_try() -> None:
    assert key_counts(25, 15) == [25, 23, 21, 19, 17, 15]
    assert key_counts(17, 15) == [17, 16, 15]
    assert key_counts(15, 15) == [15]
    assert key_counts(14, 15) == []


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ckks_rings, "MAX_MODULUS_BITS", {16384: 0})
    task = wanted(mlp(60, 32, 16, 5), options=FullOptions(max_ram=10**6))
    message = (
        r"at ring dimension 16384 the server needs \d\.\d\d GB of keys, \d\.\d\d GB of plaintexts, \d\.\d\d GB of"
        r" ciphertexts, \d\.\d\d GB of constants, max_ram is 0\.00 GB: allow more, fewer rotation keys"
    )
    with pytest.raises(CompileError, match=message):
        choose_ckks_ring(task)


def test_memory_is_checked_by_its_sum() -> None:
    check_memory(Memory(1, 2, 3, 4, 1), 8192, 10)
    with pytest.raises(CompileError, match=r"at ring dimension 8192 the server needs 1\.00 GB of keys, 0\.00 GB of"):
        check_memory(Memory(10**9, 2, 3, 4, 1), 8192, 10**9 + 8)


def test_more_levels_than_any_ring_has() -> None:
    net = Network("deep")
    x = net.input(1, 2)
    for _ in range(60):
        x = net.builder.add(Mul(), x, x)
    message = (
        r"the model takes 60 levels, more than any ring dimension up to 131072 holds: ask for a larger tolerance,"
        r" replace activations by trained polynomials \(enclair\.torch\.polynomialise\), or compile with mode='split'"
    )
    with pytest.raises(CompileError, match=message):
        choose_ckks_ring(wanted(net.build(x)))


def test_all_refusals_are_told_once() -> None:
    message = r"a tolerance of 1e-15 cannot be met at ring dimension 8192: .*; .* at ring dimension 16384: "
    with pytest.raises(CompileError, match=message) as caught:
        choose_ckks_ring(wanted(mlp(4, 2), 1e-15))
    assert str(caught.value).count("ring dimension 16384") == 1


def test_room_is_for_the_margin_where_there_is_none_for_all_that_outputs_reach() -> None:
    task = wanted(mlp(4, 2), 1e-8)
    for reach in (63.0, 1e300):
        assert choose_ckks_ring(replace(task, reach=reach)).choice.error_bound <= 1e-8
