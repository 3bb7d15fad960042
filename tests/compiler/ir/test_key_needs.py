"""Which keys a graph needs, for which levels, and when."""

from __future__ import annotations

import numpy as np

from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.key_needs import NO_KEYS, RELINEARISATION, KeyNeeds, KeyUse, key_needs, key_uses
from enclair.compiler.ir.ops.ckks import DropToLevel, LinearTransform, MultiplyCiphers, Relinearise, RotateSlots
from enclair.compiler.ir.types import CkksType


def test_nothing_rotated_needs_no_keys() -> None:
    b = Builder("sum")
    assert key_needs([b.build([b.input("x", CkksType(1, 8, 3, 2.0**30))])]) == NO_KEYS


def rotations_at_levels() -> Graph:
    """By 1 and 2 at level 3, by 1 and, in a transform with baby steps, by 1 and 4 at level 2; a product at level 2."""
    b = Builder("rotations")
    x = b.input("x", CkksType(1, 8, 3, 2.0**30))
    high = b.add(RotateSlots(2), b.add(RotateSlots(1), x))
    low = b.add(RotateSlots(1), b.add(DropToLevel(2), high))
    named = {name: np.zeros(2, dtype=np.int64) for name in ("rows", "cols", "rotations", "which")}
    named["rotations"] = np.array([1, 5])
    tables = [b.constant(name, table, 0) for name, table in named.items()]
    weights, vectors = b.constant("weights", np.ones(2)), b.constant("vectors", np.ones((1, 1)))
    turned = b.add(LinearTransform(1, 4, 2.0**30), low, *tables, weights, vectors)
    return b.build([turned, b.add(Relinearise(), b.add(MultiplyCiphers(), low, low))])


def test_keys_serve_the_highest_level_at_which_they_are_used() -> None:
    assert key_needs([rotations_at_levels()]) == KeyNeeds((1, 2, 4), relinearise=True, levels=(2, 3, 3, 2))


def test_uses_are_in_the_order_of_the_nodes() -> None:
    graph = rotations_at_levels()
    uses = key_uses([graph, graph])
    later = len(graph.nodes)
    assert uses[2] == (KeyUse(1, 3), KeyUse(1 + later, 3))
    assert [use.level for use in uses[1]] == [3, 2, 2] * 2
    assert [use.level for use in uses[4]] == [use.level for use in uses[RELINEARISATION]] == [2, 2]
    places = [use.place for use in uses[1]]
    assert places == sorted(places)
    assert places[3:] == [place + later for place in places[:3]]


def test_a_packed_graph_has_no_levels_yet() -> None:
    b = Builder("packed")
    graph = b.build([b.add(RotateSlots(3), b.input("x", CkksType(1, 8)))])
    assert key_needs([graph]) == KeyNeeds((3,))
    assert key_needs([graph]).key_levels(7) == (7,)
