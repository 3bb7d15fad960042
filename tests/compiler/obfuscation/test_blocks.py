"""Which ciphertexts hold which channel, against the tables of the layouts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.test_layouts import tiles
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
from enclair.compiler.ir.slots import pack
from enclair.compiler.obfuscation.blocks import channel_blocks, kept_axis

TILES = Tiles((1, 3, 2, 2), Axes(0, 1, 2, 3), (2, 2), (1, 1), (0, 0), (1, 1), 8)
MATRICES: tuple[Layout, ...] = (
    SlotSums((2, 3), 2, 2, 8),
    SlotSums((2, 3, 1, 1), 2, 2, 8),
    Replicated((2, 3), 1, 4, 8),
    BlockSums((2, 3), 4, 1, 8),
    Coefficients((5, 3), 2, 1, 1, 8),
    Raster((2, 3, 2, 2), 3, (1, 1), 16),
    Viewed(TILES, (3, 4)),
    Viewed(Viewed(TILES, (3, 4)), (1, 3, 4)),
)


@st.composite
def layouts(draw: Draw) -> Layout:
    """Layouts whose ciphertexts hold one channel each."""
    base = draw(tiles())
    rows, columns = base.grid
    per_channel = base.count // base.extents[1]
    windows = [(0, rows, 0, columns), (0, 1, 0, columns)]
    copies = [(n, *window) for window in windows for n in draw(st.permutations(range(base.count)))]
    with_copies = MaskedCopies(base, tuple(copies))
    assert per_channel * base.extents[1] == base.count
    return draw(st.sampled_from((base, with_copies, *MATRICES)))


@given(layout=layouts(), data=st.data())
def test_exchanging_blocks_exchanges_channels(layout: Layout, data: st.DataObject) -> None:
    blocks = channel_blocks(layout)
    if blocks is None:
        assert isinstance(layout, Tiles | MaskedCopies)
        assert getattr(layout, "base", layout).axes.channel < 0
        return
    channels = len(blocks.numbers)
    assert sorted(blocks.numbers.reshape(-1)) == list(range(layout.count))
    assert channels == layout.shape[blocks.axis]
    tensor = np.arange(1, np.prod(layout.shape, dtype=int) + 1).reshape(layout.shape)
    order = np.array(data.draw(st.permutations(range(channels))))
    rows = pack(layout, tensor)
    rows[blocks.numbers] = rows[blocks.numbers[order]]
    np.testing.assert_array_equal(rows, pack(layout, np.take(tensor, order, axis=blocks.axis)))


@pytest.mark.parametrize(
    "layout",
    [
        Replicated((2, 4), 2, 2, 8),
        BlockSums((2, 4), 2, 2, 8),
        Coefficients((2, 4), 2, 2, 1, 8),
        Viewed(TILES, (1, 12)),
        SlotSums((2, 2, 3), 2, 2, 24),
        replace(TILES, axes=Axes(1, -1, 2, 3)),
        MaskedCopies(TILES, ((0, 0, 2, 0, 2), (1, 0, 2, 0, 2), (2, 0, 1, 0, 2))),
        MaskedCopies(TILES, ((0, 0, 2, 0, 2), (0, 0, 1, 0, 2), (1, 0, 2, 0, 2))),
        MaskedCopies(replace(TILES, axes=Axes(1, -1, 2, 3)), ((0, 0, 2, 0, 2),)),
    ],
    ids=str,
)
def test_ciphertexts_of_several_channels_have_no_blocks(layout: Layout) -> None:
    assert channel_blocks(layout) is None


@pytest.mark.parametrize(
    ("old", "axis", "new", "kept"),
    [
        ((1, 3, 4, 4), 1, (3, 16), 0),
        ((2, 3, 4), 1, (2, 3, 2, 2), 1),
        ((2, 3, 4), 1, (6, 4), None),
        ((2, 3, 4), 1, (2, 12), None),
        ((4, 4), 1, (2, 2, 4), 2),
        ((4, 3), 0, (3, 4), None),
    ],
)
def test_an_axis_stays_where_it_is_neither_split_nor_merged(old, axis: int, new, kept: int | None) -> None:
    assert kept_axis(old, axis, new) == kept
    if kept is not None:
        index = np.arange(np.prod(old)).reshape(old)
        np.testing.assert_array_equal(
            np.take(index, [1], axis).reshape(-1), np.take(index.reshape(new), [1], kept).flat
        )
