"""Pack a connected part of a server stage on tiles: a slot is a tile, a ciphertext one position of one channel.

Three steps. ``trace`` finds, for every value, which axis is the channel and how dense its pixels are. ``Tiling``
fixes grid, tile and, going back from the outputs, the window (core and halo) that each value needs: the receptive
field of the whole stage. ``TileLowering`` writes the packed ops. Sums over the image leave tiles for ``SlotSums``,
which the client finishes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm, prod
from typing import TypeAlias

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node, Value
from enclair.compiler.ir.layouts import Axes, Layout, SlotSums, Tiles, Viewed
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.fixed import Shift
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.packed import AddPlain, LinearCombination, MaskSlots, SlotCombination
from enclair.compiler.ir.ops.pooling import SumPool
from enclair.compiler.ir.ops.reductions import ReduceSum
from enclair.compiler.ir.ops.shape import Concat, Expand, Reshape, Transpose
from enclair.compiler.ir.types import TensorType
from enclair.compiler.packing.densities import Densities, Density
from enclair.compiler.packing.moves import Move, move
from enclair.compiler.packing.stencils import Stencil, stencil

Window: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Half-open intervals of tile positions along rows and columns."""


@dataclass(frozen=True, slots=True)
class Traced:
    """What is known of every value before a tile is chosen. Values without axes are sums over the image, or views."""

    axes: dict[str, Axes]
    density: dict[str, Density]


@dataclass(frozen=True, slots=True)
class Packed:
    """A value on the server: its ciphertexts, where its elements are, and whether unused positions are zero."""

    cipher: Value
    layout: Layout
    clean: bool


def shape_of(value: Value) -> tuple[int, ...]:
    """The tensor shape of a value."""
    if not isinstance(value.type, TensorType):
        raise PackingError(value.name, f"is no tensor but {value.type}")
    return value.type.shape


def scale_of(value: Value) -> int:
    """The scale of a fixed-point value."""
    if not isinstance(value.type, TensorType) or value.type.scale_bits is None:
        raise PackingError(value.name, f"is not fixed point but {value.type}")
    return value.type.scale_bits


def trace(graph: Graph) -> Traced:
    """Axes and densities of all values on tiles.

    Raises:
        PackingError: a node needs another channel axis than its argument has, or joins values of different density.
    """
    traced = Traced({}, {})
    densities = Densities(traced.density)
    for node in graph.nodes:
        _trace_node(graph, node, traced, densities)
    for value in graph.inputs:
        traced.axes.setdefault(value.name, default_axes(value))
    for name in traced.axes:
        densities.add(name)
    return traced


ONLY_MATRICES = "multiplies by a constant of shape {shape}: only matrices are packed"
USUAL_AXES = {1: Axes(-1, 0, -1, -1), 2: Axes(0, 1, -1, -1), 3: Axes(0, 1, 2, -1), 4: Axes(0, 1, 2, 3)}
"""Axes by rank: images are [N, C, H, W], signals [N, C, L], features [N, C]."""
ROW_AXES = {1: Axes(-1, 0, -1, -1), 2: Axes(0, 1, -1, -1), 3: Axes(0, 2, 1, -1), 4: Axes(0, 3, 1, 2)}
"""Axes by rank of the rows of a matrix product: the last axis is the channel."""


def default_axes(value: Value, by_rank: Mapping[int, Axes] = USUAL_AXES) -> Axes:
    """The axes that a value has by its rank."""
    rank = len(shape_of(value))
    if rank not in by_rank:
        raise PackingError(value.name, f"tensors of rank {rank} have no tile layout")
    return by_rank[rank]


def _trace_node(graph: Graph, node: Node, traced: Traced, densities: Densities) -> None:
    args = [arg for arg in node.args if not graph.is_constant(arg)]
    out, x = node.out, args[0]
    _check_operands(graph, node)
    wanted = default_axes(x, ROW_AXES if isinstance(node.op, MatMul) else USUAL_AXES)
    for arg in args:
        if arg in graph.inputs and arg.name not in traced.axes:
            traced.axes[arg.name] = wanted
    if any(arg.name not in traced.axes for arg in args):
        return
    axes = traced.axes[x.name]
    result = _result_axes(node, axes, wanted, shape_of(x))
    if result is None:
        return
    if any(traced.axes[arg.name] != axes for arg in args[1:]):
        raise PackingError(out.name, "joins values with different channel axes")
    traced.axes[out.name] = result
    densities.link(out.name, [arg.name for arg in args], _density_ratio(graph, node, axes))


