"""Programs on ciphertexts: the encrypted answer equals the fixed-point reference, with no difference at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from tests.fixed import fixed_graph
from tests.models import (
    AVERAGE_POOL,
    Net,
    classifier,
    convolutions,
    denoiser,
    pooled,
    residual_block,
    transformer_block,
    two_branches,
)
from tests.strategies import graphs, linear_graphs, samples_of, within

from enclair import compiler
from enclair.compiler import CompileError, Program, SplitOptions
from enclair.compiler.approx.intervals import largest_sum
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.ops.activations import Relu, Sigmoid
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.ops.linear import ConvTranspose
from enclair.compiler.ir.ops.packed import MaskSlots
from enclair.compiler.ir.ops.shape import Concat, DepthToSpace
from enclair.compiler.ir.reference import run
from enclair.compiler.packing.assemble import assemble
from enclair.compiler.planner.costs import OpCosts
from enclair.compiler.planner.rings import parameter_choices, ring_of
from enclair.compiler.program import InputSpec
from enclair.runtime.session import Session


def two_inputs() -> Graph:
    net = Net()
    x, y = net.input(1, 1, 4, 4), net.input(1, 1, 4, 4, name="y")
    h = net.op(Relu(), net.op(Add(), net.conv(x, 2), net.conv(y, 2)))
    return net.graph(net.conv(h, 1), h)


def upsampler() -> Graph:
    """A batch of two; transposed convolution, then a pixel shuffle."""
    net = Net()
    h = net.conv(net.input(2, 1, 3, 3), 4)
    up = net.op(ConvTranspose((2, 2), (1, 0, 0, 1), (1, 1), 2, (0, 0)), h, net.constant(4, 2, 2, 2))
    return net.graph(net.op(DepthToSpace(2, "CRD"), up))


def check(program: Program, inputs: dict[str, Array]) -> None:
    """No difference on any backend, and noise within its room."""
    wanted = run(program.fixed, inputs)
    for backend in ("clear", "simulated", "bfv"):
        result = Session(program, backend).run(inputs)
        for name, array in wanted.items():
            assert np.count_nonzero(result.outputs[name] != array) == 0, f"{name} on {backend}"
        assert result.room_left_bits is None or result.room_left_bits >= 0


def accepted(program: Program, graph: Graph, seed: int = 3) -> dict[str, Array]:
    """An input within the program's limits."""
    limits = {spec.name: (spec.low, spec.high) for spec in program.inputs}
    return {name: np.clip(array, *limits[name]) for name, array in samples_of(graph, 1, seed)[0].items()}


@pytest.mark.parametrize(
    ("graph", "options"),
    [
        (convolutions(1), {}),
        (convolutions(2), {"activation_bits": 17, "weight_bits": 17}),
        (convolutions(4), {"activation_bits": 15, "weight_bits": 15}),
        (convolutions(2, activation=Sigmoid()), {"tolerance": 0.01}),
        (denoiser(), {}),
        (residual_block(), {}),
        (classifier(activation=False), {"tolerance": 0.01}),
        (classifier(pooled=True), {"tolerance": 0.01, "finishing_sums": False}),
        (pooled(AVERAGE_POOL), {"tolerance": 0.01}),
        (two_branches(), {"tolerance": 0.05}),
        (two_inputs(), {"tolerance": 0.01}),
        (upsampler(), {"tolerance": 0.01}),
        (transformer_block(), {"tolerance": 0.05}),
    ],
    ids=[
        "one convolution", "two moduli", "refreshed", "real activation", "denoiser", "residual block",
        "flatten and Gemm", "whole sums", "average pool", "two branches", "two inputs", "upsampler",
        "transformer block",
    ],
)  # fmt: skip
def test_a_program_gives_the_reference(graph: Graph, options: dict[str, Any]) -> None:
    program = compiler.compile(graph, samples_of(graph), options=SplitOptions(**options))
    check(program, accepted(program, graph))


def packed_for(graph: Graph, ring_dim: int, limbs: int, **costs: float) -> Program:
    """A program with 6 bits on a given ring, under other costs."""
    fixed = fixed_graph(graph, 6)
    choices = parameter_choices(largest_sum(fixed)[1], 40)
    parameters = next(p for p in choices if (p.ring_dim, p.limbs) == (ring_dim, limbs))
    assembled = assemble(fixed, replace(ring_of(parameters), costs=OpCosts(**costs)))
    inputs = tuple(InputSpec(value.name, value.type.shape, -9.0, 9.0) for value in graph.inputs)  # type: ignore[union-attr]
    outputs = tuple(value.name for value in graph.outputs)
    return Program("forced", parameters, inputs, outputs, assembled.prologue, assembled.rounds, fixed)


def test_border_masks_on_ciphertexts() -> None:
    program = packed_for(convolutions(2), 8192, 3, encrypt=1e4)
    assert any(isinstance(node.op, MaskSlots) for node in program.rounds[0].server.nodes)
    check(program, samples_of(convolutions(2), 1, 4)[0])


def test_masked_copies_on_ciphertexts() -> None:
    program = packed_for(convolutions(2), 4096, 2)
    assert not any(isinstance(node.op, MaskSlots) for node in program.rounds[0].server.nodes)
    check(program, samples_of(convolutions(2), 1, 4)[0])


def test_a_constant_where_there_is_no_ciphertext() -> None:
    """A row of weights above an image: they are added to an encryption of nothing."""
    net = Net()
    both = net.op(Concat(2), net.constant(1, 1, 1, 4), net.conv(net.input(1, 1, 3, 4), 1, pad=0, kernel=1))
    graph = net.graph(net.conv(net.conv(both, 1), 1))
    program = packed_for(graph, 4096, 2)
    assert len(program.rounds) == 1
    check(program, samples_of(graph, 1, 4)[0])


def test_a_value_that_goes_up_again_on_ciphertexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does where the tiles of two stages do not match."""
    monkeypatch.setattr("enclair.compiler.packing.candidates._kept", lambda *_: {})
    program = packed_for(residual_block(), 4096, 2)
    assert [name for name, _ in program.rounds[1].exchange.uploads] == ["relu.q.up2", "add.up2"]
    check(program, samples_of(residual_block(), 1, 4)[0])


def check_random(graph: Graph, data: st.DataObject) -> None:
    try:
        program = compiler.compile(graph, samples_of(graph), options=SplitOptions(activation_bits=7, weight_bits=7))
    except CompileError as error:
        assume("nothing for the server to do" not in str(error))
        raise
    event(f"{len(program.rounds)} rounds, N={program.parameters.ring_dim}")
    check(program, data.draw(within(graph, {spec.name: (spec.low, spec.high) for spec in program.inputs})))


@settings(max_examples=6)
@given(graph=graphs(), data=st.data())
def test_random_programs_give_the_reference(graph: Graph, data: st.DataObject) -> None:
    check_random(graph, data)


@pytest.mark.slow
@settings(max_examples=60)
@given(graph=st.one_of(graphs(), linear_graphs()), data=st.data())
def test_many_random_programs_give_the_reference(graph: Graph, data: st.DataObject) -> None:
    check_random(graph, data)
