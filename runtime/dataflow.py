"""The server's half of a round on CKKS: nodes run as soon as their arguments are there, on several threads.

Of the nodes that are ready the one with the longest way to an output goes first. Operands are freed at their last use.
Threads share a budget with those that evaluators use inside an operation (``limbs.workers``): no more of them compute
than there are cores.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Condition
from typing import Any, Generic, TypeAlias, TypeVar

from enclair.compiler.ir.graph import Graph, Node, Value
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    DropToLevel,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    Relinearise,
    Rescale,
    RotateSlots,
)
from enclair.compiler.ir.types import CkksType
from enclair.runtime.backends.ckks_interface import CkksEvaluator
from enclair.runtime.errors import RuntimeFailure, StateError
from enclair.runtime.limbs.workers import computing, cores, workers

Batch = TypeVar("Batch")
Prepared = TypeVar("Prepared")
Observer: TypeAlias = Callable[[Node], None]
Record: TypeAlias = Callable[[Node, Any], None]


def run_dataflow(
    graph: Graph,
    inputs: dict[str, Batch],
    evaluator: CkksEvaluator[Batch, Prepared],
    *,
    threads: int | None = None,
    observe: Observer | None = None,
    record: Record | None = None,
    costs: Mapping[str, float] | None = None,
    prepared: Mapping[str, Prepared] | None = None,
) -> dict[str, Batch]:
    """The outputs of a server graph by name.

    Args:
        graph: at stage LEVELED.
        inputs: a batch for every input of the graph; emptied, so that each is freed once it is not needed any more.
        evaluator: does the operations.
        threads: that run nodes; as many as there are cores if not given. One runs them in the graph's order.
        observe: called after each node, by one thread at a time.
        record: called with each node and its result, likewise.
        costs: of nodes, by the name of their result, in any unit; all the same if not given.
        prepared: what ``prepare`` made.

    Raises:
        StateError: an input is missing.
        RuntimeFailure: the evaluator refused an operation; the message names the node.
    """
    run = _Run(graph, inputs, evaluator, observe, record, prepared or {})
    most = min(cores() if threads is None else threads, max(len(graph.nodes), 1))
    if most == 1:
        for number in range(len(graph.nodes)):
            run.finish(number, run.compute(number))
    else:
        run.start(priorities(graph, costs or {}))
        for future in [workers(most).submit(run.work) for _ in range(most)]:
            future.result()
    return run.outputs()


def prepare(graph: Graph, evaluator: CkksEvaluator[Batch, Prepared]) -> dict[str, Prepared]:
    """What the evaluator makes of the tables of linear transforms beforehand, by the name of their results."""
    return {
        node.out.name: evaluator.prepare_linear_transform(
            node.args[0].type, node.op, *(graph.constant(arg) for arg in node.args[1:])
        )
        for node in graph.nodes
        if isinstance(node.op, LinearTransform) and isinstance(node.args[0].type, CkksType)
    }


def priorities(graph: Graph, costs: Mapping[str, float]) -> list[float]:
    """Of each node: the cost of the longest way from it to an output, its own included."""
    after: dict[str, float] = {}
    found = [0.0] * len(graph.nodes)
    for number in reversed(range(len(graph.nodes))):
        node = graph.nodes[number]
        found[number] = costs.get(node.out.name, 1.0) + after.get(node.out.name, 0.0)
        for arg in node.args:
            after[arg.name] = max(after.get(arg.name, 0.0), found[number])
    return found


def apply(
    op: Op, args: list[Any], evaluator: CkksEvaluator[Batch, Prepared], prepared: Prepared | None = None
) -> Batch:
    """One op on ciphertext arrays and constants.

    Raises:
        RuntimeFailure: the op does not work on CKKS ciphertexts, or the evaluator refused.
    """
    if isinstance(op, LinearTransform):
        x, rows, cols, rotations, which, weights, vectors = args
        return evaluator.linear_transform(x, op, rows, cols, rotations, which, weights, vectors, prepared)
    if isinstance(op, RotateSlots):
        return evaluator.rotate(args[0], op.steps)
    if isinstance(op, MultiplyCiphers):
        return evaluator.multiply(*args)
    if isinstance(op, MultiplyPlain) and op.plain_scale is not None:
        return evaluator.multiply_plain(args[0], args[1], op.plain_scale)
    if isinstance(op, AddPlainVectors):
        return evaluator.add_plain(*args)
    if isinstance(op, Relinearise):
        return evaluator.relinearise(*args)
    if isinstance(op, Rescale):
        return evaluator.rescale(*args)
    if isinstance(op, DropToLevel):
        return evaluator.drop(args[0], op.level)
    return _move(op, args, evaluator)


def _move(op: Op, args: list[Any], evaluator: CkksEvaluator[Batch, Prepared]) -> Batch:
    if isinstance(op, AddCiphers):
        return evaluator.add(*args)
    if isinstance(op, SubtractCiphers):
        return evaluator.subtract(*args)
    if isinstance(op, ConcatCiphers):
        return evaluator.concat(args)
    if isinstance(op, SelectCiphers):
        return evaluator.select(*args)
    raise RuntimeFailure(f"the server cannot run {op!r} on CKKS ciphertexts; this is a bug in enclair")


class _Run(Generic[Batch, Prepared]):
    """One execution: values that are there, how many uses each still has, and nodes that are ready."""

    def __init__(
        self,
        graph: Graph,
        inputs: dict[str, Batch],
        evaluator: CkksEvaluator[Batch, Prepared],
        observe: Observer | None,
        record: Record | None,
        prepared: Mapping[str, Prepared],
    ) -> None:
        self.graph, self.evaluator, self.prepared = graph, evaluator, prepared
        self.observe, self.record = observe, record
        self.uses = Counter(name for node in graph.nodes for name in _names(node))
        self.uses.update(dict.fromkeys((value.name for value in graph.outputs), 1))
        given = {value.name: _input(value, inputs) for value in graph.inputs}
        inputs.clear()
        self.values: dict[str, Any] = {name: batch for name, batch in given.items() if self.uses[name]}
        self.values |= graph.arrays
        self.changed = Condition()
        self.left = len(graph.nodes)
        self.ready: list[tuple[float, int]] = []
        self.failure: BaseException | None = None

    def start(self, priority: list[float]) -> None:
        """Queue the nodes whose arguments are there."""
        self.priority = priority
        made = {node.out.name for node in self.graph.nodes}
        self.waiting = [sum(name in made for name in _names(node)) for node in self.graph.nodes]
        self.readers: dict[str, list[int]] = {}
        for number, node in enumerate(self.graph.nodes):
            for name in _names(node):
                self.readers.setdefault(name, []).append(number)
            if not self.waiting[number]:
                heapq.heappush(self.ready, (-priority[number], number))

    def work(self) -> None:
        """Run nodes until none is left, or one has failed."""
        while (number := self._next()) is not None:
            try:
                with computing():
                    result = self.compute(number)
                with self.changed:
                    self.finish(number, result)
                    self._queue(number)
            except BaseException as error:
                self._fail(error)
                raise
            del result

    def compute(self, number: int) -> Batch:
        """The result of a node."""
        node = self.graph.nodes[number]
        try:
            args = [self.values[arg.name] for arg in node.args]
            return apply(node.op, args, self.evaluator, self.prepared.get(node.out.name))
        except RuntimeFailure as error:
            where = f" ({node.origin})" if node.origin else ""
            raise type(error)(f"{error}\n  in {node.out}{where}") from error

    def finish(self, number: int, result: Batch) -> None:
        """Keep a result while it is needed, and free what is not needed any more."""
        node = self.graph.nodes[number]
        self.values[node.out.name] = result
        for name in _names(node):
            self.uses[name] -= 1
            if not self.uses[name]:
                del self.values[name]
        if self.record is not None:
            self.record(node, result)
        if self.observe is not None:
            self.observe(node)

    def outputs(self) -> dict[str, Batch]:
        """By name."""
        return {value.name: self.values[value.name] for value in self.graph.outputs}

    def _next(self) -> int | None:
        with self.changed:
            self.changed.wait_for(lambda: self.ready or not self.left or self.failure is not None)
            if not self.ready or self.failure is not None:
                return None
            self.left -= 1
            if not self.left:
                self.changed.notify_all()
            return heapq.heappop(self.ready)[1]

    def _queue(self, number: int) -> None:
        """The nodes that only waited for this one are ready."""
        for reader in self.readers.get(self.graph.nodes[number].out.name, []):
            self.waiting[reader] -= 1
            if not self.waiting[reader]:
                heapq.heappush(self.ready, (-self.priority[reader], reader))
        self.changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self.changed:
            self.failure = self.failure or error
            self.changed.notify_all()


def _names(node: Node) -> list[str]:
    """Of the arguments, each once."""
    return list(dict.fromkeys(arg.name for arg in node.args))


def _input(value: Value, inputs: Mapping[str, Batch]) -> Batch:
    if value.name not in inputs:
        raise StateError(
            f"{value} is missing: an earlier round of the session should have left it; start a new session"
        )
    return inputs[value.name]
