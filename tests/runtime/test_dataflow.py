"""The executor for LEVELED graphs: the same on any number of threads, frees what is not needed, names what failed."""

from __future__ import annotations

import time
from threading import Lock
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ckks_graphs import inputs_of, packed_graphs, parameters_for

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.ckks import LinearTransform, RotateSlots
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.runtime.backends.ckks_clear import CkksClearEvaluator
from enclair.runtime.dataflow import prepare, priorities, run_dataflow
from enclair.runtime.errors import StateError, ValueRangeError
from enclair.runtime.limbs.workers import computing, cores, parallel_map, workers

SLOTS = 16
PARAMETERS = CkksParameters(2 * SLOTS, 1, 40, 50, 2, INSECURE)


def fan(width: int) -> Graph:
    """Rotations of one input, all added."""
    b = Builder("fan")
    x = b.input("x", CkksType(1, SLOTS, 0, 2.0**40))
    total = x
    for steps in range(1, width + 1):
        total = b.add(AddCiphers(), total, b.add(RotateSlots(steps), x, name=f"r{steps}", origin=f"line {steps}"))
    return b.build([total])


@given(packed_graphs(most=8), st.integers(1, 4))
def test_as_in_the_clear_on_any_number_of_threads(graph: Graph, threads: int) -> None:
    expanded = ExpandPolynomials()(graph)
    parameters = parameters_for(expanded)
    leveled = PlaceLevels(parameters)(expanded)
    evaluator, inputs, seen = CkksClearEvaluator(parameters), inputs_of(graph), []
    batches: dict[str, Any] = dict(inputs)
    prepared = prepare(leveled, evaluator)
    got = run_dataflow(leveled, batches, evaluator, threads=threads, observe=seen.append, prepared=prepared)
    want = run(leveled, inputs)
    assert got.keys() == want.keys()
    assert all(np.array_equal(got[name], want[name]) for name in want)
    assert not batches
    assert {node.out.name for node in seen} == {node.out.name for node in leveled.nodes}


def test_one_thread_keeps_the_order_of_the_graph() -> None:
    graph, seen = fan(8), []
    run_dataflow(graph, inputs_of(graph), CkksClearEvaluator(PARAMETERS), threads=1, observe=seen.append)
    assert tuple(seen) == graph.nodes


class Counting(CkksClearEvaluator):
    """Counts what runs at once, and what is alive."""

    def __init__(self) -> None:
        super().__init__(PARAMETERS)
        self.lock, self.running, self.most = Lock(), 0, 0

    def rotate(self, x: Any, steps: int) -> Any:
        parallel_map(self._busy, range(4))
        return super().rotate(x, steps)

    def _busy(self, _: int) -> None:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.002)
        with self.lock:
            self.running -= 1


@pytest.mark.parametrize("threads", [2, 5])
def test_no_more_threads_compute_than_there_are_cores(threads: int) -> None:
    graph, evaluator = fan(8), Counting()
    run_dataflow(graph, inputs_of(graph), evaluator, threads=threads)
    assert 1 <= evaluator.most <= cores()


def test_helpers_keep_results_in_order_and_raise_what_failed() -> None:
    def squares() -> list[int]:
        with computing():
            return parallel_map(lambda i: i * i, range(20))

    def fails() -> list[float]:
        with computing():
            return parallel_map(lambda i: 1 / (i - 5), range(20))

    assert workers(2).submit(squares).result() == [i * i for i in range(20)]
    with pytest.raises(ZeroDivisionError):
        workers(2).submit(fails).result()
    assert workers(2).submit(squares).result() == [i * i for i in range(20)]


class Refusing(CkksClearEvaluator):
    """Rotates by no more than three."""

    def rotate(self, x: Any, steps: int) -> Any:
        if steps > 3:
            raise ValueRangeError(f"{steps} steps are too many")
        return super().rotate(x, steps)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_refusal_names_the_node_and_where_it_comes_from(threads: int) -> None:
    graph = fan(4)
    with pytest.raises(ValueRangeError, match=r"4 steps are too many\n  in %r4 \(line 4\)"):
        run_dataflow(graph, inputs_of(graph), Refusing(PARAMETERS), threads=threads)


def test_a_missing_input_is_named() -> None:
    with pytest.raises(StateError, match="%x is missing: an earlier round"):
        run_dataflow(fan(2), {}, CkksClearEvaluator(PARAMETERS))


def test_the_longest_way_goes_first() -> None:
    graph = fan(2)
    names = [node.out.name for node in graph.nodes]
    assert dict(zip(names, priorities(graph, {"r2": 10.0}), strict=True)) == {
        "r1": 3.0, "addciphers": 2.0, "r2": 11.0, "addciphers.1": 1.0
    }  # fmt: skip


class Tracking(CkksClearEvaluator):
    """Counts the rotated batches that are alive."""

    def __init__(self) -> None:
        super().__init__(PARAMETERS)
        self.alive: WeakSet[Any] = WeakSet()
        self.most = 0

    def rotate(self, x: Any, steps: int) -> Any:
        batch = Holder(super().rotate(x, steps))
        self.alive.add(batch)
        self.most = max(self.most, len(self.alive))
        return batch

    def add(self, x: Any, y: Any) -> Any:
        return super().add(x, y.rows)


class Holder:
    """A batch that can be counted."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows


def test_operands_are_freed_at_their_last_use() -> None:
    b = Builder("chain")
    x = b.input("x", CkksType(1, SLOTS, 0, 2.0**40))
    total = x
    for steps in range(1, 7):
        total = b.add(AddCiphers(), total, b.add(RotateSlots(steps), x))
    graph, evaluator = b.build([total]), Tracking()
    run_dataflow(graph, inputs_of(graph), evaluator, threads=1)
    assert evaluator.most == 1


def test_linear_transforms_are_prepared_by_name() -> None:
    b = Builder("layer")
    x = b.input("x", CkksType(1, SLOTS, 1, 2.0**40))
    tables = [b.constant("t", np.zeros(1, dtype=np.int64), 0) for _ in range(4)]
    y = b.add(LinearTransform(1, 0, 2.0**40), x, *tables, b.constant("w", np.ones(1)), b.constant("v", np.ones((1, 1))))
    assert prepare(b.build([y]), CkksClearEvaluator(PARAMETERS)) == {y.name: None}
