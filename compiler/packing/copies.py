"""Trade border masks for masked copies that the client encodes.

A mask commutes with sums and products by scalars, so it can be moved up to the inputs: instead of one ciphertext and
a multiplication by a 0/1 plaintext on the way, the client sends the ciphertext several times, each blank outside a
window of tiles. That costs uploads, and saves the noise of a plaintext product: about log2(N t) bits, often a whole
prime.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node, Value
from enclair.compiler.ir.layouts import Layout, MaskedCopies, Tiles
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.packed import AddPlain, LinearCombination, MaskSlots, SlotCombination
from enclair.compiler.ir.types import CipherType

MOVES_AND_SUMS = (SelectCiphers, ConcatCiphers, AddPlain, AddCiphers, SubtractCiphers)
"""Ops whose result is blank where all their arguments are."""
Window = tuple[int, int, int, int]
"""First row, last row + 1, first column, last column + 1 of the tiles in which a copy is not blank."""
Request = tuple[int, Window]
"""A ciphertext of a value, blank outside a window."""


def natural_windows(layout: Tiles) -> list[Window]:
    """For every ciphertext of a tile layout the tiles in which its position is inside the image."""
    _, i, j = layout.positions()
    _, _, height, width = layout.extents
    (rows, columns), (tile_rows, tile_columns) = layout.grid, layout.tile
    top, bottom = np.maximum(0, -(i // tile_rows)), np.minimum(rows, -((i - height) // tile_rows))
    left, right = np.maximum(0, -(j // tile_columns)), np.minimum(columns, -((j - width) // tile_columns))
    return list(zip(top.tolist(), bottom.tolist(), left.tolist(), right.tolist(), strict=True))


def intersect(v: Window, w: Window) -> Window | None:
    """The common tiles of two windows; None when there are none."""
    top, bottom, left, right = max(v[0], w[0]), min(v[1], w[1]), max(v[2], w[2]), min(v[3], w[3])
    return (top, bottom, left, right) if top < bottom and left < right else None


def copies_for_masks(graph: Graph, layouts: dict[str, Tiles]) -> tuple[Graph, dict[str, Layout]]:
    """The same packed graph without MaskSlots, on inputs in new layouts.

    Args:
        graph: packed, its inputs on tiles.
        layouts: the layout of each input, by name; all on one grid.

    Raises:
        PackingError: a mask stands before an op that it does not commute with.
    """
    grid = next(iter(layouts.values())).grid
    return _Copier(graph, layouts, (0, grid[0], 0, grid[1])).run()


@dataclass(slots=True)
class _Copier:
    old: Graph
    layouts: dict[str, Tiles]
    full: Window
    requests: dict[str, dict[Request, int]] = field(default_factory=dict)
    made: dict[str, Value] = field(default_factory=dict)
    additions: dict[str, list[Window]] = field(default_factory=dict)
    producers: dict[str, Node] = field(init=False)
    sources: dict[str, tuple[Value, list[list[Window]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.producers = self.old.producers()

    def run(self) -> tuple[Graph, dict[str, Layout]]:
        for value in self.old.outputs:
            for number in range(self._count(value)):
                self._ask(value, number, self.full)
        for node in reversed(self.old.nodes):
            self._ask_arguments(node)
        new = Builder(self.old.name)
        layouts = {value.name: self._input(new, value) for value in self.old.inputs}
        for value in self.old.constants:
            new.constant(value.name, self.old.arrays[value.name], getattr(value.type, "scale_bits", 0))
        for node in self.old.nodes:
            if not isinstance(node.op, MaskSlots) and self.requests.get(node.out.name):
                self._emit(new, node)
        outputs = [
            self._picked(new, value, [(k, self.full) for k in range(self._count(value))]) for value in self.old.outputs
        ]
        return new.build(outputs), layouts

    def _source(self, value: Value) -> tuple[Value, list[list[Window]]]:
        """The value behind the masks, and the windows that each mask, and the image, leaves of its ciphertexts."""
        if value.name not in self.sources:
            self.sources[value.name] = self._behind_masks(value)
        return self.sources[value.name]

    def _behind_masks(self, value: Value) -> tuple[Value, list[list[Window]]]:
        windows = []
        while (node := self.producers.get(value.name)) is not None and isinstance(node.op, MaskSlots):
            windows.append(natural_windows(node.op.layout))
            value = node.args[0]
        if value.name in self.layouts:
            windows.append(natural_windows(self.layouts[value.name]))
        return value, windows

    def _resolve(self, value: Value, number: int, window: Window) -> tuple[Value, Request] | None:
        """What to ask of the value behind the masks; None when nothing is left."""
        source, masks = self._source(value)
        left: Window | None = window
        for windows in masks:
            left = intersect(left, windows[number]) if left is not None else None
        return None if left is None or self._is_blank(source, number, left) else (source, (number, left))

    def _is_blank(self, value: Value, number: int, window: Window) -> bool:
        """Whether all that a ciphertext is moved or added from is blank in the window."""
        node = self.producers.get(value.name)
        if node is None or not isinstance(node.op, MOVES_AND_SUMS):
            return False
        if isinstance(node.op, AddPlain) and intersect(window, self._added(node.op, value)[number]) is not None:
            return False
        return all(self._resolve(arg, k, window) is None for arg, k in self._sources(node, number))

    def _added(self, op: AddPlain, value: Value) -> list[Window]:
        """Where the constant of an addition reaches, for each ciphertext of its result."""
        if value.name not in self.additions:
            everywhere = [self.full] * self._count(value)
            self.additions[value.name] = natural_windows(op.layout) if isinstance(op.layout, Tiles) else everywhere
        return self.additions[value.name]

    def _ask(self, value: Value, number: int, window: Window) -> None:
        if (resolved := self._resolve(value, number, window)) is not None:
            wanted = self.requests.setdefault(resolved[0].name, {})
            wanted.setdefault(resolved[1], len(wanted))

    def _ask_arguments(self, node: Node) -> None:
        wanted = self.requests.get(node.out.name, {})
        match node.op:
            case LinearCombination():
                gather, _, scatter = (self.old.constant(arg) for arg in node.args[1:])
                for group, position, window in self._positions(scatter, wanted):
                    for number in gather[group, position]:
                        if number >= 0:
                            self._ask(node.args[0], int(number), window)
            case SlotCombination():
                rows, cols = self.old.constant(node.args[1]), self.old.constant(node.args[2])
                for number, window in wanted:
                    for col in cols[rows == number]:
                        self._ask(node.args[0], int(col), window)
            case _:
                for request in wanted:
                    for arg, number in self._sources(node, request[0]):
                        self._ask(arg, number, request[1])

    def _sources(self, node: Node, number: int) -> list[tuple[Value, int]]:
        """Which ciphertexts of which arguments a ciphertext of the result is made of, for ops without weights."""
        match node.op:
            case SelectCiphers():
                return [(node.args[0], int(self.old.constant(node.args[1])[number]))]
            case AddCiphers() | SubtractCiphers():
                return [(arg, number) for arg in node.args]
            case ConcatCiphers():
                for arg in node.args:
                    if number < self._count(arg):
                        return [(arg, number)]
                    number -= self._count(arg)
                return []
            case _:
                return [(node.args[0], number)]

    def _positions(self, scatter: Array, wanted: dict[Request, int]) -> list[tuple[int, int, Window]]:
        """Groups, positions and windows that are wanted of any output channel."""
        by_number: dict[int, list[Window]] = {}
        for number, window in wanted:
            by_number.setdefault(number, []).append(window)
        found = dict.fromkeys(
            (int(group), int(position), window)
            for group, channel, position in np.argwhere(scatter >= 0)
            for window in by_number.get(int(scatter[group, channel, position]), [])
        )
        return list(found)

    def _input(self, new: Builder, value: Value) -> Layout:
        copies = tuple((number, *window) for number, window in self.requests.get(value.name, {}))
        type_ = value.type
        if not isinstance(type_, CipherType):
            raise PackingError(value.name, f"is no ciphertext array but {type_}")
        if not copies:
            raise PackingError(value.name, "is blank throughout behind its masks")
        layout = MaskedCopies(self.layouts[value.name], copies)
        self.made[value.name] = new.input(value.name, CipherType(len(copies), type_.slots, type_.scale_bits))
        return layout

    def _emit(self, new: Builder, node: Node) -> None:
        wanted = self.requests[node.out.name]
        match node.op:
            case LinearCombination():
                self.made[node.out.name] = self._combination(new, node, wanted)
            case SlotCombination():
                self.made[node.out.name] = self._slotwise(new, node, wanted)
            case AddPlain():
                x = self._joined(new, node, wanted)
                layout = self._masked_layout(node, wanted)
                self.made[node.out.name] = new.add(AddPlain(layout), x, self._constant(new, node.args[1]))
            case AddCiphers() | SubtractCiphers():
                self.made[node.out.name] = self._joined(new, node, wanted)
            case SelectCiphers() | ConcatCiphers():
                self.made[node.out.name] = self._gathered(new, node, wanted)
            case _:
                raise PackingError(node.out.name, f"a border mask does not pass {type(node.op).__name__}")

    def _joined(self, new: Builder, node: Node, wanted: dict[Request, int]) -> Value:
        """A sum or difference, or one side alone; where a side is blank, a weighted sum that leaves it out."""
        args = [arg for arg in node.args if not self.old.is_constant(arg)]
        tables = [self._table(arg, list(wanted)) for arg in args]
        if all((table >= 0).all() for table in tables):
            sides = [self._picked(new, arg, list(wanted)) for arg in args]
            return sides[0] if len(sides) == 1 else new.add(node.op, *sides)
        copies = [self._copies(arg) for arg in args]
        starts = np.cumsum([0, *(self._count(value) for value in copies)])
        shifted = [np.where(table >= 0, table + start, -1) for table, start in zip(tables, starts, strict=False)]
        signs = [1, -1 if isinstance(node.op, SubtractCiphers) else 1][: len(args)]
        arrays = {"gather": np.stack(shifted, axis=-1)[None], "signs": np.array([[signs]])}
        arrays["scatter"] = np.arange(len(wanted))[None, None]
        constants = [new.constant(name, array, 0) for name, array in arrays.items()]
        stacked = copies[0] if len(copies) == 1 else new.add(ConcatCiphers(), *copies)
        return new.add(LinearCombination(len(wanted)), stacked, *constants)

    def _combination(self, new: Builder, node: Node, wanted: dict[Request, int]) -> Value:
        gather, _, scatter = (self.old.constant(arg) for arg in node.args[1:])
        needed = dict.fromkeys(self._positions(scatter, wanted))
        pairs = list(dict.fromkeys((position, window) for _, position, window in needed))
        new_gather = np.full((gather.shape[0], len(pairs), gather.shape[2]), -1, dtype=np.int64)
        new_scatter = np.full((*scatter.shape[:2], len(pairs)), -1, dtype=np.int64)
        for column, (position, window) in enumerate(pairs):
            for group, channel in np.argwhere(scatter[:, :, position] >= 0):
                new_scatter[group, channel, column] = wanted.get((int(scatter[group, channel, position]), window), -1)
            for group, tap in np.argwhere(gather[:, position] >= 0):
                if (group, position, window) in needed:
                    number = int(gather[group, position, tap])
                    new_gather[group, column, tap] = self._index(node.args[0], number, window)
        tables = [new.constant(name, table, 0) for name, table in (("gather", new_gather), ("scatter", new_scatter))]
        x, weights = self._copies(node.args[0]), self._constant(new, node.args[2])
        return new.add(LinearCombination(len(wanted)), x, tables[0], weights, tables[1])

    def _slotwise(self, new: Builder, node: Node, wanted: dict[Request, int]) -> Value:
        rows, cols, vectors = (self.old.constant(arg) for arg in node.args[1:])
        terms = [
            (target, self._index(node.args[0], int(cols[term]), window), term)
            for (number, window), target in wanted.items()
            for term in np.flatnonzero(rows == number)
        ]
        kept = np.array([term for term in terms if term[1] >= 0], dtype=np.int64).reshape(-1, 3)
        tables = [new.constant(name, column, 0) for name, column in zip(("rows", "cols"), kept.T, strict=False)]
        scale_bits = getattr(node.args[3].type, "scale_bits", 0)
        constant = new.constant("vectors", vectors[kept[:, 2]], scale_bits)
        return new.add(SlotCombination(len(wanted)), self._copies(node.args[0]), *tables, constant)

    def _gathered(self, new: Builder, node: Node, wanted: dict[Request, int]) -> Value:
        """A selection from one array or several, in the order wanted."""
        picks = [(*self._sources(node, number)[0], window) for number, window in wanted]
        sources = list(dict.fromkeys(self._source(arg)[0] for arg, _, _ in picks))
        starts = dict(
            zip((s.name for s in sources), np.cumsum([0, *(len(self.requests[s.name]) for s in sources)]), strict=False)
        )
        arrays = [self._copies(source) for source in sources]
        stacked = arrays[0] if len(arrays) == 1 else new.add(ConcatCiphers(), *arrays)
        table = [starts[self._source(arg)[0].name] + self._index(arg, number, window) for arg, number, window in picks]
        return new.add(SelectCiphers(), stacked, new.constant("select", np.array(table, dtype=np.int64), 0))

    def _picked(self, new: Builder, value: Value, wanted: list[Request]) -> Value:
        """The requests of a value, in the order wanted."""
        table, made = self._table(value, wanted), self._copies(value)
        if (table < 0).any():
            raise PackingError(value.name, "is blank where it is added to")
        if np.array_equal(table, np.arange(self._count(made))):
            return made
        return new.add(SelectCiphers(), made, new.constant("select", table, 0))

    def _table(self, value: Value, wanted: list[Request]) -> Array:
        """Numbers of the copies that requests of a value stand for, -1 for a blank one."""
        return np.array([self._index(value, number, window) for number, window in wanted], dtype=np.int64)

    def _copies(self, value: Value) -> Value:
        """The copies of what is behind a value's masks."""
        source, _ = self._source(value)
        if source.name not in self.made:
            raise PackingError(value.name, "is blank throughout behind its mask")
        return self.made[source.name]

    def _index(self, value: Value, number: int, window: Window) -> int:
        resolved = self._resolve(value, number, window)
        return -1 if resolved is None else self.requests[resolved[0].name][resolved[1]]

    def _masked_layout(self, node: Node, wanted: dict[Request, int]) -> Layout:
        layout: Layout = node.op.layout if isinstance(node.op, AddPlain) else None  # type: ignore[assignment]
        if isinstance(layout, Tiles):
            return MaskedCopies(layout, tuple((number, *window) for number, window in wanted))
        if list(wanted) != [(number, self.full) for number in range(layout.count)]:
            raise PackingError(node.out.name, "a border mask does not pass a sum over the image")
        return layout

    def _constant(self, new: Builder, value: Value) -> Value:
        return next(constant for constant in new.constants if constant.name == value.name)

    def _count(self, value: Value) -> int:
        if not isinstance(value.type, CipherType):
            raise PackingError(value.name, f"is no ciphertext array but {value.type}")
        return value.type.count
