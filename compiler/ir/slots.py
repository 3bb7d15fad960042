"""Tensors into the integers of ciphertexts, and back, as a layout says."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.layouts import Axes, Layout, Tiles


def pack(layout: Layout, tensor: NDArray[Any]) -> NDArray[np.int64]:
    """Slot vectors (count, slots) of a tensor: every slot gets its element, or 0."""
    if isinstance(layout, Tiles):
        return _cut_in_tiles(layout, tensor)
    return pack_by_index(layout, tensor)


def pack_by_index(layout: Layout, tensor: NDArray[Any]) -> NDArray[np.int64]:
    """``pack``, element by element."""
    index = layout.index()
    return np.where(index >= 0, tensor.reshape(-1)[np.maximum(index, 0)], 0)


def unpack(layout: Layout, slots: NDArray[Any]) -> NDArray[np.int64]:
    """The tensor in slot vectors. Summands are added (the finishing sum); of copies the first counts."""
    if isinstance(layout, Tiles) and layout.window == layout.tile and layout.low == (0, 0):
        return _joined_from_tiles(layout, slots)
    return unpack_by_index(layout, slots)


def unpack_by_index(layout: Layout, slots: NDArray[Any]) -> NDArray[np.int64]:
    """``unpack``, element by element."""
    index = layout.index()
    held = index >= 0
    flat = np.zeros(prod(layout.shape), dtype=np.int64)
    if layout.partial:
        np.add.at(flat, index[held], slots[held])
    else:
        flat[index[held][::-1]] = slots[held][::-1]
    return flat.reshape(layout.shape)


def _cut_in_tiles(tiles: Tiles, tensor: NDArray[Any]) -> NDArray[np.int64]:
    """``pack`` without a table: a position of all tiles is a slice with the tile as its step."""
    image = _as_image(tiles.axes, tensor)
    _, channels, *extents = image.shape
    reach = [(n - 1) * t + high for n, t, high in zip(tiles.grid, tiles.tile, tiles.high, strict=True)]
    before = [max(0, -low) for low in tiles.low]
    after = [max(0, end - extent) for end, extent in zip(reach, extents, strict=True)]
    padded = np.pad(image, ((0, 0), (0, 0), *zip(before, after, strict=True)))
    out = np.zeros((channels, *tiles.window, tiles.slots), dtype=np.int64)
    for i, j in np.ndindex(*tiles.window):
        rows, columns = (
            slice(pad + low + k, pad + low + k + (n - 1) * t + 1, t)
            for pad, low, k, n, t in zip(before, tiles.low, (i, j), tiles.grid, tiles.tile, strict=True)
        )
        out[:, i, j, : tiles.used] = padded[:, :, rows, columns].swapaxes(0, 1).reshape(channels, tiles.used)
    return out.reshape(tiles.count, tiles.slots)


def _joined_from_tiles(tiles: Tiles, slots: NDArray[Any]) -> NDArray[np.int64]:
    """``unpack`` without a table, for tiles without a halo."""
    batch, channels, height, width = tiles.extents
    rows, columns = (n * t for n, t in zip(tiles.grid, tiles.tile, strict=True))
    image = np.zeros((batch, channels, rows, columns), dtype=np.int64)
    positions = slots.reshape(channels, *tiles.tile, tiles.slots)[..., : tiles.used]
    for i, j in np.ndindex(*tiles.tile):
        place = positions[:, i, j].reshape(channels, batch, *tiles.grid).swapaxes(0, 1)
        image[:, :, i :: tiles.tile[0], j :: tiles.tile[1]] = place
    return _from_image(tiles, image[:, :, :height, :width])


def _as_image(axes: Axes, tensor: NDArray[Any]) -> NDArray[Any]:
    """The tensor as (batch, channels, height, width). Axes without a role have extent 1."""
    roles = [axis for axis in axes.roles if axis >= 0]
    named = tensor.reshape([tensor.shape[axis] for axis in sorted(roles)])
    return named.transpose(np.argsort(np.argsort(roles))).reshape(axes.extents(tensor.shape))


def _from_image(tiles: Tiles, image: NDArray[np.int64]) -> NDArray[np.int64]:
    """The tensor of an image (batch, channels, height, width)."""
    roles = [axis for axis in tiles.axes.roles if axis >= 0]
    named = image.reshape([tiles.shape[axis] for axis in roles])
    return np.ascontiguousarray(named.transpose(np.argsort(roles))).reshape(tiles.shape)


def spread(layout: Layout, tensor: NDArray[Any]) -> NDArray[np.int64]:
    """Slot vectors that add a tensor to packed values: in every copy, but in one summand only."""
    if not layout.partial:
        return pack(layout, tensor)
    flat = layout.index().reshape(-1)
    vectors = np.zeros(flat.size, dtype=np.int64)
    elements, first = np.unique(flat, return_index=True)
    vectors[first[elements >= 0]] = tensor.reshape(-1)[elements[elements >= 0]]
    return vectors.reshape(layout.count, layout.slots)
