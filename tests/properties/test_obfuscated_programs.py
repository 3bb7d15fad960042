"""Obfuscation changes no output of any model, and hides no more than it says."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from tests.strategies import graphs, layered_graphs, samples_of

from enclair import compiler
from enclair.compiler import CompileError, SplitOptions
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.obfuscation import analyse
from enclair.runtime.inputs import check_inputs
from enclair.runtime.session import Session

KINDS = (("permute",), ("scale",), ("permute", "scale"))


@settings(max_examples=40)
@given(
    graph=st.one_of(graphs(), layered_graphs(), layered_graphs()), kinds=st.sampled_from(KINDS), seed=st.integers(0, 99)
)
def test_outputs_are_those_of_the_reference_bit_for_bit(graph: Graph, kinds: tuple[str, ...], seed: int) -> None:
    try:
        program = compiler.compile(graph, samples_of(graph), options=SplitOptions(activation_bits=6, weight_bits=6))
    except CompileError:
        assume(False)
    points = analyse(program).points
    event("permutes" if any(point.channels for point in points) else "permutes nothing")
    event("scales" if any(point.largest_factor > 1 for point in points) else "scales nothing")
    inputs = check_inputs(program.inputs, samples_of(graph, 1, seed)[0], clip=True)[0]
    result = Session(program, "simulated", obfuscate=kinds).run(inputs)
    for name, wanted in run(program.fixed, inputs).items():
        np.testing.assert_array_equal(result.outputs[name], wanted)
    assert result.room_left_bits is not None
    assert result.room_left_bits >= 0
