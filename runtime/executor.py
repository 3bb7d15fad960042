"""The server's half of a round: walk its graph, calling the evaluator, freeing what is not needed any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np

from enclair.compiler.ir.graph import Array, Graph, Node, Value
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.packed import (
    AddCiphers,
    AddPlain,
    ConcatCiphers,
    LinearCombination,
    MaskSlots,
    SelectCiphers,
    SlotCombination,
    SubtractCiphers,
)
from enclair.runtime.backends.interface import Evaluator
from enclair.runtime.errors import RuntimeFailure, StateError

Cipher = TypeVar("Cipher")
Ciphers: TypeAlias = list[Cipher]
Observer: TypeAlias = Callable[[Node], None]


def run_server_graph(
    graph: Graph, inputs: Mapping[str, Ciphers[Cipher]], evaluator: Evaluator[Cipher], observe: Observer | None = None
) -> dict[str, Ciphers[Cipher]]:
    """The outputs of a server graph by name.

    Args:
        graph: at stage SERVER.
        inputs: a ciphertext array for every input of the graph.
        evaluator: does the operations.
        observe: called after each node.

    Raises:
        StateError: an input is missing.
        RuntimeFailure: the evaluator refused an operation; the message names the node.
    """
    values: dict[str, Any] = {value.name: _input(value, inputs) for value in graph.inputs} | dict(graph.arrays)
    last_use = {arg.name: node for node in graph.nodes for arg in node.args}
    outputs = {value.name for value in graph.outputs}
    for node in graph.nodes:
        values[node.out.name] = _run_node(node, [values[arg.name] for arg in node.args], evaluator)
        for name in {arg.name for arg in node.args} - outputs:
            if last_use[name] is node:
                del values[name]
        if observe is not None:
            observe(node)
    return {name: values[name] for name in outputs}


def apply(op: Op, args: list[Any], evaluator: Evaluator[Cipher]) -> Ciphers[Cipher]:
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
    if isinstance(op, AddPlain):
        return evaluator.add_vectors(args[0], op.vectors(args[1]))
    if isinstance(op, MaskSlots):
        return _mask(op, args[0], evaluator)
    if isinstance(op, AddCiphers):
        return evaluator.add(*args)
    if isinstance(op, SubtractCiphers):
        return evaluator.subtract(*args)
    return _rearrange(op, args)


def _mask(op: MaskSlots, x: Ciphers[Cipher], evaluator: Evaluator[Cipher]) -> Ciphers[Cipher]:
    numbers, vectors = op.masked()
    each = np.arange(len(numbers))
    masked = evaluator.slot_combination([x[number] for number in numbers], each, each, vectors, len(each))
    replaced = dict(zip(numbers.tolist(), masked, strict=True))
    return [replaced.get(number, cipher) for number, cipher in enumerate(x)]


def _rearrange(op: Op, args: list[Any]) -> Ciphers[Cipher]:
    if isinstance(op, ConcatCiphers):
        return [cipher for ciphers in args for cipher in ciphers]
    if isinstance(op, SelectCiphers):
        ciphers, numbers = args
        return [ciphers[number] for number in numbers.tolist()]
    raise RuntimeFailure(f"the server cannot run {op!r}: it does not work on ciphertexts; this is a bug in enclair")


def _run_node(node: Node, args: list[Ciphers[Cipher] | Array], evaluator: Evaluator[Cipher]) -> Ciphers[Cipher]:
    try:
        return apply(node.op, args, evaluator)
    except RuntimeFailure as error:
        where = f" ({node.origin})" if node.origin else ""
        raise type(error)(f"{error}\n  in {node.out}{where}") from error


def _input(value: Value, inputs: Mapping[str, Ciphers[Cipher]]) -> Ciphers[Cipher]:
    if value.name not in inputs:
        raise StateError(
            f"{value} is missing: an earlier round of the session should have left it; start a new session"
        )
    return inputs[value.name]
