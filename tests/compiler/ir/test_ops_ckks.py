"""Ops on CKKS ciphertexts: their meaning in the clear, and what their type rules refuse."""

from __future__ import annotations

import numpy as np
import pytest

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.graph import Builder
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers
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
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.text import parse, print_graph
from enclair.compiler.ir.types import CkksType, RealSlotsType, TensorType, Type, parse_type
from enclair.compiler.ir.verify import verify

X = CkksType(2, 4, 3, 2.0**40)
PRIME = 2**40 + 9


@pytest.mark.parametrize(
    "type_",
    [
        RealSlotsType(3, 4096),
        CkksType(3, 4096),
        X,
        CkksType(1, 8, 0, 1099511627776.123, 3),
        CkksType(1, 8, 2, 1.2345678901234567e25),
    ],
    ids=str,
)
def test_types_read_back(type_: Type) -> None:
    assert parse_type(str(type_)) == type_


def test_linear_transform_is_a_sum_of_rotated_products() -> None:
    builder = Builder("g")
    x = builder.input("x", CkksType(2, 4))
    tables = [
        builder.constant(n, np.array(v), 0) for n, v in zip("rcos", ([0, 0], [0, 1], [0, 3], [0, 1]), strict=True)
    ]
    weights = builder.constant("w", np.array([2.0, 3.0]))
    vectors = builder.constant("v", np.array([[1.0, 1, 1, 1], [1, 0, 0, 0]]))
    graph = builder.build([builder.add(LinearTransform(2), x, *tables, weights, vectors, name="y")])
    verify(graph, Stage.PACKED)
    assert parse(print_graph(graph), graph.arrays) == graph
    given = np.arange(8.0).reshape(2, 4)
    expected = np.array([2 * given[0] + 3 * np.array([given[1, 3], 0, 0, 0]), np.zeros(4)])
    np.testing.assert_array_equal(run(graph, {"x": given})["y"], expected)


def test_rotation_by_r_brings_slot_r_to_the_front() -> None:
    np.testing.assert_array_equal(RotateSlots(1).evaluate(np.array([[1.0, 2, 3, 4]])), [[2, 3, 4, 1]])


def test_levels_and_scales_follow_products() -> None:
    product = MultiplyCiphers().result_type(X, X)
    assert product == CkksType(2, 4, 3, 2.0**80, 3)
    assert Relinearise().result_type(Rescale(PRIME).result_type(product)) == CkksType(2, 4, 2, 2.0**80 / PRIME)
    assert DropToLevel(0).result_type(X).level == 0


def test_sums_allow_scales_that_are_equal_but_for_rounding() -> None:
    other = CkksType(2, 4, 3, 2.0**40 * (1 + 2.0**-45))
    assert AddCiphers().result_type(X, other) == X


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        (Rescale(PRIME), (CkksType(1, 4, 0, 2.0**80),), "needs a level to spend.*compile with more levels"),
        (Rescale(PRIME), (X,), "leaves no scale"),
        (DropToLevel(3), (X,), "needs a higher level"),
        (Relinearise(), (X,), "three parts"),
        (RotateSlots(1), (CkksType(1, 4, 1, 2.0**40, 3),), "two parts.*relinearise first"),
        (RotateSlots(4), (X,), "0 < steps < 4"),
        (MultiplyCiphers(), (X, DropToLevel(1).result_type(X)), "at one level"),
        (AddCiphers(), (X, CkksType(2, 4, 3, 2.0**41)), "two of a kind.*their levels, scales or parts differ"),
        (MultiplyPlain(), (X, TensorType((1, 4))), "both or neither have a scale"),
        (MultiplyPlain(2.0**40), (X, TensorType((3, 4))), "real vectors"),
        (AddPlainVectors(), (X, TensorType((1, 3))), "real vectors"),
        (Polynomial((), -1.0, 1.0), (TensorType((1,)),), "at least one"),
        (Polynomial((1.0,), 1.0, 1.0), (TensorType((1,)),), "low < high"),
    ],
)
def test_type_rules_say_what_is_needed(op: Op, args: tuple[Type, ...], message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        op.result_type(*args)
