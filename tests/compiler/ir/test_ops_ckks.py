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


def apart(plain_scale: float | None, weight_scale: float | None, slots: int = 4) -> CkksType:
    table, weights = TensorType((2,), 0), TensorType((2,))
    op = LinearTransform(1, plain_scale=plain_scale, weight_scale=weight_scale)
    return op.result_type(X, table, table, table, table, weights, TensorType((1, slots)))


def test_weights_and_vectors_divide_a_scale_between_them() -> None:
    assert apart(2.0**40, 2.0**16) == apart(2.0**40, None)
    builder = Builder("g")
    x = builder.input("x", X)
    tables = [builder.constant("t", np.zeros(1, dtype=np.int64), 0) for _ in range(4)]
    args = (builder.constant("w", np.array([0.3])), builder.constant("v", np.array([[1.0, 0, 1, 1]])))
    outs = [builder.add(LinearTransform(1, 2, 2.0**40, scale), x, *tables, *args) for scale in (None, 2.0**16)]
    graph = builder.build(outs)
    assert "weight_scale=65536.0" in print_graph(graph)
    assert parse(print_graph(graph), graph.arrays) == graph
    together, divided = run(graph, {"x": np.arange(8.0).reshape(2, 4)}).values()
    np.testing.assert_array_equal(divided, together)


@pytest.mark.parametrize("scale", [0.0, -4.0, 1.0, 3.0, 2.0**40, 2.0**41, float("nan"), float("inf")])
def test_a_weight_scale_is_a_power_of_two_below_the_scale(scale: float) -> None:
    with pytest.raises(
        TypeRuleError, match=r"a power of two between 1 and its plain_scale, got .* of 1099511627776.0:"
    ):
        apart(2.0**40, scale)


def test_a_weight_scale_needs_levels_and_vectors_of_all_slots() -> None:
    table = TensorType((2,), 0)
    args = (CkksType(2, 4), table, table, table, table, TensorType((2,)), TensorType((1, 4)))
    with pytest.raises(TypeRuleError, match=r"got 4.0 of None: leave it out, or place levels first"):
        LinearTransform(1, weight_scale=4.0).result_type(*args)
    with pytest.raises(TypeRuleError, match=r"needs vectors of all slots, got .*: leave weight_scale out"):
        apart(2.0**40, 2.0**16, slots=1)


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
