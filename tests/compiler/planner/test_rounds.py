"""Placement: legal, with the fewest rounds, then the least traffic; against known numbers and brute force."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.models import KNOWN_ROUNDS, Net, convolutions
from tests.strategies import graphs, shape_of

from enclair.compiler.ir.graph import Graph, Place
from enclair.compiler.ir.public import is_public
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.passes.place_ops import PlaceOps
from enclair.compiler.planner.rounds import SERVER_WEIGHT, UPLOAD_WEIGHT, fewest_rounds, place
from enclair.compiler.planner.sides import Side, sides_of
from enclair.compiler.split import PREPARE


def rounds_of(places: Mapping[str, Place]) -> int:
    return max((p.round for p in places.values()), default=0)


def earliest(graph: Graph, sides: Mapping[str, str]) -> dict[str, Place]:
    """The least round of every node when the sides are given."""
    places = {value.name: Place("client", 0) for value in graph.inputs}
    for node in graph.nodes:
        side = sides[node.out.name]
        args = [places[arg.name] for arg in node.args if arg.name in places]
        least = max((p.round + (side == "server" and p.side == "client") for p in args), default=0)
        places[node.out.name] = Place("server" if side == "server" else "client", least)
    return {node.out.name: places[node.out.name] for node in graph.nodes}


def traffic(graph: Graph, places: Mapping[str, Place]) -> float:
    """What the placement minimises: elements up and down, once each; ties go to the client, and to early rounds."""
    total = 0.0
    readers = graph.consumers()
    outputs = {value.name for value in graph.outputs}
    for value in [*graph.inputs, *(node.out for node in graph.nodes)]:
        on_server = value.name in places and places[value.name].side == "server"
        read_by = {places[node.out.name].side for node in readers[value.name]} | (
            {"client"} if value.name in outputs else set()
        )
        size = value.type.size  # type: ignore[union-attr]
        total += size * (on_server and "client" in read_by) + UPLOAD_WEIGHT * size * (
            not on_server and "server" in read_by
        )
        total += SERVER_WEIGHT * size * on_server
    return total + SERVER_WEIGHT * sum(p.round for p in places.values())


def check_legal(graph: Graph, places: Mapping[str, Place]) -> None:
    """Nothing is computed before its arguments are there, nor on a side that may not."""
    sides = sides_of(graph)
    for node in graph.nodes:
        here = places[node.out.name]
        assert sides[node.out.name] in {Side.EITHER, Side(here.side)}
        for arg in node.args:
            there = places.get(arg.name, Place("client", 0))
            waits = here.side == "server" and there.side == "client" and not graph.is_constant(arg)
            assert here.round >= there.round + waits
        if here.side == "server":
            assert here.round >= 1


@pytest.mark.parametrize(
    ("graph", "rounds"), [case[1:] for case in KNOWN_ROUNDS], ids=[case[0] for case in KNOWN_ROUNDS]
)
def test_known_models_take_the_known_number_of_rounds(graph: Graph, rounds: int) -> None:
    prepared = run_passes(graph, PREPARE)
    places = place(prepared, sides_of(prepared))
    assert fewest_rounds(prepared, sides_of(prepared)) == rounds
    assert max(p.round for p in places.values() if p.side == "server") == rounds


@given(graph=graphs())
def test_placement_is_legal_and_no_worse_than_the_earliest_schedule(graph: Graph) -> None:
    prepared = run_passes(graph, PREPARE)
    sides = sides_of(prepared)
    places = place(prepared, sides)
    check_legal(prepared, places)
    assert rounds_of(places) <= fewest_rounds(prepared, sides)
    greedy = earliest(prepared, _as_early_as_possible(prepared, sides))
    assert rounds_of(greedy) <= fewest_rounds(prepared, sides)
    assert traffic(prepared, places) <= traffic(prepared, greedy) * (1 + 1e-6)


def _as_early_as_possible(graph: Graph, sides: Mapping[str, Side]) -> dict[str, str]:
    """Ops that may run anywhere run where the latest of their arguments is."""
    step = {value.name: 0 for value in graph.inputs}
    chosen = {}
    for node in graph.nodes:
        first = max((step[arg.name] for arg in node.args if arg.name in step), default=0)
        parity = {Side.SERVER: 1, Side.CLIENT: 0, Side.EITHER: first % 2}[sides[node.out.name]]
        step[node.out.name] = first + (first % 2 != parity)
        chosen[node.out.name] = "server" if parity else "client"
    return chosen


@settings(max_examples=30)
@given(graph=graphs())
def test_placement_is_the_best_of_all(graph: Graph) -> None:
    prepared = run_passes(graph, PREPARE)
    sides = sides_of(prepared)
    free = [name for name, side in sides.items() if side is Side.EITHER]
    assume(1 <= len(free) <= 8)
    fixed = {name: side.value for name, side in sides.items() if side is not Side.EITHER}
    choices = [
        earliest(prepared, fixed | dict(zip(free, choice, strict=True)))
        for choice in product(("client", "server"), repeat=len(free))
    ]
    least = min(_needed_rounds(prepared, places) for places in choices)
    assert fewest_rounds(prepared, sides) == least
    best = min(traffic(prepared, places) for places in choices if rounds_of(places) <= least)
    assert traffic(prepared, place(prepared, sides)) == pytest.approx(best, rel=1e-6)


def _needed_rounds(graph: Graph, places: Mapping[str, Place]) -> int:
    return max((places[value.name].round for value in graph.outputs if value.name in places), default=0)


@given(graph=graphs(), data=st.data())
def test_an_op_that_must_be_on_the_client_is(graph: Graph, data: st.DataObject) -> None:
    prepared = run_passes(graph, PREPARE)
    free = [name for name, side in sides_of(prepared).items() if side is Side.EITHER]
    assume(free)
    name = data.draw(st.sampled_from(free))
    placed = run_passes(prepared, [PlaceOps(frozenset({name}))])
    assert placed.producers()[name].place == Place("client", placed.producers()[name].place.round)  # type: ignore[union-attr]


@given(graph=graphs())
def test_weights_of_linear_ops_never_go_to_the_client(graph: Graph) -> None:
    prepared = run_passes(graph, PREPARE)
    linear = {"Conv", "ConvTranspose", "MatMul", "Add", "Sub", "Mul"}
    for node in run_passes(prepared, [PlaceOps()]).nodes:
        weights = [arg for arg in node.args if prepared.is_constant(arg) and not is_public(prepared, arg)]
        if weights and type(node.op).__name__ in linear:
            assert node.place is not None
            assert node.place.side == "server"


def test_a_single_number_after_a_convolution_is_a_weight() -> None:
    net = Net()
    graph = run_passes(net.graph(net.conv(net.input(1, 1, 4, 4), 1)), PREPARE)
    assert shape_of(graph.constants[1]) == (1, 1, 1)
    assert [sides_of(graph)[node.out.name] for node in graph.nodes] == [Side.SERVER, Side.SERVER]


def test_a_stage_without_activations_stays_on_the_server() -> None:
    placed = run_passes(convolutions(3), [*PREPARE, PlaceOps()])
    assert {node.place for node in placed.nodes} == {Place("server", 1)}
