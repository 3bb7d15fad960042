"""The whole: the rounds of a program, run in the clear, give the fixed-point reference bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from tests.fixed import fixed_example
from tests.rounds import run_rounds
from tests.strategies import graphs, linear_graphs, samples_of, within

from enclair import compiler
from enclair.compiler import CompileError, Program, SplitOptions
from enclair.compiler.approx.intervals import largest_sum
from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.text import parse
from enclair.compiler.ir.verify import verify
from enclair.compiler.packing.assemble import Assembled, assemble
from enclair.compiler.packing.packed_stage import Ring
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.planner.costs import OpCosts
from enclair.compiler.planner.rounds import fewest_rounds
from enclair.compiler.planner.sides import sides_of
from enclair.compiler.split import PREPARE

NOTHING_TO_DO = "nothing for the server to do"
COSTS = (OpCosts(), OpCosts(encrypt=1000.0), OpCosts(multiply=100.0, encode=100.0), OpCosts(answer=1000.0))


def compiled(graph: Graph, options: SplitOptions) -> Program:
    """The program; models without weights are left out."""
    try:
        return compiler.compile(graph, samples_of(graph), options=options)
    except CompileError as error:
        assume(NOTHING_TO_DO not in str(error))
        raise


def limits(program: Program) -> dict[str, tuple[float, float]]:
    """What the client accepts."""
    return {spec.name: (spec.low, spec.high) for spec in program.inputs}


def check_rounds(program: Program | Assembled, fixed: Graph, inputs: Mapping[str, Array], modulus: int) -> None:
    """The rounds equal the reference, in integers and modulo the plaintext modulus."""
    wanted = run(fixed, inputs)
    for reduced in (None, modulus):
        found = run_rounds(program, inputs, reduced)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)


def gap(program: Program, graph: Graph, inputs: Mapping[str, Array]) -> float:
    found, wanted = run(program.fixed, inputs), run(graph, inputs)
    return max(float(np.abs(found[name] - wanted[name]).max(initial=0.0)) for name in wanted)


@settings(max_examples=100)
@given(graph=graphs(), room=st.sampled_from((16.0, 30.0, 200.0)), costs=st.sampled_from(COSTS), seed=st.integers(0, 99))
@pytest.mark.parametrize("ring_dim", [16, 64])
def test_rounds_equal_the_reference_on_small_rings(
    ring_dim: int, graph: Graph, room: float, costs: OpCosts, seed: int
) -> None:
    fixed = fixed_example(graph, 6)
    try:
        assembled = assemble(fixed, Ring(ring_dim, 2, room, 20.0, costs=costs))
    except (PackingError, CompileError) as error:
        event(f"not packed: {type(error).__name__}")
        return
    for stage in assembled.stages:
        event("keeps values" if stage.kept else "keeps nothing")
    modulus = 2 * largest_sum(fixed)[1] + 1
    check_rounds(assembled, fixed, samples_of(graph, 1, seed)[0], modulus)


@settings(max_examples=30)
@given(graph=graphs(), data=st.data())
def test_a_program_with_given_bits_equals_its_reference(graph: Graph, data: st.DataObject) -> None:
    program = compiled(graph, SplitOptions(activation_bits=8, weight_bits=8))
    event(f"{len(program.rounds)} rounds")
    check_program(program, graph)
    inputs = data.draw(within(graph, limits(program)))
    check_rounds(program, program.fixed, inputs, program.parameters.modulus)
    if program.facts["gap_bound"]["kind"] == "proven":
        assert gap(program, graph, inputs) <= program.facts["gap_bound"]["value"]


@settings(max_examples=10)
@given(graph=graphs())
def test_a_program_by_tolerance_is_within_it(graph: Graph) -> None:
    program = compiled(graph, SplitOptions(tolerance=0.01))
    check_program(program, graph)
    bound = program.facts["gap_bound"]["value"]
    assert bound <= program.facts["tolerance"] == 0.01
    for inputs in samples_of(graph)[1::2]:
        assert gap(program, graph, inputs) <= bound
        check_rounds(program, program.fixed, inputs, program.parameters.modulus)


@settings(max_examples=10)
@given(graph=linear_graphs(), data=st.data())
def test_a_linear_model_is_one_round_right_at_every_pixel(graph: Graph, data: st.DataObject) -> None:
    program = compiled(graph, SplitOptions(activation_bits=6, weight_bits=6))
    assume(not program.facts["moved_to_client"] and not program.facts["refreshed"])
    assert len(program.rounds) == 1
    inputs = data.draw(within(graph, limits(program)))
    check_rounds(program, program.fixed, inputs, program.parameters.modulus)
    assert gap(program, graph, inputs) <= program.facts["gap_bound"]["value"]


def check_program(program: Program, graph: Graph) -> None:
    """Its graphs keep their rules, it has no more rounds than it must, and all its stages fit the noise."""
    for stage in (program.prologue, *(round_.client for round_ in program.rounds)):
        verify(stage, Stage.CLIENT)
        assert parse(str(stage), stage.arrays) == stage
    for round_ in program.rounds:
        verify(round_.server, Stage.SERVER)
        assert parse(str(round_.server), round_.server.arrays) == round_.server
    assert set(program.outputs) == {value.name for value in graph.outputs}
    assert program.parameters.largest_value >= largest_sum(program.fixed)[1]
    if not program.facts["moved_to_client"] and not program.facts["refreshed"]:
        prepared = run_passes(graph, PREPARE)
        assert len(program.rounds) == fewest_rounds(prepared, sides_of(prepared))