def _check_operands(graph: Graph, node: Node) -> None:
    """Refuse what has no form on tiles whatever the axes are."""
    shapes = [shape_of(arg) for arg in node.args]
    if isinstance(node.op, MatMul) and len(shapes[1]) != 2:
        raise PackingError(node.out.name, ONLY_MATRICES.format(shape=shapes[1]))
    if isinstance(node.op, Add | Sub | Mul) and shapes[0] != shape_of(node.out):
        raise PackingError(node.out.name, "adds or multiplies values of different shapes on the server")
    if isinstance(node.op, Add | Sub) and not graph.is_constant(node.args[1]) and shapes[0] != shapes[1]:
        raise PackingError(node.out.name, "adds values of different shapes on the server")


def _result_axes(node: Node, axes: Axes, wanted: Axes, shape: tuple[int, ...]) -> Axes | None:
    """Axes of the result; None where the values leave tiles."""
    match node.op:
        case Conv() | ConvTranspose() | SumPool() if axes != wanted:
            raise PackingError(node.out.name, "needs its channels on another axis than they are")
        case MatMul() if axes.channel != len(shape) - 1:
            return None
        case Reshape():
            return _squeezed_axes(axes, shape, shape_of(node.out))
        case Expand() if len(shape) != len(shape_of(node.out)):
            return None
        case Transpose():
            moved = {old: new for new, old in enumerate(node.op.perm)}
            return Axes(*(moved.get(axis, -1) for axis in axes.roles))
        case ReduceSum():
            return None if not _over_channels(node.op, axes) else _reduced_axes(node.op, axes)
        case _:
            return axes


def _squeezed_axes(axes: Axes, shape: tuple[int, ...], out: tuple[int, ...]) -> Axes | None:
    """Axes after a Reshape that only adds or drops axes of extent 1: the usual ones if they fit. None for any other."""
    long, out_long = [a for a, n in enumerate(shape) if n > 1], [a for a, n in enumerate(out) if n > 1]
    if [shape[a] for a in long] != [out[a] for a in out_long]:
        return None
    moved = dict(zip(long, out_long, strict=True))
    kept = [moved.get(axis, -1) for axis in axes.roles]
    usual = list(USUAL_AXES[len(out)].roles) if len(out) in USUAL_AXES else kept
    fits = all(a == b or (b < 0 and out[a] == 1) for a, b in zip(usual, kept, strict=True))
    return Axes(*(usual if fits else kept))


def _over_channels(op: ReduceSum, axes: Axes) -> bool:
    return tuple(op.axes) == (axes.channel,)


def _reduced_axes(op: ReduceSum, axes: Axes) -> Axes:
    if op.keepdims:
        return axes
    drop = axes.channel
    b, y, x = (axis - (axis > drop) for axis in (axes.batch, axes.row, axes.column))
    return Axes(b, -1, y, x)


def _density_ratio(graph: Graph, node: Node, axes: Axes) -> Density:
    if (found := node_stencil(graph, node)) is not None:
        return found.rows.density, found.columns.density
    if (moved := node_move(node, axes)) is not None:
        return moved.densities
    return Fraction(1), Fraction(1)


def node_stencil(graph: Graph, node: Node) -> Stencil | None:
    """The stencil of a node, or None."""
    constant = graph.arrays.get(node.args[1].name) if len(node.args) > 1 else None
    scale_bits = scale_of(node.args[1]) if constant is not None else 0
    shape = shape_of(node.args[0])
    return stencil(node.op, shape[1] if len(shape) > 1 else 1, constant, scale_bits)


def node_move(node: Node, axes: Axes) -> Move | None:
    """The move of a node, or None."""
    return move(node.op, shape_of(node.args[0]), axes, shape_of(node.out))


