"""Rotated copies by the client."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from tests.packed_models import Network, check_packed, lola, mlp

from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.slot_layouts import Rotated
from enclair.compiler.packing.slotted.pack import PackingOptions, pack
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts
from enclair.compiler.packing.slotted.rotation_keys import rotation_uses


@pytest.mark.parametrize("client", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("graph", [mlp(60, 16, 5), lola()], ids=["mlp", "lola"])
def test_copies_take_over_rotations(graph: Graph, client: float) -> None:
    costs = replace(RotationCosts(), client=client)
    check_packed(graph, partial(pack, slots=1024, costs=costs))


def test_free_copies_leave_no_rotation_to_the_first_layer() -> None:
    graph = Network("conv")
    graph_ = graph.build(graph.conv(graph.input(1, 1, 8, 8), 2))
    packed = check_packed(graph_, partial(pack, slots=256, costs=replace(RotationCosts(), client=0.0)))
    assert not rotation_uses(packed.server)
    layout = packed.layouts["x"]
    assert isinstance(layout, Rotated)
    assert len(layout.steps) == 9


def test_dear_copies_are_not_made() -> None:
    assert not isinstance(pack(mlp(60, 16, 5), 256).layouts["x"], Rotated)
    cheap = replace(RotationCosts(), client=0.0)
    assert not isinstance(pack(mlp(60, 16, 5), 256, cheap, PackingOptions(copies=False)).layouts["x"], Rotated)
