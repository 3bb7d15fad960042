"""The server's half of a round: walk its graph, calling the evaluator, freeing what is not needed any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np

from enclair.compiler.ir.graph import Graph, Node, Value
from enclair.compiler.ir.layouts import encoding_of
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.ir.ops.packed import (
    AddPlain,
    HideUnheld,
    LinearCombination,
    MaskSlots,
    PolynomialCombination,
    SlotCombination,
)
from enclair.runtime.backends.interface import Evaluator
from enclair.runtime.errors import RuntimeFailure, StateError

Batch = TypeVar("Batch")
Observer: TypeAlias = Callable[[Node], None]


def run_server_graph(
    graph: Graph, inputs: dict[str, Batch], evaluator: Evaluator[Batch], observe: Observer | None = None
) -> dict[str, Batch]:
    """The outputs of a server graph by name.

    Args:
        graph: at stage SERVER.
        inputs: a batch for every input of the graph; emptied, so that each is freed once it is not needed any more.
        evaluator: does the operations.
        observe: called after each node.

    Raises:
        StateError: an input is missing.
        RuntimeFailure: the evaluator refused an operation; the message names the node.
    """
    values: dict[str, Any] = {value.name: _input(value, inputs) for value in graph.inputs} | dict(graph.arrays)
    inputs.clear()
    last_use = {arg.name: node for node in graph.nodes for arg in node.args}
    outputs = {value.name for value in graph.outputs}
    for name in {value.name for value in graph.inputs} - set(last_use) - outputs:
        del values[name]
    for node in graph.nodes:
        values[node.out.name] = _run_node(node, [values[arg.name] for arg in node.args], evaluator)
        for name in {arg.name for arg in node.args} - outputs:
            if last_use[name] is node:
                del values[name]
        if observe is not None:
            observe(node)
    return {name: values[name] for name in outputs}


def apply(op: Op, args: list[Any], evaluator: Evaluator[Batch]) -> Batch:
    """One op on ciphertext arrays and constants.

    Raises:
        RuntimeFailure: the op does not work on ciphertexts, or the evaluator refused.
    """
    if isinstance(op, LinearCombination):
        x, gather, weights, scatter = args
        return evaluator.linear_combination(x, gather, weights, scatter, op.outputs)
    if isinstance(op, SlotCombination):
        x, rows, cols, vectors = args
        return evaluator.slot_combination(x, rows, cols, vectors, op.outputs)
    if isinstance(op, PolynomialCombination | PolynomialConvolution):
        return evaluator.polynomial_combination(args[0], *op.polynomials(args[1]), op.blocks, op.chunks)
    if isinstance(op, AddPlain):
        return evaluator.add_vectors(args[0], op.vectors(args[1]), encoding_of(op.layout))
    if isinstance(op, HideUnheld):
        return evaluator.hide(args[0], op.unheld(), encoding_of(op.layout))
    if isinstance(op, MaskSlots):
        masked: Batch = _mask(op, args[0], evaluator)
        return masked
    return _move(op, args, evaluator)


def _mask(op: MaskSlots, x: Batch, evaluator: Evaluator[Batch]) -> Batch:
    numbers, vectors = op.masked()
    each, count = np.arange(len(numbers)), evaluator.count(x)
    masked = evaluator.slot_combination(evaluator.select(x, numbers), each, each, vectors, len(each))
    order = np.arange(count)
    order[numbers] = count + each
    return evaluator.select(evaluator.concat([x, masked]), order)


def _move(op: Op, args: list[Any], evaluator: Evaluator[Batch]) -> Batch:
    if isinstance(op, AddCiphers):
        return evaluator.add(*args)
    if isinstance(op, SubtractCiphers):
        return evaluator.subtract(*args)
    if isinstance(op, ConcatCiphers):
        return evaluator.concat(args)
    if isinstance(op, SelectCiphers):
        return evaluator.select(*args)
    raise RuntimeFailure(f"the server cannot run {op!r}: it does not work on ciphertexts; this is a bug in enclair")


def _run_node(node: Node, args: list[Any], evaluator: Evaluator[Batch]) -> Batch:
    try:
        return apply(node.op, args, evaluator)
    except RuntimeFailure as error:
        where = f" ({node.origin})" if node.origin else ""
        raise type(error)(f"{error}\n  in {node.out}{where}") from error


def _input(value: Value, inputs: Mapping[str, Batch]) -> Batch:
    if value.name not in inputs:
        raise StateError(
            f"{value} is missing: an earlier round of the session should have left it; start a new session"
        )
    return inputs[value.name]
