"""Intervals hold every value, and bounds on the error hold where they are finite."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, event, given
from hypothesis import strategies as st
from tests.fixed import fixed_example
from tests.strategies import graphs, linear_graphs, samples_of, within

from enclair.compiler.approx.error_bounds import error_bound
from enclair.compiler.approx.intervals import intervals
from enclair.compiler.approx.ranges import Range, calibrate
from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.ops.fixed import Quantise
from enclair.compiler.ir.reference import run
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.split import PREPARE

MARGIN = 0.25


def to_fixed_point(graph: Graph, activation_bits: int, weight_bits: int) -> tuple[Graph, Graph, dict[str, Range]]:
    """The prepared and the fixed-point graph, and the ranges."""
    prepared = run_passes(graph, PREPARE)
    return prepared, fixed_example(graph, activation_bits, weight_bits), calibrate(prepared, samples_of(graph))


bits = st.integers(3, 12)


@given(graph=graphs(), activation_bits=bits, weight_bits=bits, factor=st.sampled_from((0.5, 1.0, 30.0)), data=st.data())
def test_every_value_is_in_its_interval(
    graph: Graph, activation_bits: int, weight_bits: int, factor: float, data: st.DataObject
) -> None:
    _, fixed, ranges = to_fixed_point(graph, activation_bits, weight_bits)
    known = intervals(fixed)
    limits = {value.name: ranges[value.name].widened(MARGIN) for value in graph.inputs}
    wide = {name: (factor * range_.low, factor * range_.high) for name, range_ in limits.items()}

    def check(node: Node, _: tuple[Array, ...], result: Array) -> None:
        if node.out.name in known and result.size:
            assert known[node.out.name].low <= result.min()
            assert result.max() <= known[node.out.name].high

    run(fixed, data.draw(within(graph, wide)), check)


@given(graph=graphs(), activation_bits=bits, weight_bits=bits, data=st.data())
def test_a_proven_bound_holds(graph: Graph, activation_bits: int, weight_bits: int, data: st.DataObject) -> None:
    prepared, fixed, ranges = to_fixed_point(graph, activation_bits, weight_bits)
    bound = error_bound(fixed)
    event("proven" if bound < np.inf else "not proven")
    assume(bound < np.inf)
    inputs = data.draw(within(graph, _accepted(graph, ranges)))
    found, wanted = run(fixed, inputs), run(prepared, inputs)
    assert max(float(np.abs(found[name] - wanted[name]).max()) for name in wanted) <= bound


@given(graph=linear_graphs(), data=st.data())
def test_a_linear_model_has_a_proven_bound(graph: Graph, data: st.DataObject) -> None:
    prepared, fixed, ranges = to_fixed_point(graph, 8, 8)
    rounded = [node.args[0] for node in fixed.nodes if isinstance(node.op, Quantise)]
    assume(set(rounded) == set(fixed.inputs))
    assert error_bound(fixed) < np.inf
    inputs = data.draw(within(graph, _accepted(graph, ranges)))
    found, wanted = run(fixed, inputs), run(prepared, inputs)
    assert max(float(np.abs(found[name] - wanted[name]).max()) for name in wanted) <= error_bound(fixed)


def _accepted(graph: Graph, ranges: dict[str, Range]) -> dict[str, tuple[float, float]]:
    """The interval in which the client accepts each input."""
    widened = {value.name: ranges[value.name].widened(MARGIN) for value in graph.inputs}
    return {name: (range_.low, range_.high) for name, range_ in widened.items()}
