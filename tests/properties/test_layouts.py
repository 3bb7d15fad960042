"""Layouts: tables that are well formed, and tensors that come back from slots as they were."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import Draw

from enclair.compiler.ir.layouts import (
    Axes,
    BlockSums,
    Coefficients,
    Layout,
    MaskedCopies,
    Raster,
    Replicated,
    SlotSums,
    Tiles,
    Viewed,
)
from enclair.compiler.ir.slots import pack, pack_by_index, spread, unpack, unpack_by_index
from enclair.compiler.packing.copies import natural_windows

AXES = (Axes(0, 1, 2, 3), Axes(0, 3, 1, 2), Axes(0, 1, 3, 2), Axes(0, 2, 1, -1), Axes(0, 1, -1, -1), Axes(-1, 0, 1, 2))


@st.composite
def tiles(draw: Draw) -> Tiles:
    """Any tiles that cover their tensor, with or without a halo."""
    axes = draw(st.sampled_from(AXES))
    rank = sum(axis >= 0 for axis in (axes.batch, axes.channel, axes.row, axes.column))
    shape = tuple(draw(st.integers(1, 5)) for _ in range(rank))
    _, _, height, width = axes.extents(shape)
    tile = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    grid = -(-height // tile[0]) + draw(st.integers(0, 1)), -(-width // tile[1])
    low = draw(st.integers(-2, 0)), draw(st.integers(-2, 0))
    high = tile[0] + draw(st.integers(0, 2)), tile[1] + draw(st.integers(0, 2))
    slots = axes.extents(shape)[0] * prod(grid) + draw(st.integers(0, 3))
    return Tiles(shape, axes, grid, tile, low, high, slots)


@st.composite
def masked_copies(draw: Draw) -> MaskedCopies:
    """Every ciphertext once unmasked, and some copies behind windows."""
    base = draw(tiles())
    rows, columns = base.grid
    whole = [(number, 0, rows, 0, columns) for number in range(base.count)]
    window = st.tuples(
        st.integers(0, base.count - 1), st.integers(0, rows - 1), st.just(rows), st.just(0), st.integers(1, columns)
    )
    return MaskedCopies(base, (*whole, *draw(st.lists(window, max_size=3))))


def blocks(cls: Any) -> st.SearchStrategy[Any]:
    """Layouts of blocked products."""

    def make(rows: int, width: int, partials: int, copies: int, rest: int) -> Any:
        return cls((rows, width), partials, copies, rows * partials * copies + rest)

    small = st.integers(1, 4)
    return st.builds(make, small, st.integers(1, 7), small, small, st.integers(0, 2))


def slot_sums() -> st.SearchStrategy[SlotSums]:
    small = st.integers(1, 4)
    return st.builds(
        lambda rows, count, group, rest: SlotSums((rows, count), rows, group, rows * group + rest),
        small,
        small,
        small,
        small,
    )


@st.composite
def coefficients(draw: Draw) -> Coefficients:
    span, features, step, rest = (draw(st.integers(1, 4)) for _ in range(4))
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    return Coefficients(shape, span, features, step, span * (features * step + rest))


@st.composite
def rasters(draw: Draw) -> Raster:
    """Rows as long as their pixels or longer, and pixels side by side or apart."""
    shape = tuple(draw(st.integers(1, 5)) for _ in range(4))
    step = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pitch = (shape[3] - 1) * step[1] + 1 + draw(st.integers(0, 2))
    layout = Raster(shape, pitch, step, 0)
    return Raster(shape, pitch, step, layout.reach + draw(st.integers(0, 3)))


def layouts() -> st.SearchStrategy[Layout]:
    base = st.one_of(tiles(), masked_copies(), blocks(Replicated), blocks(BlockSums), slot_sums(), coefficients())
    return st.one_of(base, base.map(lambda layout: Viewed(layout, (prod(layout.shape),))))


@given(layout=layouts())
def test_a_table_has_a_row_for_each_ciphertext_and_holds_every_element(layout: Layout) -> None:
    index = layout.index()
    assert index.shape == (layout.count, layout.slots)
    assert set(np.unique(index)) - {-1} == set(range(prod(layout.shape)))


@given(layout=layouts(), seed=st.integers(0, 99))
def test_a_tensor_comes_back_from_its_slots(layout: Layout, seed: int) -> None:
    tensor = np.random.default_rng(seed).integers(-99, 99, size=layout.shape)
    np.testing.assert_array_equal(unpack(layout, spread(layout, tensor)), tensor)
    if not layout.partial:
        np.testing.assert_array_equal(unpack(layout, pack(layout, tensor)), tensor)


@given(layout=layouts(), seed=st.integers(0, 99))
def test_what_is_spread_adds_to_what_is_packed(layout: Layout, seed: int) -> None:
    rng = np.random.default_rng(seed)
    slots = spread(layout, x := rng.integers(-99, 99, size=layout.shape))
    y = rng.integers(-99, 99, size=layout.shape)
    np.testing.assert_array_equal(unpack(layout, slots + spread(layout, y)), x + y)


@given(layout=layouts(), seed=st.integers(0, 99))
def test_summands_are_added_and_slots_that_hold_nothing_are_ignored(layout: Layout, seed: int) -> None:
    slots = np.random.default_rng(seed).integers(-99, 99, size=(layout.count, layout.slots))
    index = layout.index()
    flat = unpack(layout, slots).reshape(-1)
    for element in range(prod(layout.shape)):
        held = slots[index == element]
        assert flat[element] == (held.sum() if layout.partial else held[0])


@given(layout=tiles(), unit=st.booleans(), seed=st.integers(0, 99))
def test_slicing_tiles_is_looking_elements_up(layout: Tiles, unit: bool, seed: int) -> None:
    """With axes of extent 1 that have no role, too."""
    rng = np.random.default_rng(seed)
    if unit and layout.axes.batch < 0:
        layout = replace(layout, shape=(*layout.shape, 1))
    np.testing.assert_array_equal(pack(layout, x := rng.integers(1, 99, layout.shape)), pack_by_index(layout, x))
    core = replace(layout, low=(0, 0), high=layout.tile)
    slots = rng.integers(1, 99, (core.count, core.slots))
    np.testing.assert_array_equal(unpack(core, slots), unpack_by_index(core, slots))


@given(layout=tiles())
def test_the_slots_of_a_tile_are_its_pixels(layout: Tiles) -> None:
    batch, _, height, width = layout.extents
    index = layout.index()
    c, i, j = layout.positions()
    np.testing.assert_array_equal(layout.cipher(c, i, j), np.arange(layout.count))
    for number in range(layout.count):
        for slot, (b, a, d) in enumerate(np.ndindex(batch, *layout.grid)):
            y, x = a * layout.tile[0] + i[number], d * layout.tile[1] + j[number]
            inside = 0 <= y < height and 0 <= x < width
            element = layout.axes.element(layout.shape, b, c[number], y, x) if inside else -1
            assert index[number, slot] == element
    np.testing.assert_array_equal(layout.outside(), index[:, : layout.used] < 0)


@given(layout=tiles())
def test_the_natural_window_is_where_a_position_is_inside_the_image(layout: Tiles) -> None:
    inside = layout.index()[:, : layout.used].reshape(layout.count, layout.extents[0], *layout.grid) >= 0
    for number, (top, bottom, left, right) in enumerate(natural_windows(layout)):
        wanted = np.zeros_like(inside[number])
        wanted[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
        np.testing.assert_array_equal(inside[number], wanted)


@given(layout=rasters())
def test_the_pixels_of_a_raster_are_a_pitch_apart(layout: Raster) -> None:
    index, (_, channels, height, width) = layout.index(), layout.shape
    for number, y, x in np.ndindex(layout.count, height, width):
        place = y * layout.step[0] * layout.pitch + x * layout.step[1]
        assert index[number, place] == (number * height + y) * width + x
    assert (index >= 0).sum() == layout.count * height * width
    assert layout.count == layout.shape[0] * channels
