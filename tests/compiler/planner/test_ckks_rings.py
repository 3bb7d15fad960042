"""The ring of a program of full mode: the smallest that will do, larger ones where they are cheaper, within memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.packed_models import Network, mlp, random_inputs

from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.ops.elementwise import Mul
from enclair.compiler.ir.reference import run
from enclair.compiler.options import FullOptions
from enclair.compiler.planner import ckks_rings
from enclair.compiler.planner.ckks_memory import Memory, check_memory, graph_memory
from enclair.compiler.planner.ckks_rings import RingChoice, Wanted, choose_ckks_ring


def wanted(graph: Graph, tolerance: float = 1e-3, options: FullOptions | None = None) -> Wanted:
    samples = [random_inputs(graph, seed) for seed in range(2)]
    return Wanted(graph, samples, tolerance, 0.25, options or FullOptions())


def memory_of(found: RingChoice) -> Memory:
    return graph_memory(found.choice.graph, found.choice.parameters)


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


def test_memory_is_kept_by_fewer_keys() -> None:
    graph = mlp(60, 32, 16, 5)
    free = choose_ckks_ring(wanted(graph))
    memory = memory_of(free)
    most = memory.total - memory.keys // memory.key_count * 4 // 5
    tight = choose_ckks_ring(wanted(graph, options=FullOptions(max_ram=most)))
    assert memory_of(tight).total <= most
    assert key_needs([tight.choice.graph]).count < memory.key_count
    (sample, *_) = wanted(graph).samples
    for found in (free, tight):
        packed = found.packed
        got = run(packed.client, run(found.choice.graph, run(packed.prologue, sample)))
        for name, array in run(graph, sample).items():
            np.testing.assert_allclose(got[name], array, atol=1e-9)


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ckks_rings, "MAX_MODULUS_BITS", {16384: 0})
    task = wanted(mlp(60, 32, 16, 5), options=FullOptions(max_ram=10**6))
    message = (
        r"at ring dimension 16384 the server needs \d\.\d\d GB of keys, \d\.\d\d GB of plaintexts, \d\.\d\d GB of"
        r" ciphertexts, max_ram is 0\.00 GB: allow more, fewer rotation keys \(max_rotation_keys\), or a larger tol"
    )
    with pytest.raises(CompileError, match=message):
        choose_ckks_ring(task)


def test_memory_is_checked_by_its_sum() -> None:
    check_memory(Memory(1, 2, 3, 1), 8192, 6)
    with pytest.raises(CompileError, match=r"at ring dimension 8192 the server needs 1\.00 GB of keys, 0\.00 GB of"):
        check_memory(Memory(10**9, 2, 3, 1), 8192, 10**9 + 4)


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
