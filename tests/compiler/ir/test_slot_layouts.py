"""Layouts of reals in slots: where elements are, views, and copies."""

from __future__ import annotations

import numpy as np
import pytest

from enclair.compiler.ir.ops.ckks import PackReals, UnpackReals
from enclair.compiler.ir.slot_layouts import Rotated, Skewed, SlotAxis, Slotted
from enclair.compiler.ir.text import parse_op

ROWS = Slotted((2, 3), (SlotAxis(2, 3, ((2, 4, 0),)), SlotAxis(3, 1, ((3, 1, 0),))), 0, 8, 16)


def test_index_repeats_with_the_period() -> None:
    one = [0, 1, 2, -1, 3, 4, 5, -1]
    assert ROWS.index().tolist() == [one + one]


def test_an_offset_wraps_around() -> None:
    moved = Slotted(ROWS.shape, ROWS.axes, 6, 8, 8)
    assert moved.index().tolist() == [[2, -1, 3, 4, 5, -1, 0, 1]]


def test_digits_go_over_ciphertexts() -> None:
    layout = Slotted((5,), (SlotAxis(5, 1, ((3, 0, 1), (2, 2, 0))),), 0, 4, 4)
    assert layout.count == 3
    assert layout.index().tolist() == [[0, -1, 1, -1], [2, -1, 3, -1], [4, -1, -1, -1]]


def test_packed_tensors_come_back_from_any_copy() -> None:
    x = np.arange(6.0).reshape(2, 3)
    for layout in (ROWS, Skewed(ROWS, 2), Rotated(ROWS, (0, 3)), Rotated(Skewed(ROWS, 1), (5,))):
        np.testing.assert_array_equal(UnpackReals(layout).evaluate(PackReals(layout).evaluate(x)), x)


def test_copies_of_a_client_are_rotations() -> None:
    base = ROWS.index()
    np.testing.assert_array_equal(Rotated(ROWS, (0, 3)).index(), np.concatenate([base, np.roll(base, -3, axis=1)]))
    skewed = Skewed(ROWS, 2).index()
    np.testing.assert_array_equal(skewed[:, :8], base[:, :8])
    np.testing.assert_array_equal(skewed[:, 8:], np.roll(base[:, :8], -2, axis=1))


@pytest.mark.parametrize("split", [(6,), (2, 3), (1, 2, 1, 3)])
def test_positions_add_up_along_any_split(split: tuple[int, ...]) -> None:
    layout = Slotted((6,), (SlotAxis(6, 1, ((6, 2, 0),)),), 1, 16, 16)
    groups = layout.along(split)
    assert groups is not None
    total = np.zeros(1, dtype=np.int64)
    for _, slots in groups:
        total = np.add.outer(total, slots).reshape(-1)
    np.testing.assert_array_equal(total, layout.positions()[1])


def test_an_axis_that_straddles_has_no_positions_along_a_split() -> None:
    layout = Slotted((6,), (SlotAxis(6, 1, ((2, 8, 0), (3, 1, 0))),), 0, 16, 16)
    assert layout.along((3, 2)) is None
    assert layout.along((2, 3)) is not None


def test_a_transpose_stays_in_place() -> None:
    new = np.arange(6).reshape(3, 2).T.reshape(-1)
    turned = ROWS.reordered((2, 3), (3, 2), new)
    assert turned is not None
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(UnpackReals(turned).evaluate(PackReals(ROWS).evaluate(x)), x.T)


def test_a_reordering_within_axes_does_not() -> None:
    assert ROWS.reordered((2, 3), (6,), np.array([0, 2, 1, 3, 4, 5])) is None


def test_axes_that_do_not_enumerate_the_tensor_are_told() -> None:
    layout = Slotted((6,), (SlotAxis(6, 1, ((2, 8, 0), (3, 1, 0))), SlotAxis(2, 3, ((2, 4, 0),))), 0, 16, 16)
    with pytest.raises(ValueError, match=r"do not enumerate a tensor of shape \(6,\)"):
        layout.positions()


@pytest.mark.parametrize("layout", [ROWS, Skewed(ROWS, 2), Rotated(ROWS, (0, 3))])
def test_print_is_parse(layout: Slotted | Skewed | Rotated) -> None:
    assert parse_op(repr(PackReals(layout))) == PackReals(layout)
