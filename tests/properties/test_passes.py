"""Every pass keeps what a model means, does nothing the second time, and leaves a graph that prints and parses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import graphs, samples_of

from enclair.compiler.approx.ranges import calibrate
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.text import parse
from enclair.compiler.ir.verify import verify
from enclair.compiler.passes.insert_refreshes import InsertRefreshes
from enclair.compiler.passes.pipeline import Pass, run_passes
from enclair.compiler.passes.place_ops import PlaceOps
from enclair.compiler.passes.to_fixed_point import ToFixedPoint
from enclair.compiler.split import PREPARE

PASSES = (*dict.fromkeys(PREPARE), PlaceOps())


def assert_close(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    """Equal within 1e-9 of the largest magnitude, or of 1."""
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        tolerance = 1e-9 * max(1.0, float(np.abs(array).max(initial=0.0)))
        np.testing.assert_allclose(found[name], array, rtol=0, atol=tolerance)


@pytest.mark.parametrize("pass_", PASSES, ids=lambda pass_: type(pass_).__name__)
@given(graph=graphs())
def test_a_pass_keeps_meaning(pass_: Pass, graph: Graph) -> None:
    after = pass_(graph)
    verify(after, pass_.produces)
    assert_close(run(after, samples_of(graph)[0]), run(graph, samples_of(graph)[0]))


@pytest.mark.parametrize("pass_", PASSES, ids=lambda pass_: type(pass_).__name__)
@given(graph=graphs())
def test_a_pass_twice_is_a_pass_once(pass_: Pass, graph: Graph) -> None:
    once = pass_(run_passes(graph, PREPARE) if isinstance(pass_, PlaceOps) else graph)
    assert pass_(once) == once


@given(graph=graphs())
def test_preparing_keeps_meaning_and_happens_once(graph: Graph) -> None:
    prepared = run_passes(graph, PREPARE)
    assert_close(run(prepared, samples_of(graph)[0]), run(graph, samples_of(graph)[0]))
    assert run_passes(prepared, PREPARE) == prepared


@given(graph=graphs(), data=st.data())
def test_refreshes_keep_meaning_and_happen_once(graph: Graph, data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from([node.out.name for node in graph.nodes]), min_size=1, max_size=3))
    pass_ = InsertRefreshes(frozenset(names))
    after = pass_(graph)
    verify(after, pass_.produces)
    assert pass_(after) == after
    assert_close(run(after, samples_of(graph)[0]), run(graph, samples_of(graph)[0]))


@given(graph=graphs())
def test_graphs_of_every_stage_parse_back(graph: Graph) -> None:
    ranges = calibrate(run_passes(graph, PREPARE), samples_of(graph))
    for pass_ in (*PREPARE, PlaceOps(), ToFixedPoint(ranges, 8, 8)):
        graph = pass_(graph)
        verify(graph, pass_.produces)
        assert parse(str(graph), graph.arrays) == graph
