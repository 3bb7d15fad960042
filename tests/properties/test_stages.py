"""Every packed form of a server stage, on tiles, masked copies and blocks, computes what the stage computes."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.fixed import fixed_example
from tests.rounds import centred
from tests.strategies import graphs, image_graphs, linear_graphs, shape_of

from enclair.compiler.approx.intervals import Interval, intervals
from enclair.compiler.errors import CompileError, PackingError
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.slots import pack, unpack
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.text import parse
from enclair.compiler.ir.types import CipherType
from enclair.compiler.ir.verify import verify
from enclair.compiler.packing.assemble import round_count, server_stage
from enclair.compiler.packing.candidates import candidates
from enclair.compiler.packing.packed_stage import PackedStage, Ring
from enclair.compiler.packing.stage import split_parts
from enclair.compiler.planner.costs import noise_growth

RING_DIMS = (16, 64, 256)


def parts_of(fixed: Graph) -> list[Graph]:
    try:
        rounds = range(1, round_count(fixed) + 1)
    except CompileError:
        return []
    return [part for round_ in rounds for part in split_parts(server_stage(fixed, round_))]


def packed_forms(part: Graph, ring_dim: int) -> Iterator[PackedStage]:
    """Every candidate that can be packed."""
    for candidate in candidates(part, 1, Ring(ring_dim, 2, 200.0, 20.0), {}):
        try:
            packed = candidate.pack()
        except PackingError:
            continue
        event(packed.layout_name.lstrip("tiles 0123456789x") or "tiles")
        yield packed


def random_inputs(part: Graph, known: dict[str, Interval], seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        value.name: rng.integers(known[value.name].low, known[value.name].high, size=shape_of(value), endpoint=True)
        for value in part.inputs
    }


def uploads_of(packed: PackedStage, inputs: dict[str, Array]) -> dict[str, Array]:
    return {held.cipher.name: pack(held.layout, inputs[name]) for name, held in packed.uploads.items()}


stage_graphs = st.one_of(graphs(), linear_graphs(), image_graphs())


@settings(max_examples=100)
@given(graph=stage_graphs, ring_dim=st.sampled_from(RING_DIMS), seed=st.integers(0, 99))
def test_a_packed_stage_computes_what_the_stage_does(graph: Graph, ring_dim: int, seed: int) -> None:
    fixed = fixed_example(graph, 6)
    known = intervals(fixed)
    modulus = 2 * max((interval.magnitude for interval in known.values()), default=0) + 1
    for part in parts_of(fixed):
        inputs = random_inputs(part, known, seed)
        wanted = run(part, inputs)
        for packed in packed_forms(part, ring_dim):
            verify(packed.graph, Stage.SERVER)
            slots = run(packed.graph, uploads_of(packed, inputs))
            for name, held in packed.results.items():
                answer = slots[held.cipher.name]
                np.testing.assert_array_equal(unpack(held.layout, answer), wanted[name], packed.layout_name)
                np.testing.assert_array_equal(unpack(held.layout, centred(answer, modulus)), wanted[name])


@given(graph=stage_graphs, ring_dim=st.sampled_from(RING_DIMS), seed=st.integers(0, 99))
def test_noise_stays_within_the_growth_that_is_counted(graph: Graph, ring_dim: int, seed: int) -> None:
    fixed = fixed_example(graph, 6)
    rng = np.random.default_rng(seed)
    for part in parts_of(fixed):
        for packed in packed_forms(part, ring_dim):
            known = packed.graph.arrays.values()
            largest = max((int(np.abs(array).max(initial=1)) for array in known), default=1)
            growth = noise_growth(packed.graph, log2(largest), {})
            noise = {v.name: rng.choice((-1, 1), size=_size(v.type)) for v in packed.graph.inputs}
            zero = run(packed.graph, {name: np.zeros_like(array) for name, array in noise.items()})
            for name, result in run(packed.graph, noise).items():
                assert np.abs(result - zero[name]).max(initial=0) <= 2 ** growth[name] * (1 + 1e-9)


def _size(type_: object) -> tuple[int, int]:
    assert isinstance(type_, CipherType)
    return type_.count, type_.slots


@settings(max_examples=25)
@given(graph=stage_graphs)
def test_packed_graphs_parse_back(graph: Graph) -> None:
    for part in parts_of(fixed_example(graph, 6)):
        for packed in packed_forms(part, 64):
            assert parse(str(packed.graph), packed.graph.arrays) == packed.graph
