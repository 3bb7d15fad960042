"""Full mode as a whole: a program, run in the clear, is its polynomials; they keep the tolerance; its graphs their
rules.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.full_strategies import TOLERANCES, full_models, options_for, run_whole
from tests.strategies import samples_of, within

from enclair import compiler
from enclair.compiler import Program
from enclair.compiler.artifact import load, load_client, save, save_client
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.key_needs import rotations_of
from enclair.compiler.ir.ops.ckks import LinearTransform, Relinearise, RotateSlots
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.text import parse
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.verify import verify
from enclair.compiler.planner.least_levels import least_levels
from enclair.compiler.report import inspect
from enclair.compiler.report.operations import layers, operations

ROUNDING = 1e-8
"""Relative: float64 adds up in another order on slots than on tensors."""
EXAMPLES = settings().max_examples // 3
"""Programs of full mode take about a second each: fewer than usual."""
shares = st.sampled_from(TOLERANCES)


def compiled(graph: Graph, share: float) -> Program:
    program = compiler.compile(graph, samples_of(graph), options=options_for(graph, share))
    event(f"ring dimension {program.parameters.ring_dim}")
    event(f"{len(program.facts['activations'])} activations")
    return program


def distance(one: dict[str, Array], other: dict[str, Array]) -> float:
    return max(float(np.abs(one[name] - other[name]).max(initial=0.0)) for name in other)


@settings(max_examples=EXAMPLES)
@given(graph=full_models(), share=shares, data=st.data())
def test_a_program_is_its_polynomials_and_keeps_its_tolerance(graph: Graph, share: float, data: st.DataObject) -> None:
    program = compiled(graph, share)
    assert set(program.outputs) == {value.name for value in graph.outputs}
    check_stages(program)
    check_keys(program)
    samples = samples_of(graph)
    assert max(distance(run(program.fixed, x), run(graph, x)) for x in samples) <= program.facts["gap_bound"]["value"]
    assert program.facts["gap_bound"]["value"] + program.facts["noise_bound"]["value"] <= program.facts["tolerance"]
    assert least_levels(program.fixed) <= program.parameters.levels
    assert all(
        spec.low <= x[spec.name].min() and x[spec.name].max() <= spec.high for spec in program.inputs for x in samples
    )
    limits = {spec.name: (spec.low, spec.high) for spec in program.inputs}
    for inputs in (*samples, data.draw(within(graph, limits))):
        wanted = run(program.fixed, inputs)
        largest = max(float(np.abs(array).max(initial=1.0)) for array in run_all(program, inputs))
        assert distance(run_whole(program, inputs), wanted) <= ROUNDING * largest


def run_all(program: Program, inputs: dict[str, Array]) -> list[Array]:
    """Every value of the reference: sums of large ones round by as much."""
    found: list[Array] = []
    run(program.fixed, inputs, lambda _, __, result: found.append(result))
    return found


def check_stages(program: Program) -> None:
    """Types and stages hold, graphs parse back, and no ciphertext is below level 0 or above what is encrypted."""
    (round_,) = program.rounds
    assert program.parameters.secure
    verify(program.prologue, Stage.CLIENT)
    verify(round_.client, Stage.CLIENT)
    verify(round_.server, Stage.LEVELED)
    for part in (program.prologue, round_.server, round_.client, program.fixed):
        assert parse(str(part), part.arrays) == part
    ciphers = [value.type for value in round_.server.values() if isinstance(value.type, CkksType)]
    assert {type_.slots for type_ in ciphers} == {program.parameters.slots}
    assert all(0 <= type_.level <= program.parameters.levels for type_ in ciphers if type_.level is not None)
    assert all(type_.level is not None for type_ in ciphers)
    assert {type_.parts for name, type_ in round_.exchange.answers} == {2}


def check_keys(program: Program) -> None:
    """A key for every rotation that is used, none besides."""
    server = program.rounds[0].server
    used = {step for node in server.nodes for step in rotations_of(server, node)}
    assert set(program.keys.rotations) == used
    assert all(0 < step < program.parameters.slots for step in used)
    assert program.keys.relinearise == any(isinstance(node.op, Relinearise) for node in server.nodes)
    assert program.for_client().keys == program.keys


@settings(max_examples=EXAMPLES // 2)
@given(graph=full_models(), share=shares)
def test_a_program_is_saved_and_reported(graph: Graph, share: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = compiled(graph, share)
    path = tmp_path_factory.mktemp("full") / "p.enclair"
    save(program, path)
    loaded = load(path)
    assert loaded == program
    assert loaded.facts == json.loads(json.dumps(program.facts))
    save_client(program.for_client(), path)
    assert load_client(path) == program.for_client()
    assert load_client(path).digest() == program.digest()
    check_report(program)
    assert inspect(loaded).to_text() == inspect(program).to_text()


def check_report(program: Program) -> None:
    """Every node is in one layer, and sums are those of the layers."""
    report, server = inspect(program), program.rounds[0].server
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(found["keys"]["rotations"]) == set(program.keys.rotations)
    parts = [nodes for _, nodes in layers(server, program.facts["values"])]
    assert [node.out.name for nodes in parts for node in nodes] == [node.out.name for node in server.nodes]
    totals = [sum(layer["operations"][name] for layer in found["layers"]) for name in found["operations"]]
    assert totals == list(found["operations"].values())
    assert report.operations == operations(server, server.nodes)
    turning = [node for node in server.nodes if isinstance(node.op, LinearTransform | RotateSlots)]
    rotating = any(rotations_of(server, node) for node in turning)
    assert rotating == bool(report.operations.hoisted + report.operations.rotations)
    text = report.to_text()
    assert program.name in text
    assert all(" ".join(note.split()) in " ".join(text.split()) for note in report.notes)
    assert {activation["name"] for activation in found["activations"]} <= {
        node.out.name for node in program.fixed.nodes
    }
