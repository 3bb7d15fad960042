"""The interpreter in the clear: any graph at any stage, on numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from enclair.compiler.ir.errors import InputError
from enclair.compiler.ir.graph import Array, Graph, Node, Value
from enclair.compiler.ir.types import CkksType, RealSlotsType, TensorType

Observer: TypeAlias = Callable[[Node, tuple[Array, ...], Array], None]


def run(graph: Graph, inputs: Mapping[str, Array], observe: Observer | None = None) -> dict[str, Array]:
    """Execute the graph; returns its outputs by name.

    Reals, real slots and CKKS ciphertexts are float64; fixed point, slots and BFV ciphertexts int64. A value is freed
    after its last use.

    Args:
        graph: at any stage.
        inputs: an array for every input of the graph; others are ignored.
        observe: called after each node with the node, its arguments and its result.

    Raises:
        InputError: an input is missing or has another shape.
    """
    values: dict[str, Array] = {value.name: _checked(value, inputs) for value in graph.inputs}
    values.update(graph.arrays)
    last_use = {arg.name: node for node in graph.nodes for arg in node.args}
    results = {value.name for value in graph.outputs}
    for node in graph.nodes:
        args = tuple(values[arg.name] for arg in node.args)
        values[node.out.name] = result = node.op.evaluate(*args)
        if observe is not None:
            observe(node, args, result)
        for arg in node.args:
            if last_use[arg.name] is node and arg.name not in results:
                values.pop(arg.name, None)
    return {value.name: values[value.name] for value in graph.outputs}


def shape_of(value: Value) -> tuple[int, ...]:
    """The shape of the array that holds a value."""
    type_ = value.type
    return type_.shape if isinstance(type_, TensorType) else (type_.count, type_.slots)


def _checked(value: Value, inputs: Mapping[str, Array]) -> Array:
    if value.name not in inputs:
        raise InputError(f"input {value.name!r} of type {value.type} is missing; got {', '.join(inputs) or 'nothing'}")
    array = np.asarray(inputs[value.name])
    if array.shape != shape_of(value):
        raise InputError(f"input {value.name!r} needs shape {shape_of(value)}, got {array.shape}")
    is_real = isinstance(value.type, RealSlotsType | CkksType) or value.type == TensorType(shape_of(value))
    return np.asarray(array, dtype=np.float64 if is_real else np.int64, order="C")
