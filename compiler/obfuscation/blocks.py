"""Which ciphertexts of a layout hold which channel of a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from enclair.compiler.ir.layouts import (
    BlockSums,
    Coefficients,
    Index,
    Layout,
    MaskedCopies,
    Raster,
    Replicated,
    SlotSums,
    Tiles,
    Viewed,
)


@dataclass(frozen=True, slots=True, eq=False)
class ChannelBlocks:
    """A layout in which every ciphertext holds elements of one channel.

    Args:
        axis: of the tensor, along which the channels lie.
        numbers: (channels, positions), the ciphertexts of each channel. Those in one column hold the same places of
            their channels in the same slots: exchanging two rows exchanges two channels.
    """

    axis: int
    numbers: Index


def channel_blocks(layout: Layout) -> ChannelBlocks | None:
    """The ciphertexts of each channel; None where a ciphertext holds several."""
    match layout:
        case Tiles():
            return _of_tiles(layout)
        case MaskedCopies():
            return _of_copies(layout)
        case Raster():
            batch, channels = layout.shape[:2]
            return ChannelBlocks(1, np.arange(layout.count).reshape(batch, channels).T)
        case SlotSums():
            columns = np.arange(layout.count)[:, None]
            return _seen_as(ChannelBlocks(1, columns), (layout.rows, layout.count), layout.shape)
        case Viewed():
            base = channel_blocks(layout.base)
            return None if base is None else _seen_as(base, layout.base.shape, layout.shape)
        case _:
            return _of_columns(layout)


def kept_axis(old: tuple[int, ...], axis: int, new: tuple[int, ...]) -> int | None:
    """Where an axis is once a tensor is reshaped, row-major; None where it is split, or merged with another."""
    before = prod(old[:axis])
    fits = (i for i, extent in enumerate(new) if extent == old[axis] and prod(new[:i]) == before)
    return next(fits, None)


def _seen_as(blocks: ChannelBlocks, old: tuple[int, ...], new: tuple[int, ...]) -> ChannelBlocks | None:
    axis = kept_axis(old, blocks.axis, new)
    return None if axis is None else ChannelBlocks(axis, blocks.numbers)


def _of_tiles(layout: Tiles) -> ChannelBlocks | None:
    if layout.axes.channel < 0:
        return None
    return ChannelBlocks(layout.axes.channel, np.arange(layout.count).reshape(layout.extents[1], -1))


def _of_copies(layout: MaskedCopies) -> ChannelBlocks | None:
    """Channels with copies of the same positions in the same windows; None where these differ."""
    channels, positions = layout.base.extents[1], prod(layout.base.window)
    copies: Index = np.array(layout.copies, dtype=np.int64).reshape(-1, 5)
    channel, position = np.divmod(copies[:, 0], positions)
    places = np.column_stack([position, copies[:, 1:]])
    order = np.lexsort((*places.T, channel))
    if layout.base.axes.channel < 0 or (np.bincount(channel, minlength=channels) * channels != len(copies)).any():
        return None
    alike = places[order].reshape(channels, -1, 5)
    return ChannelBlocks(layout.base.axes.channel, order.reshape(channels, -1)) if (alike == alike[0]).all() else None


def _of_columns(layout: Any) -> ChannelBlocks | None:
    """Layouts of matrices with one column a ciphertext."""
    axis = len(layout.shape) - 1
    match layout:
        case Replicated(partials=1) | BlockSums(copies=1):
            return ChannelBlocks(axis, np.arange(layout.count)[:, None])
        case Coefficients(features=1):
            return ChannelBlocks(axis, np.arange(layout.count).reshape(layout.chunks, layout.groups).T)
        case _:
            return None
