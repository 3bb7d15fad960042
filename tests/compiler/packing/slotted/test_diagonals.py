"""Linear maps between layouts: tables that do what the map does, and how many rotations they take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ir.ops.ckks import LinearTransform, PackReals, UnpackReals
from enclair.compiler.ir.slot_layouts import Skewed, SlotAxis, Slotted
from enclair.compiler.packing.slotted.diagonals import Diagonals, Transform
from enclair.compiler.packing.slotted.maps import LinearMap, matrix
from enclair.compiler.packing.slotted.periods import periods
from enclair.compiler.packing.slotted.placements import ordered
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts, choose_baby_steps, count_steps
from enclair.compiler.packing.slotted.window_sums import window_sums


def vector(extent: int, stride: int, period: int, slots: int, offset: int = 0) -> Slotted:
    return Slotted((extent,), (SlotAxis(extent, 1, ((extent, stride, 0),)),), offset, period, slots)


def dense(outputs: int, inputs: int, seed: int = 0) -> LinearMap:
    weights = np.random.default_rng(seed).normal(size=(outputs, inputs))
    return LinearMap((inputs,), (outputs,), ((matrix(weights),),))


def transformed(tables: Diagonals, outputs: int, x: np.ndarray) -> np.ndarray:
    arguments = (tables.rows, tables.cols, tables.rotations, tables.which, tables.weights, tables.vectors)
    return np.asarray(LinearTransform(outputs).evaluate(x, *arguments))


def check(map_: LinearMap, source: Slotted | Skewed, target: Slotted) -> Transform:
    found = periods(source, target)
    assert found is not None
    transform = Transform(map_, source, target, found)
    x = np.random.default_rng(1).normal(size=map_.shape_in)
    result = transformed(transform.diagonals(), target.count, PackReals(source).evaluate(x))
    for steps in found.sums:
        result = result + np.roll(result, -steps, axis=1)
    want = PackReals(target).evaluate(map_.apply(x))
    np.testing.assert_allclose(result, want, atol=1e-12)
    keys, tables = transform.keys(), transform.diagonals()
    written = np.unique(np.stack([tables.rows, tables.cols, tables.rotations]), axis=1)
    np.testing.assert_array_equal(np.stack([keys.rows, keys.cols, keys.rotations]), written)
    return transform


@given(
    inputs=st.integers(1, 8), outputs=st.integers(1, 8), offset=st.integers(0, 31),
    source_period=st.sampled_from([8, 16, 32]), target_period=st.sampled_from([8, 16, 32]),
)  # fmt: skip
def test_dense_maps(inputs: int, outputs: int, offset: int, source_period: int, target_period: int) -> None:
    source = vector(inputs, 1, source_period, 32)
    check(dense(outputs, inputs), source, vector(outputs, 1, target_period, 32, offset % target_period))


@pytest.mark.parametrize(("shift", "rotations"), [(1, 1), (2, 2), (4, 4)])
def test_skewed_copies_leave_fewer_rotations(shift: int, rotations: int) -> None:
    source = Skewed(vector(16, 1, 16, 64), shift)
    transform = check(dense(4, 16), source, vector(4, 1, 4, 64))
    assert np.unique(transform.keys().rotations).size == rotations


def test_a_skew_that_does_not_meet_all_diagonals_has_no_form() -> None:
    assert periods(Skewed(vector(16, 1, 16, 64), 1), vector(16, 1, 16, 64)) is None


def test_periods_that_are_no_powers_of_two_apart_have_no_form() -> None:
    assert periods(vector(4, 1, 24, 48), vector(4, 1, 8, 48)) is None


def test_folding_needs_no_more_rotations_than_results() -> None:
    transform = check(dense(4, 64), vector(64, 1, 64, 64), vector(4, 1, 4, 64))
    assert np.unique(transform.keys().rotations).size == 4
    assert transform.periods.sums == (4, 8, 16, 32)


@given(count=st.integers(1, 5), slots=st.sampled_from([8, 16]))
def test_several_ciphertexts(count: int, slots: int) -> None:
    source, target = ordered((count * 5,), (0,), slots, padded=True), ordered((7,), (0,), slots, padded=True)
    assert source is not None
    assert target is not None
    check(dense(7, count * 5), replace(source, period=slots), replace(target, period=slots))


def test_an_empty_map_is_one_zero_term() -> None:
    tables = check_zero()
    assert tables.rows.tolist() == [0]
    assert not tables.vectors.any()


def check_zero() -> Diagonals:
    source, zero = vector(4, 1, 4, 8), LinearMap((4,), (4,), ((matrix(np.zeros((4, 4))),),))
    found = periods(source, source)
    assert found is not None
    return Transform(zero, source, source, found).diagonals()


def test_baby_and_giant_steps_share_rotations() -> None:
    rotations = np.arange(64)
    zeros = np.zeros(64, dtype=np.int64)
    baby_steps, steps = choose_baby_steps(zeros, zeros, rotations, 1024, RotationCosts())
    assert baby_steps in {16, 32}
    assert (steps.babies, steps.giants) == (baby_steps - 1, 64 // baby_steps - 1)
    assert count_steps(zeros, zeros, rotations, 0, 1024).babies == 63


def test_costs_grow_with_ring_and_limbs() -> None:
    costs = RotationCosts()
    assert costs.at(16384, 8) == costs
    assert costs.at(32768, 8).rotate > costs.rotate > costs.at(16384, 4).rotate


def window(extent: int, size: int) -> LinearMap:
    sums = np.repeat(np.eye(extent // size), size, axis=1)
    return LinearMap((extent,), (extent // size,), ((matrix(sums),),))


@pytest.mark.parametrize(("size", "rotations"), [(2, 1), (4, 2), (3, 2)])
def test_sums_over_windows_by_rotations(size: int, rotations: int) -> None:
    source, map_ = vector(12, 2, 32, 32), window(12, size)
    sums = window_sums(map_, source)
    assert sums is not None
    assert sums.rotations == rotations
    x = np.arange(12.0)
    result = PackReals(source).evaluate(x)
    for steps in sums.doubled:
        result = result + np.roll(result, -steps, axis=1)
    for distances in sums.added:
        result = result + sum(np.roll(result, -steps, axis=1) for steps in distances)
    np.testing.assert_array_equal(UnpackReals(sums.layout).evaluate(result), map_.apply(x))


def test_windows_over_ciphertexts_are_no_rotations() -> None:
    source = ordered((12,), (0,), 8, padded=True)
    assert source is not None
    assert window_sums(window(12, 3), source) is None
