"""The memory that is foreseen is what the runtime takes; so are the plaintexts that it makes again."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ckks_graphs import ckks, convolution, linear_layer, linear_transform, packed_graphs, parameters_for

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Builder, Graph, Node
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.passes.divide_scales import DivideScales
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.planner import ckks_plaintexts
from enclair.compiler.planner.ckks_costs import UnitCosts, graph_cost, graph_work, ring_work, transform_steps
from enclair.compiler.planner.ckks_memory import graph_memory
from enclair.compiler.planner.ckks_plaintexts import plaintexts_of
from enclair.compiler.report.operations import operations
from enclair.runtime.backends.ckks.ciphers import Ciphers, Counts
from enclair.runtime.backends.ckks.evaluate import CkksEvaluator, PreparedTransform
from enclair.runtime.backends.ckks.key_ring import KeyRing
from enclair.runtime.rns import encoding
from enclair.runtime.rns.keys import EvaluationKeys, open_ring

SLOTS = 64
"""Of the smallest ring that the server computes in."""
STEPS = (linear_transform, linear_transform)
WIDE = CkksParameters(2 * SLOTS, 4, 40, 50, 5, INSECURE)
NARROW = CkksParameters(2 * SLOTS, 4, 26, 30, 5, INSECURE)


def several(baby_steps: int = 0, *, divide: bool = False) -> tuple[Graph, CkksParameters]:
    """A convolution of few plaintexts if weights are apart, of many otherwise."""
    b = Builder("convolution")
    x = b.input("x", CkksType(4, SLOTS))
    graph = b.build([convolution(b, x, 6, 8, np.random.default_rng(0), baby_steps=baby_steps)])
    parameters = parameters_for(graph, 2 * SLOTS)
    leveled = PlaceLevels(parameters)(graph)
    return DivideScales()(leveled) if divide else leveled, parameters


def prepared(graph: Graph, parameters: CkksParameters, **limits: int) -> Iterator[tuple[Node, PreparedTransform]]:
    """The transforms of a graph with what the server makes of them."""
    evaluator = CkksEvaluator(parameters, EvaluationKeys(), **limits)
    for node in graph.nodes:
        x = node.args[0].type
        if isinstance(node.op, LinearTransform) and isinstance(x, CkksType):
            tables = [graph.constant(arg) for arg in node.args[1:]]
            yield node, evaluator.prepare_linear_transform(x, node.op, *tables)


def bytes_of(made: PreparedTransform) -> int:
    plaintexts = made.plaintexts
    arrays = (plaintexts.constants, plaintexts.residues, plaintexts.coefficients)
    return sum(array.nbytes for array in arrays if array is not None)


def check_plaintexts(graph: Graph, parameters: CkksParameters, most_bytes: int) -> None:
    """Numbers and bytes are those of the runtime."""
    ring = ring_work(parameters)
    found = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ckks_plaintexts, "MOST_KEPT_BYTES", most_bytes)
        for node, made in prepared(graph, parameters, plaintext_bytes=most_bytes):
            told, rows = plaintexts_of(graph, node), ring.sum_rows(transform_steps(graph, node), made.level + 1)
            assert rows == made.plaintexts.rows.size
            assert (told.distinct, told.uses) == (len(made.plan.blends), made.plan.plaintext_uses)
            assert told.kept_bytes(rows, narrow=ring.narrow) == bytes_of(made)
            assert told.are_kept(rows, narrow=ring.narrow) == (made.plaintexts.coefficients is None)
            found += bytes_of(made)
        assert graph_memory(graph, parameters).plaintexts == found


@given(graph=packed_graphs(STEPS, slots=SLOTS), most_bytes=st.sampled_from((0, 1 << 14, 1 << 30)), divide=st.booleans())
def test_plaintexts_are_those_of_the_runtime(graph: Graph, most_bytes: int, divide: bool) -> None:
    parameters = parameters_for(graph, 2 * SLOTS)
    leveled = PlaceLevels(parameters)(graph)
    check_plaintexts(DivideScales()(leveled) if divide else leveled, parameters, most_bytes)


@pytest.mark.parametrize("most_bytes", [0, 1 << 30])
@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("baby_steps", [0, 4])
def test_plaintexts_of_a_convolution(baby_steps: int, divide: bool, most_bytes: int) -> None:
    graph, parameters = several(baby_steps, divide=divide)
    (node,) = (node for node in graph.nodes if isinstance(node.op, LinearTransform))
    assert (node.op.weight_scale is not None) == divide  # type: ignore[union-attr]
    assert plaintexts_of(graph, node).distinct == (8 if divide else 4 * 6 * 8)
    check_plaintexts(graph, parameters, most_bytes)


def test_narrow_residues_take_half() -> None:
    b = Builder("layer")
    graph = b.build([linear_layer(b, b.input("x", CkksType(1, SLOTS)), 8, np.random.default_rng(0))])
    for parameters in (WIDE, NARROW):
        check_plaintexts(PlaceLevels(parameters)(graph), parameters, 1 << 30)


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("baby_steps", [0, 4])
def test_plaintexts_are_made_again_as_often_as_the_cost_model_says(
    baby_steps: int, divide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, parameters = several(baby_steps, divide=divide)
    node, ring = next(n for n in graph.nodes if isinstance(n.op, LinearTransform)), ring_work(parameters)
    kept = graph_work(graph, ring)[node.out.name]
    before = graph_cost(graph, parameters, UnitCosts()).total
    monkeypatch.setattr(ckks_plaintexts, "MOST_KEPT_BYTES", 0)
    again = graph_work(graph, ring)[node.out.name].transforms - kept.transforms
    assert graph_cost(graph, parameters, UnitCosts()).total > before
    calls: list[object] = []
    reduce_to = encoding.reduce_to
    (frugal,) = evaluated(graph, parameters, plaintext_bytes=0, spy=lambda *args: calls.append(reduce_to(*args)))
    (usual,) = evaluated(graph, parameters)
    assert len(calls) == again > 0
    assert frugal.transforms - usual.transforms == again


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("baby_steps", [0, 4])
def test_reports_count_what_the_runtime_does(baby_steps: int, divide: bool) -> None:
    graph, parameters = several(baby_steps, divide=divide)
    (counts,) = evaluated(graph, parameters)
    told = operations(graph, graph.nodes)
    assert (told.hoisted, told.rotations) == (counts.hoisted_rotations, counts.rotations)
    assert told.plain_products == counts.plain_products == (4 * 8 if divide else 4 * 6 * 8)


@given(graph=packed_graphs(STEPS, slots=SLOTS))
def test_reports_count_products_with_vectors_and_with_numbers(graph: Graph) -> None:
    parameters = parameters_for(graph, 2 * SLOTS)
    leveled = PlaceLevels(parameters)(graph)
    counts = list(evaluated(leveled, parameters))
    told = operations(leveled, [node for node in leveled.nodes if isinstance(node.op, LinearTransform)])
    assert told.plain_products == sum(each.plain_products + each.constant_products for each in counts)


@pytest.mark.parametrize("parameters", [WIDE, NARROW, CkksParameters(2 * SLOTS, 4, 40, 50, 1, INSECURE)])
def test_keys_are_those_of_the_runtime(parameters: CkksParameters) -> None:
    b = Builder("layer")
    graph = b.build([linear_layer(b, b.input("x", CkksType(1, SLOTS)), 8, np.random.default_rng(0))])
    leveled = PlaceLevels(parameters)(graph)
    ring, needs = KeyRing(parameters, keys_for(leveled, parameters), open_ring(parameters)), key_needs([leveled])
    memory = graph_memory(leveled, parameters)
    assert memory.key_count == 4
    levels = needs.key_levels(parameters.levels)
    assert set(levels) == {1}
    used = [ring.rotation(steps, level).nbytes for steps, level in zip(needs.rotations, levels, strict=True)]
    assert memory.keys == 4 * parameters.key_bytes_at(1) + sum(used)


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("baby_steps", [0, 4, 16])
def test_memory_of_a_transform_at_work(baby_steps: int, divide: bool) -> None:
    """Beside its inputs, keys and plaintexts."""
    slots = 4096
    b = Builder("convolution")
    x = b.input("x", CkksType(4, slots))
    graph = b.build([convolution(b, x, 6, 8, np.random.default_rng(0), baby_steps=baby_steps)])
    parameters = parameters_for(graph, 2 * slots)
    leveled = PlaceLevels(parameters)(graph)
    leveled = DivideScales()(leveled) if divide else leveled
    node = next(node for node in leveled.nodes if isinstance(node.op, LinearTransform))
    (made,) = (each for of, each in prepared(leveled, parameters) if of is node)
    evaluator, own = CkksEvaluator(parameters, keys_for(leveled, parameters)), ckks(node.args[0])
    zeros = tuple(np.zeros((own.count, 2, made.level + 1, parameters.ring_dim)))
    inputs, tables = Ciphers(zeros, made.level, own.scale or 1.0), [leveled.constant(arg) for arg in node.args[1:]]
    evaluator.linear_transform(inputs, node.op, *tables, made)  # type: ignore[arg-type]
    tracemalloc.start()
    evaluator.linear_transform(inputs, node.op, *tables, made)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    told = graph_memory(leveled_alone(leveled, node), parameters).ciphertexts - sum(each.nbytes for each in zeros)
    assert 0.5 * told <= peak <= 1.1 * told


def leveled_alone(graph: Graph, node: Node) -> Graph:
    """The graph of one node."""
    b = Builder("alone")
    x = b.input("x", node.args[0].type)
    constants = [b.constant(arg.name, graph.constant(arg), arg.type.scale_bits) for arg in node.args[1:]]  # type: ignore[union-attr]
    return b.build([b.add(node.op, x, *constants)])


def keys_for(graph: Graph, parameters: CkksParameters) -> EvaluationKeys:
    """Keys of zeros."""
    limbs = len(parameters.primes) + len(parameters.special_primes)
    zeros = np.zeros((parameters.digits, 2, limbs, parameters.ring_dim), dtype=np.uint64)
    return EvaluationKeys(zeros, dict.fromkeys(key_needs([graph]).rotations, zeros))


def evaluated(
    graph: Graph, parameters: CkksParameters, spy: object = encoding.reduce_to, **limits: int
) -> Iterator[Counts]:
    """What the server counts for each transform, on zeros; ``spy`` takes the place of ``encoding.reduce_to``."""
    for node, made in prepared(graph, parameters, **limits):
        x, rows = ckks(node.args[0]), made.level + 1
        evaluator = CkksEvaluator(parameters, keys_for(graph, parameters), **limits)
        zeros = tuple(np.zeros((2, rows, parameters.ring_dim)) for _ in range(x.count))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoding, "reduce_to", spy)
            tables = [graph.constant(arg) for arg in node.args[1:]]
            evaluator.linear_transform(Ciphers(zeros, made.level, x.scale or 1.0), node.op, *tables, made)  # type: ignore[arg-type]
        yield evaluator.counts