@dataclass(frozen=True, slots=True)
class Tiling:
    """Grid, tile sizes and windows of every value on tiles."""

    traced: Traced
    grid: tuple[int, int]
    unit: tuple[int, int]
    slots: int
    windows: dict[str, Window] = field(default_factory=dict)

    def tile(self, name: str) -> tuple[int, int]:
        """Tile size of a value, in its own pixels."""
        rows, columns = (int(d * unit) for d, unit in zip(self.traced.density[name], self.unit, strict=True))
        return rows, columns

    def core(self, name: str) -> Window:
        """The window without a halo."""
        rows, columns = self.tile(name)
        return (0, rows), (0, columns)

    def layout(self, value: Value, window: Window | None = None) -> Tiles:
        """The layout of a value on the window it needs, or on another."""
        (top, bottom), (left, right) = window or self.windows[value.name]
        name = value.name
        low, high, axes = (top, left), (bottom, right), self.traced.axes[name]
        return Tiles(shape_of(value), axes, self.grid, self.tile(name), low, high, self.slots)


def tile_units(graph: Graph, traced: Traced, slots: int) -> Iterable[tuple[int, int]]:
    """Tile sizes worth trying (for density 1): for each height the least width that fits all tiles in the slots."""
    base = [lcm(*(d[axis].denominator for d in traced.density.values())) for axis in (0, 1)]
    rows = base[0]
    while True:
        columns, most = base[1], _grid(graph, traced, (rows, 10**9))[0]
        while (
            prod(_grid(graph, traced, (rows, columns))) * _batch(graph, traced) > slots
            and _grid(graph, traced, (rows, columns))[1] > 1
        ):
            columns += base[1]
        if prod(_grid(graph, traced, (rows, columns))) * _batch(graph, traced) <= slots:
            yield rows, columns
        if most == 1:
            return
        rows = rows * 2 if rows * 2 % base[0] == 0 else rows + base[0]


def _batch(graph: Graph, traced: Traced) -> int:
    return max(traced.axes[v.name].extents(shape_of(v))[0] for v in _on_tiles(graph, traced))


def _on_tiles(graph: Graph, traced: Traced) -> list[Value]:
    return [v for v in (*graph.inputs, *(n.out for n in graph.nodes)) if v.name in traced.axes]


