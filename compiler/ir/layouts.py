"""Layouts: which element of a tensor each slot, or coefficient, of each ciphertext holds.

Every layout is one table, ``index()``: an int array (count, slots) of positions in the C-ordered flat tensor, -1 for
a slot that holds nothing (it is encoded as zero, and ignored when decoded). Encoding and decoding know that table and
nothing else. ``encoding_of`` says whether the integers are slots or coefficients of the plaintext.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.ops.base import register_struct
from enclair.compiler.ir.types import Encoding

Index = NDArray[np.int64]


class Layout(Protocol):
    """What every layout offers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        ...

    @property
    def slots(self) -> int:
        """Slots of a ciphertext."""
        ...

    @property
    def count(self) -> int:
        """Number of ciphertexts."""
        ...

    @property
    def partial(self) -> bool:
        """Whether slots of the same element are summands (True) or copies (False)."""
        ...

    def index(self) -> Index:
        """Element held by each slot, (count, slots); -1 for none."""
        ...


@register_struct
@dataclass(frozen=True, slots=True)
class Axes:
    """Which axis of a tensor is the batch, the channel, the row and the column; -1 for one it does not have."""

    batch: int
    channel: int
    row: int
    column: int

    @property
    def roles(self) -> tuple[int, int, int, int]:
        """The axes of batch, channel, row and column."""
        return self.batch, self.channel, self.row, self.column

    def extents(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Batch, channels, height, width of a tensor of this shape."""
        b, c, y, x = (1 if axis < 0 else shape[axis] for axis in self.roles)
        return b, c, y, x

    def element(self, shape: tuple[int, ...], b: Any, c: Any, y: Any, x: Any) -> Any:
        """Flat position of an element, for index arrays that broadcast."""
        strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
        where = zip(self.roles, (b, c, y, x), strict=True)
        return sum(position * strides[axis] for axis, position in where if axis >= 0)


@register_struct
@dataclass(frozen=True, slots=True)
class Tiles:
    """A slot is a tile of the image, a ciphertext is one position in the tile of one channel.

    Ciphertext (c, i, j) holds, in slot (b, a, d) of a ``grid`` of tiles per image of the batch, pixel
    (a * tile[0] + i, d * tile[1] + j) of channel c; i runs over [low[0], high[0]), j over [low[1], high[1]). Positions
    below 0 or from ``tile`` on are the halo. Pixels outside the image hold nothing.
    """

    shape: tuple[int, ...]
    axes: Axes
    grid: tuple[int, int]
    tile: tuple[int, int]
    low: tuple[int, int]
    high: tuple[int, int]
    slots: int

    @property
    def partial(self) -> bool:
        """Slots of one element are copies."""
        return False

    @property
    def extents(self) -> tuple[int, int, int, int]:
        """Batch, channels, height, width."""
        return self.axes.extents(self.shape)

    @property
    def window(self) -> tuple[int, int]:
        """Positions per channel, halo included, along rows and columns."""
        return self.high[0] - self.low[0], self.high[1] - self.low[1]

    @property
    def count(self) -> int:
        """Channels times positions."""
        return self.extents[1] * prod(self.window)

    @property
    def used(self) -> int:
        """Slots that hold a tile: the first ones."""
        return self.extents[0] * prod(self.grid)

    def outside(self) -> NDArray[np.bool_]:
        """Which slots in use hold nothing because they are outside the image, (count, used)."""
        return self.index()[:, : self.used] < 0

    def cipher(self, c: Any, i: Any, j: Any) -> Any:
        """Number of the ciphertext of channel c at tile position (i, j); broadcasts. -1 outside the window."""
        rows, columns = self.window
        inside = (i >= self.low[0]) & (i < self.high[0]) & (j >= self.low[1]) & (j < self.high[1])
        return np.where(inside, (c * rows + (i - self.low[0])) * columns + (j - self.low[1]), -1)

    def positions(self) -> tuple[Index, Index, Index]:
        """Channel, i and j of every ciphertext, in order."""
        (rows, columns), channels = self.window, self.extents[1]
        c, i, j = np.unravel_index(np.arange(self.count), (channels, rows, columns))
        return c, i + self.low[0], j + self.low[1]

    def index(self) -> Index:
        """See ``Layout``."""
        return _tiles_index(self)


@lru_cache(maxsize=4)
def _tiles_index(tiles: Tiles) -> Index:
    batch, _, height, width = tiles.extents
    index = np.full((tiles.count, tiles.slots), -1, dtype=np.int64)
    used = tiles.used
    b, a, d = np.unravel_index(np.arange(used), (batch, *tiles.grid))
    c, i, j = (values[:, None] for values in tiles.positions())
    y, x = a * tiles.tile[0] + i, d * tiles.tile[1] + j
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index[:, :used] = np.where(inside, tiles.axes.element(tiles.shape, b, c, y, x), -1)
    index.setflags(write=False)
    return index


@register_struct
@dataclass(frozen=True, slots=True)
class MaskedCopies:
    """Copies of the ciphertexts of a tile layout, each blank outside a window of the grid.

    A copy is (cipher, first row, last row + 1, first column, last column + 1), the window in tiles. They stand in for
    the border masks of a stage in which a second operation pads with zeros.
    """

    base: Tiles
    copies: tuple[tuple[int, int, int, int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.base.shape

    @property
    def slots(self) -> int:
        """Slots of a ciphertext."""
        return self.base.slots

    @property
    def partial(self) -> bool:
        """Slots of one element are copies."""
        return False

    @property
    def count(self) -> int:
        """Number of copies."""
        return len(self.copies)

    def index(self) -> Index:
        """See ``Layout``."""
        batch = self.base.extents[0]
        _, a, d = np.unravel_index(np.arange(batch * prod(self.base.grid)), (batch, *self.base.grid))
        cipher, top, bottom, left, right = (column[:, None] for column in np.array(self.copies, dtype=np.int64).T)
        inside = np.zeros((self.count, self.slots), dtype=bool)
        inside[:, : a.size] = (a >= top) & (a < bottom) & (d >= left) & (d < right)
        return np.where(inside, self.base.index()[cipher[:, 0]], -1)


@register_struct
@dataclass(frozen=True, slots=True)
class Replicated:
    """The rows of a matrix (rows, features) for a blocked product.

    Ciphertext j holds feature j * partials + r in slot (row, copy, r).
    Every feature is repeated ``copies`` times, once for each output that shares the ciphertext.
    """

    shape: tuple[int, ...]
    partials: int
    copies: int
    slots: int

    @property
    def partial(self) -> bool:
        """Slots of one element are copies."""
        return False

    @property
    def count(self) -> int:
        """Ciphertexts needed for all features."""
        return -(-self.shape[-1] // self.partials)

    def index(self) -> Index:
        """See ``Layout``."""
        rows, features = prod(self.shape[:-1]), self.shape[-1]
        index = np.full((self.count, self.slots), -1, dtype=np.int64)
        row, _, r = np.unravel_index(np.arange(rows * self.copies * self.partials), (rows, self.copies, self.partials))
        feature = np.arange(self.count)[:, None] * self.partials + r
        index[:, : r.size] = np.where(feature < features, row * features + feature, -1)
        return index


@register_struct
@dataclass(frozen=True, slots=True)
class BlockSums:
    """What a blocked product leaves.

    Slot (row, copy, r) of ciphertext g is summand r of output g * copies + copy of its row.
    """

    shape: tuple[int, ...]
    partials: int
    copies: int
    slots: int

    @property
    def partial(self) -> bool:
        """Slots of one element are summands."""
        return True

    @property
    def count(self) -> int:
        """Ciphertexts needed for all outputs."""
        return -(-self.shape[-1] // self.copies)

    def index(self) -> Index:
        """See ``Layout``."""
        rows, outputs = prod(self.shape[:-1]), self.shape[-1]
        index = np.full((self.count, self.slots), -1, dtype=np.int64)
        row, copy, _ = np.unravel_index(
            np.arange(rows * self.copies * self.partials), (rows, self.copies, self.partials)
        )
        output = np.arange(self.count)[:, None] * self.copies + copy
        index[:, : row.size] = np.where(output < outputs, row * outputs + output, -1)
        return index


@register_struct
@dataclass(frozen=True, slots=True)
class SlotSums:
    """Ciphertext c holds, spread over ``group`` slots for each row of the batch, summands of element (row, c)."""

    shape: tuple[int, ...]
    rows: int
    group: int
    slots: int

    @property
    def partial(self) -> bool:
        """Slots of one element are summands."""
        return True

    @property
    def count(self) -> int:
        """One ciphertext a column."""
        return prod(self.shape) // self.rows

    def index(self) -> Index:
        """See ``Layout``."""
        index = np.full((self.count, self.slots), -1, dtype=np.int64)
        row = np.repeat(np.arange(self.rows), self.group)
        index[:, : row.size] = row * self.count + np.arange(self.count)[:, None]
        return index


@register_struct
@dataclass(frozen=True, slots=True)
class Coefficients:
    """The rows of a matrix (rows, features) in coefficients, for products with polynomials in Y = X^``span``.

    Ciphertext (chunk, g) holds feature g * ``features`` + r of row chunk * span + i in coefficient (r * step) * span
    + i: the features of a row stand ``step`` powers of Y apart. See ``packing/polynomials.py``.
    """

    shape: tuple[int, ...]
    span: int
    features: int
    step: int
    slots: int

    @property
    def partial(self) -> bool:
        """Coefficients of one element are copies (there is one)."""
        return False

    @property
    def chunks(self) -> int:
        """How often the rows fill the ``span`` coefficients between two powers of Y."""
        return -(-prod(self.shape[:-1]) // self.span)

    @property
    def groups(self) -> int:
        """Ciphertexts needed for all features of one chunk of rows."""
        return -(-self.shape[-1] // self.features)

    @property
    def count(self) -> int:
        """Number of ciphertexts."""
        return self.chunks * self.groups

    def index(self) -> Index:
        """See ``Layout``."""
        rows, features = prod(self.shape[:-1]), self.shape[-1]
        axes = (self.chunks, self.groups, self.slots // self.span, self.span)
        chunk, group, power, i = np.meshgrid(*map(np.arange, axes), indexing="ij", sparse=True)
        row, feature = chunk * self.span + i, group * self.features + power // self.step
        held = (row < rows) & (feature < features) & (power % self.step == 0) & (power // self.step < self.features)
        return np.where(held, row * features + feature, -1).reshape(self.count, self.slots)


@register_struct
@dataclass(frozen=True, slots=True)
class Raster:
    """Images (batch, channels, height, width) in coefficients, for products with polynomials in X.

    Ciphertext (b, c) holds pixel (y, x) of channel c in coefficient (y * step[0]) * pitch + x * step[1]: rows are
    ``pitch`` pixels apart, and a result of stride s has its pixels s apart. See ``packing/rasters.py``.
    """

    shape: tuple[int, ...]
    pitch: int
    step: tuple[int, int]
    slots: int

    @property
    def partial(self) -> bool:
        """Coefficients of one element are copies (there is one)."""
        return False

    @property
    def count(self) -> int:
        """One ciphertext for each channel of each image."""
        return self.shape[0] * self.shape[1]

    @property
    def reach(self) -> int:
        """Coefficients up to the last that holds a pixel."""
        return (self.shape[2] - 1) * self.step[0] * self.pitch + (self.shape[3] - 1) * self.step[1] + 1

    def plane(self) -> Index:
        """Position in an image of one channel of what each coefficient holds, (slots,); -1 for none."""
        height, width = self.shape[2:]
        rows, columns = np.arange(height) * self.step[0], np.arange(width) * self.step[1]
        plane = np.full(self.slots, -1, dtype=np.int64)
        plane[rows[:, None] * self.pitch + columns] = np.arange(height * width).reshape(height, width)
        return plane

    def index(self) -> Index:
        """See ``Layout``."""
        plane = self.plane()
        images = np.arange(self.count)[:, None] * (self.shape[2] * self.shape[3])
        return np.where(plane >= 0, images + plane, -1)


@register_struct
@dataclass(frozen=True, slots=True)
class Viewed:
    """Another layout's ciphertexts under a new tensor shape with the same flat order (a Reshape costs nothing)."""

    base: Any
    shape: tuple[int, ...]

    @property
    def slots(self) -> int:
        """Slots of a ciphertext."""
        return int(self.base.slots)

    @property
    def count(self) -> int:
        """Number of ciphertexts."""
        return int(self.base.count)

    @property
    def partial(self) -> bool:
        """As the base."""
        return bool(self.base.partial)

    def index(self) -> Index:
        """See ``Layout``."""
        table: Index = self.base.index()
        return table


def encoding_of(layout: Layout) -> Encoding:
    """Whether a layout names slots or coefficients."""
    while isinstance(layout, Viewed):
        layout = layout.base
    return Encoding.COEFFICIENTS if isinstance(layout, Coefficients | Raster) else Encoding.SLOTS


def summands(layout: Layout) -> int:
    """How many slots hold a part of one element: the client adds them. 1 where every slot holds the whole."""
    if not layout.partial:
        return 1
    elements = layout.index()
    return int(np.bincount(elements[elements >= 0]).max(initial=1))
