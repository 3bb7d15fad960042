"""Baby steps chosen together: the same values, fewer keys, and no more than there may be where baby steps can do it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.packed_models import lola, mlp, random_inputs

from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.ops.ckks import LinearTransform, RotateSlots
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.packing.slotted import pack as packing
from enclair.compiler.packing.slotted.pack import pack
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts, count_steps
from enclair.compiler.packing.slotted.rotation_keys import rotation_uses
from enclair.compiler.packing.slotted.shared_keys import KEY_ROTATIONS, share_rotation_keys

COSTS = RotationCosts()


SLOTS = 256


@pytest.fixture
def diagonals() -> Graph:
    """Two dense transforms whose diagonals are cut in different ways."""
    b = Builder("diagonals")
    x = b.input("x", CkksType(1, SLOTS))
    for count, baby_steps in ((64, 16), (60, 8)):
        steps, none = np.arange(count), np.zeros(count, dtype=np.int64)
        tables = [b.constant("t", table, 0) for table in (none, none, steps, steps)]
        vectors = np.random.default_rng(0).normal(size=(count, SLOTS))
        x = b.add(LinearTransform(1, baby_steps), x, *tables, b.constant("w", np.ones(count)), b.constant("v", vectors))
    return b.build([x])


def price(graph: Graph) -> float:
    """Of rotations at each run, and of the keys."""
    total = KEY_ROTATIONS * COSTS.rotate * len(rotation_uses(graph))
    for node in graph.nodes:
        if isinstance(node.op, LinearTransform):
            tables = [graph.constant(arg) for arg in node.args[1:4]]
            total += count_steps(*tables, node.op.baby_steps, SLOTS).milliseconds(COSTS)
    return total


def test_keys_and_rotations_together_cost_less(diagonals: Graph) -> None:
    shared = share_rotation_keys(diagonals, COSTS)
    assert len(rotation_uses(shared)) < len(rotation_uses(diagonals))
    assert price(shared) < price(diagonals)
    assert len({node.op.baby_steps for node in shared.nodes if isinstance(node.op, LinearTransform)}) == 1


@pytest.mark.parametrize("model", [mlp(100, 60, 40, 10), lola()], ids=["mlp", "lola"])
def test_values_stay(model: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "share_rotation_keys", lambda graph, *_: graph)
    packed = pack(model, 1024)
    sent = run(packed.prologue, random_inputs(model))
    want = run(packed.server, sent)
    for most in (None, 8):
        got = run(share_rotation_keys(packed.server, COSTS, most), sent)
        assert all(np.allclose(got[name], want[name], atol=1e-10) for name in want)


def test_a_limit_is_kept_by_baby_steps_where_they_can(diagonals: Graph) -> None:
    free = share_rotation_keys(diagonals, COSTS)
    limited = share_rotation_keys(diagonals, COSTS, 14)
    assert len(rotation_uses(limited)) <= 14 < len(rotation_uses(diagonals))
    assert all(isinstance(node.op, LinearTransform) for node in limited.nodes)
    assert price(limited) >= price(free)


def test_packing_shares_and_then_composes() -> None:
    graph = mlp(100, 60, 40, 10)
    few = pack(graph, SLOTS, options=packing.PackingOptions(max_rotation_keys=8))
    assert len(rotation_uses(few.server)) <= 8
    assert sum(isinstance(node.op, RotateSlots) for node in few.server.nodes) > 0