def _grid(graph: Graph, traced: Traced, unit: tuple[int, int]) -> tuple[int, int]:
    """Tiles along rows and columns that cover every value."""
    rows = columns = 1
    for value in _on_tiles(graph, traced):
        _, _, height, width = traced.axes[value.name].extents(shape_of(value))
        d = traced.density[value.name]
        rows = max(rows, -(-height // max(1, int(d[0] * unit[0]))))
        columns = max(columns, -(-width // max(1, int(d[1] * unit[1]))))
    return rows, columns


def make_tiling(graph: Graph, traced: Traced, unit: tuple[int, int], slots: int) -> Tiling:
    """Fix the tile and find every value's window, from the outputs back."""
    tiling = Tiling(traced, _grid(graph, traced, unit), unit, slots)
    for value in graph.outputs:
        if value.name in traced.axes:
            _need(tiling, value.name, tiling.core(value.name))
    for node in reversed(graph.nodes):
        for arg in node.args:
            if arg.name in traced.axes:
                _need(tiling, arg.name, _window_read(graph, node, arg, tiling))
    return tiling


def _need(tiling: Tiling, name: str, window: Window) -> None:
    known = tiling.windows.get(name, window)
    (a, b), (c, d) = known
    (e, f), (g, h) = window
    tiling.windows[name] = ((min(a, e), max(b, f)), (min(c, g), max(d, h)))


def _window_read(graph: Graph, node: Node, arg: Value, tiling: Tiling) -> Window:
    """The window of an argument that the node's own window needs; the core when the result has left tiles."""
    if node.out.name not in tiling.windows:
        return tiling.core(arg.name)
    rows, columns = tiling.windows[node.out.name]
    if (found := node_stencil(graph, node)) is not None:
        return found.rows.window(*rows), found.columns.window(*columns)
    if (moved := node_move(node, tiling.traced.axes[arg.name])) is not None:
        return moved.window(0, *rows), moved.window(1, *columns)
    return rows, columns


class TileLowering:
    """Writes the packed ops of one part of a stage into a builder shared with the other parts."""

    def __init__(self, graph: Graph, tiling: Tiling, builder: Builder, values: Mapping[str, Packed]) -> None:
        self.graph, self.tiling, self.builder = graph, tiling, builder
        self.values = dict(values)
        self.masks: dict[str, Value] = {}

    def run(self) -> dict[str, Packed]:
        """All values of the part, packed."""
        for node in self.graph.nodes:
            self.values[node.out.name] = self._lower(node)
        return self.values

    def _lower(self, node: Node) -> Packed:
        if (found := node_stencil(self.graph, node)) is not None:
            return self._stencil(node, self.values[node.args[0].name], found)
        x = self._windowed(node, node.args[0])
        match node.op:
            case MatMul():
                return self._product(node, x)
            case Mul():
                return self._scaled(node, x)
            case Neg() | Shift():
                factor = -1 if isinstance(node.op, Neg) else 1 << node.op.bits
                bits = 0 if isinstance(node.op, Neg) else node.op.bits
                return replace(x, cipher=self._diagonal(x, np.full(x.layout.count, factor), bits))
            case Add() | Sub():
                return self._sum(node, x)
            case Concat():
                return self._concat(node)
            case Transpose() if isinstance(x.layout, Tiles):
                layout = replace(x.layout, shape=shape_of(node.out), axes=self.tiling.traced.axes[node.out.name])
                return replace(x, layout=layout)
            case Reshape():
                return self._reshape(node, x)
            case ReduceSum():
                return self._reduce(node, x)
            case _:
                return self._move(node, x)

    def _windowed(self, node: Node, arg: Value) -> Packed:
        """An argument on the window that the node needs of it: other readers may have asked for more."""
        packed = self.values[arg.name]
        if not isinstance(packed.layout, Tiles):
            return packed
        window = _window_read(self.graph, node, arg, self.tiling)
        return self.narrowed(node.out.name, packed, replace(packed.layout, low=_lows(window), high=_highs(window)))

    def _stencil(self, node: Node, x: Packed, found: Stencil) -> Packed:
        source = self._on_tiles(node, x)
        target = self.tiling.layout(node.out)
        if found.reads_outside:
            x = self.masked(x)
        groups, outs, ins, *_ = found.kernel.shape
        (top, left), (bottom, right) = target.low, target.high
        i, j = found.rows.sources(top, bottom), found.columns.sources(left, right)
        channel = np.arange(groups)[:, None] * ins + np.arange(ins)
        gather = source.cipher(
            channel[:, None, None, :, None, None], i[None, :, None, None, :, None], j[None, None, :, None, None, :]
        )  # fmt: skip
        gather = gather.reshape(groups, i.shape[0] * j.shape[0], -1)
        result = np.arange(target.count).reshape(groups, outs, -1)
        cipher = self._combine(x, gather, found.kernel.reshape(groups, outs, -1), found.scale_bits, result)
        keeps = not found.reads_outside and found.rows.pointwise and found.columns.pointwise
        return Packed(cipher, target, x.clean and keeps)

    def _product(self, node: Node, x: Packed) -> Packed:
        weights, bits = self._constant(node)
        rows = prod(shape_of(node.out)[:-1])
        if isinstance(x.layout, SlotSums):
            return self._product_of_sums(node, x, x.layout, weights, bits)
        if node.out.name in self.tiling.traced.axes and isinstance(x.layout, Tiles):
            target = self.tiling.layout(node.out)
            features = weights.shape[0]
            gather = np.arange(x.layout.count).reshape(features, -1).T[None]
            result = np.arange(target.count).reshape(1, weights.shape[1], -1)
            return Packed(self._combine(x, gather, weights.T[None], bits, result), target, x.clean)
        return self._product_by_slot(node, x, weights, bits, rows)

    def _product_of_sums(self, node: Node, x: Packed, layout: SlotSums, weights: Array, bits: int) -> Packed:
        """Each slot's summands are multiplied alike: the product commutes with the finishing sum."""
        if layout.count != weights.shape[0]:
            raise PackingError(node.out.name, "multiplies rows that are not the rows of the summands")
        gather = np.arange(layout.count)[None, None]
        result = np.arange(weights.shape[1])[None, :, None]
        cipher = self._combine(x, gather, weights.T[None], bits, result)
        return Packed(cipher, replace(layout, shape=shape_of(node.out)), x.clean)

    def _product_by_slot(self, node: Node, x: Packed, weights: Array, bits: int, rows: int) -> Packed:
        """A weight per slot (Flatten, then Gemm): what is left is one summand in every slot in use."""
        index = x.layout.index()
        if x.layout.partial:
            raise PackingError(node.out.name, "multiplies summands that are not one to a slot")
        features, outputs = weights.shape
        in_use = int((index >= 0).any(axis=0).sum())
        row = np.arange(index.shape[1]) * rows // max(in_use, 1)
        if in_use % rows or ((index >= 0) & (index // features != row)).any():
            raise PackingError(node.out.name, "needs the rows of its matrix in runs of slots")
        vectors = np.where(index[None] >= 0, weights.T[:, index % features], 0).reshape(-1, index.shape[1])
        out, col = np.repeat(np.arange(outputs), x.layout.count), np.tile(np.arange(x.layout.count), outputs)
        cipher = self._slotwise(x, out, col, vectors, bits, outputs)
        return Packed(cipher, SlotSums(shape_of(node.out), rows, in_use // rows, x.layout.slots), True)

    def _scaled(self, node: Node, x: Packed) -> Packed:
        factor, bits = self._constant(node)
        full = np.broadcast_to(factor, shape_of(node.out))
        if factor.size == 1:
            return replace(x, cipher=self._diagonal(x, np.full(x.layout.count, int(factor.reshape(-1)[0])), bits))
        if isinstance(x.layout, Tiles) and (per_channel := _per_channel(factor, x.layout)) is not None:
            return replace(x, cipher=self._diagonal(x, per_channel[x.layout.positions()[0]], bits))
        index = x.layout.index()
        vectors = np.where(index >= 0, full.reshape(-1)[np.maximum(index, 0)], 0)
        every = np.arange(x.layout.count)
        return replace(x, cipher=self._slotwise(x, every, every, vectors, bits, x.layout.count), clean=True)

    def _sum(self, node: Node, x: Packed) -> Packed:
        if self.graph.is_constant(node.args[1]):
            if isinstance(node.op, Sub):
                raise PackingError(node.out.name, "subtracts a constant: LowerToAffine writes it as a sum")
            constant = self._operand(node.args[1])
            return replace(x, cipher=self.builder.add(AddPlain(x.layout), x.cipher, constant))
        y = self._windowed(node, node.args[1])
        if x.layout != y.layout:
            raise PackingError(node.out.name, "adds values in different layouts")
        op = SubtractCiphers() if isinstance(node.op, Sub) else AddCiphers()
        return Packed(self.builder.add(op, x.cipher, y.cipher), x.layout, x.clean and y.clean)

    def _concat(self, node: Node) -> Packed:
        op, axes = node.op, self.tiling.traced.axes.get(node.out.name)
        if not isinstance(op, Concat) or axes is None or op.axis != axes.channel:
            raise PackingError(node.out.name, "concatenates along an axis that is not the channels'")
        target = self.tiling.layout(node.out)
        parts = [self._windowed(node, arg) for arg in node.args]
        cipher = self.builder.add(ConcatCiphers(), *(part.cipher for part in parts))
        return Packed(cipher, target, all(part.clean for part in parts))

    def _reshape(self, node: Node, x: Packed) -> Packed:
        shape = shape_of(node.out)
        if isinstance(x.layout, SlotSums):
            return replace(x, layout=replace(x.layout, shape=shape))
        axes = self.tiling.traced.axes.get(node.out.name)
        if isinstance(x.layout, Tiles) and axes is not None:
            return replace(x, layout=replace(x.layout, shape=shape, axes=axes))
        return replace(x, layout=Viewed(x.layout, shape))

    def _reduce(self, node: Node, x: Packed) -> Packed:
        op, layout = node.op, self._on_tiles(node, x)
        if not isinstance(op, ReduceSum):
            raise PackingError(node.out.name, "is no sum")
        if _over_channels(op, layout.axes):
            target = self.tiling.layout(node.out)
            gather = np.arange(layout.count).reshape(layout.extents[1], -1).T[None]
            ones = np.ones((1, 1, layout.extents[1]), dtype=np.int64)
            return Packed(self._combine(x, gather, ones, 0, np.arange(target.count)[None, None]), target, x.clean)
        if layout.axes.batch > layout.axes.channel >= 0:
            raise PackingError(node.out.name, "has its batch behind its channels: its sums would trade places")
        spatial = {axis for axis in (layout.axes.row, layout.axes.column) if axis >= 0 and layout.shape[axis] > 1}
        if not spatial <= set(op.axes) or layout.axes.channel in op.axes or layout.axes.batch in op.axes:
            raise PackingError(
                node.out.name, f"sums over axes {op.axes}: the server sums over all pixels, or over channels"
            )
        x = self.masked(x)
        channels = layout.extents[1]
        gather = np.arange(layout.count).reshape(channels, 1, -1)
        ones = np.ones((channels, 1, gather.shape[2]), dtype=np.int64)
        cipher = self._combine(x, gather, ones, 0, np.arange(channels)[:, None, None])
        return Packed(cipher, SlotSums(shape_of(node.out), layout.extents[0], prod(layout.grid), layout.slots), True)

    def _move(self, node: Node, x: Packed) -> Packed:
        source = self._on_tiles(node, x)
        found = node_move(node, source.axes)
        if found is None:
            raise PackingError(node.out.name, f"{type(node.op).__name__} has no form on tiles")
        if found.reads_outside:
            x = self.masked(x)
        target = self.tiling.layout(node.out)
        table = source.cipher(*found.source(*target.positions()))
        return Packed(self._select(node.out.name, x, table), target, x.clean and found.keeps_zeros)

    def masked(self, x: Packed) -> Packed:
        """x with zeros outside the image, as an op that pads needs it."""
        if x.clean or not isinstance(x.layout, Tiles) or not x.layout.outside().any():
            return x
        if x.cipher.name not in self.masks:
            self.masks[x.cipher.name] = self.builder.add(MaskSlots(x.layout), x.cipher)
        return Packed(self.masks[x.cipher.name], x.layout, True)

    def narrowed(self, name: str, x: Packed, target: Tiles) -> Packed:
        """x on a smaller window; ``name`` is the value that needs it, for the message."""
        if x.layout == target:
            return x
        source = x.layout
        if not isinstance(source, Tiles) or replace(source, low=target.low, high=target.high) != target:
            raise PackingError(name, "has no common tiles with what it is joined to")
        return Packed(self._select(name, x, source.cipher(*target.positions())), target, x.clean)

    def _on_tiles(self, node: Node, x: Packed) -> Tiles:
        if not isinstance(x.layout, Tiles):
            raise PackingError(
                node.out.name, f"{type(node.op).__name__} needs an image, but its argument is flattened or summed"
            )
        return x.layout

    def _constant(self, node: Node) -> tuple[Array, int]:
        return self.graph.constant(node.args[1]), scale_of(node.args[1])

    def _operand(self, value: Value) -> Value:
        if value.name in self.builder.arrays:
            return next(constant for constant in self.builder.constants if constant.name == value.name)
        return self.builder.constant(value.name, self.graph.constant(value), scale_of(value))

    def _table(self, name: str, array: Array) -> Value:
        return self.builder.constant(name, np.asarray(array, dtype=np.int64), 0)

    def _select(self, name: str, x: Packed, table: Array) -> Value:
        if np.array_equal(table, np.arange(x.layout.count)):
            return x.cipher
        if (table < 0).any():
            raise PackingError(name, "reads outside of a window; this is a bug in enclair")
        return self.builder.add(SelectCiphers(), x.cipher, self._table("select", table))

    def _combine(self, x: Packed, gather: Array, weights: Array, bits: int, scatter: Array) -> Value:
        op: Op = LinearCombination(int(scatter.max()) + 1)
        constant = self.builder.constant("weights", weights, bits)
        return self.builder.add(op, x.cipher, self._table("gather", gather), constant, self._table("scatter", scatter))

    def _diagonal(self, x: Packed, factors: Array, bits: int) -> Value:
        every = np.arange(factors.size)
        return self._combine(x, every[:, None, None], factors[:, None, None], bits, every[:, None, None])

    def _slotwise(self, x: Packed, rows: Array, cols: Array, vectors: Array, bits: int, outputs: int) -> Value:
        constant = self.builder.constant("vectors", vectors, bits)
        return self.builder.add(
            SlotCombination(outputs), x.cipher, self._table("rows", rows), self._table("cols", cols), constant
        )


def _lows(window: Window) -> tuple[int, int]:
    return window[0][0], window[1][0]


def _highs(window: Window) -> tuple[int, int]:
    return window[0][1], window[1][1]


def _per_channel(factor: Array, layout: Tiles) -> Array | None:
    """A constant that varies along the channels only, as a vector of them; None for any other."""
    rank, axis = len(layout.shape), layout.axes.channel
    shape = (1,) * (rank - factor.ndim) + factor.shape
    if axis < 0 or any(extent != 1 for position, extent in enumerate(shape) if position != axis):
        return None
    return np.broadcast_to(factor.reshape(-1), (layout.shape[axis],))
