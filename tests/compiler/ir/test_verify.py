"""What a graph must keep to, each broken once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from enclair.compiler.ir.errors import VerifyError
from enclair.compiler.ir.graph import Builder, Graph, Node, Place, Value
from enclair.compiler.ir.layouts import SlotSums
from enclair.compiler.ir.ops.activations import Relu, Sigmoid
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.ops.fixed import Quantise, Shift
from enclair.compiler.ir.ops.packed import Pack
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CipherType, TensorType
from enclair.compiler.ir.verify import verify

REAL = TensorType((2,))
FIXED = TensorType((2,), 4)


def graph() -> Graph:
    """relu(x) + w"""
    builder = Builder("net")
    x, w = builder.input("x", REAL), builder.constant("w", np.ones(2))
    return builder.build([builder.add(Add(), builder.add(Relu(), x, name="y"), w, name="z")])


def one_node(op: object, *types: object, place: Place | None = None) -> Graph:
    builder = Builder("net")
    args = [builder.input(f"x{number}", type_) for number, type_ in enumerate(types)]  # type: ignore[arg-type]
    return builder.build([builder.add(op, *args, name="y", place=place)])  # type: ignore[arg-type]


def test_a_right_graph_passes() -> None:
    verify(graph(), Stage.TENSOR)


def broken(**changes: object) -> Graph:
    return replace(graph(), **changes)  # type: ignore[arg-type]


def renamed(node: Node, **changes: object) -> Node:
    return replace(node, **changes)  # type: ignore[arg-type]


relu, add = graph().nodes
X, W, Y, Z = Value("x", REAL), Value("w", REAL), Value("y", REAL), Value("z", REAL)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (broken(inputs=(X, X)), "an input or constant name is used twice"),
        (broken(inputs=(X, W)), "an input or constant name is used twice"),
        (broken(arrays={}), "%w lacks its array of real<2>"),
        (broken(arrays={"w": np.ones(3)}), "%w lacks its array of real<2>"),
        (broken(arrays={"w": np.ones(2, dtype=np.int64)}), "%w lacks its array of real<2>"),
        (broken(nodes=(add, relu)), "%y used before it is defined, or with another type\n  in  %z"),
        (
            broken(nodes=(relu, renamed(add, args=(Value("y", FIXED), W)))),
            "%y used before it is defined, or with another",
        ),
        (broken(nodes=(relu, renamed(add, out=Y))), "%y is defined twice"),
        (broken(nodes=(renamed(relu, out=X), add)), "%x is defined twice"),
        (broken(nodes=(relu, renamed(add, out=Value("z", TensorType((3,)))))), "result should be real<2>\n  in  %z"),
        (broken(outputs=(Value("q", REAL),)), "output %q is not a value of the graph"),
        (broken(outputs=(Value("z", FIXED),)), "output %z is not a value of the graph"),
        (broken(nodes=(relu, renamed(add, args=(Y,)))), "Add needs 2 arguments, got 1"),
    ],
)
def test_a_broken_rule_is_named(wrong: Graph, message: str) -> None:
    with pytest.raises(VerifyError, match=message) as caught:
        verify(wrong, Stage.TENSOR)
    assert str(wrong) in str(caught.value)


SERVER, CLIENT = Place("server", 1), Place("client", 1)
LAYOUT = SlotSums((1, 2), 1, 1, 4)
PACKED = TensorType((1, 2), 4)
CIPHER = CipherType(1, 4, 0)


@pytest.mark.parametrize(
    ("wrong", "stage", "message"),
    [
        (one_node(Quantise(3, -8, 7), REAL), Stage.TENSOR, "Quantise may not occur in a graph of tensors of reals"),
        (one_node(Pack(LAYOUT), PACKED), Stage.TENSOR, "Pack may not occur"),
        (one_node(AddCiphers(), CIPHER, CIPHER), Stage.TENSOR, "AddCiphers may not occur"),
        (one_node(Relu(), REAL), Stage.PLACED, "%y has no place: run PlaceOps first"),
        (one_node(Shift(1), FIXED, place=SERVER), Stage.PLACED, "Shift may not occur"),
        (one_node(Relu(), FIXED), Stage.FIXED, "%y has no place: run PlaceOps first"),
        (one_node(Pack(LAYOUT), PACKED, place=CLIENT), Stage.FIXED, "Pack may not occur"),
        (
            one_node(Add(), REAL, REAL, place=SERVER),
            Stage.FIXED,
            "the server computes on integers only: run ToFixedPoint",
        ),
        (one_node(AddCiphers(), CIPHER, CIPHER), Stage.CLIENT, "AddCiphers may not occur in .* what the client does"),
        (one_node(Add(), FIXED, FIXED), Stage.SERVER, "Add does not work on ciphertexts: pack the graph first"),
    ],
)
def test_an_op_out_of_its_stage_is_named(wrong: Graph, stage: Stage, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        verify(wrong, stage)


@pytest.mark.parametrize(
    ("right", "stage"),
    [
        (one_node(Sigmoid(), REAL, place=CLIENT), Stage.PLACED),
        (one_node(Sigmoid(), REAL, place=CLIENT), Stage.FIXED),
        (one_node(Add(), FIXED, FIXED, place=SERVER), Stage.FIXED),
        (one_node(Pack(LAYOUT), PACKED), Stage.CLIENT),
        (one_node(AddCiphers(), CIPHER, CIPHER), Stage.SERVER),
    ],
)
def test_an_op_in_its_stage_passes(right: Graph, stage: Stage) -> None:
    verify(right, stage)
