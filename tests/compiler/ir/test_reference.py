"""The interpreter in the clear: what it takes, what it gives, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from enclair.compiler.ir.errors import InputError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CipherType, TensorType, Type


def doubled_relu(type_: Type) -> Graph:
    builder = Builder("net")
    y = builder.add(Relu(), builder.input("x", type_), name="y")
    return builder.build([builder.add(Add(), y, y, name="z"), y])


def test_outputs_come_by_name_as_float64() -> None:
    found = run(doubled_relu(TensorType((2,))), {"x": np.array([-1, 2], dtype=np.float32)})
    assert {name: array.tolist() for name, array in found.items()} == {"z": [0.0, 4.0], "y": [0.0, 2.0]}
    assert {array.dtype for array in found.values()} == {np.dtype(np.float64)}


def test_fixed_point_and_ciphertexts_are_int64() -> None:
    assert run(doubled_relu(TensorType((1,), 3)), {"x": np.array([5])})["z"].dtype == np.int64
    builder = Builder("net")
    x = builder.input("x", CipherType(1, 2, 0))
    graph = builder.build([builder.add(AddCiphers(), x, x, name="y")])
    assert run(graph, {"x": np.array([[1, -2]])})["y"].tolist() == [[2, -4]]


def test_an_observer_sees_every_node_with_its_arguments() -> None:
    seen: list[tuple[str, int, float]] = []

    def observe(node: Node, args: tuple[Array, ...], result: Array) -> None:
        seen.append((node.out.name, len(args), float(result.sum())))

    run(doubled_relu(TensorType((2,))), {"x": np.array([1.0, 2.0])}, observe)
    assert seen == [("y", 1, 3.0), ("z", 2, 6.0)]


def test_inputs_and_constants_may_be_outputs() -> None:
    builder = Builder("net")
    x, w = builder.input("x", TensorType((1,))), builder.constant("w", np.ones(1))
    graph = builder.build([x, w, builder.add(Add(), x, w, name="y")])
    found = run(graph, {"x": np.array([2.0]), "other": np.array([9.0])})
    assert {name: float(array[0]) for name, array in found.items()} == {"x": 2.0, "w": 1.0, "y": 3.0}


def test_a_missing_input_is_named_with_what_came() -> None:
    graph = doubled_relu(TensorType((2,)))
    with pytest.raises(InputError, match="input 'x' of type real<2> is missing; got a, b"):
        run(graph, {"a": np.ones(2), "b": np.ones(2)})
    with pytest.raises(InputError, match="is missing; got nothing"):
        run(graph, {})


def test_a_wrong_shape_is_named_with_the_right_one() -> None:
    with pytest.raises(InputError, match=r"input 'x' needs shape \(2,\), got \(3,\)"):
        run(doubled_relu(TensorType((2,))), {"x": np.ones(3)})
    builder = Builder("net")
    graph = builder.build([builder.input("c", CipherType(2, 4, 0))])
    with pytest.raises(InputError, match=r"input 'c' needs shape \(2, 4\), got \(8,\)"):
        run(graph, {"c": np.ones(8)})
