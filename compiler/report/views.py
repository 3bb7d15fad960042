"""What the server does between what a client knows and what it decrypts, for every answer of a program.

A client knows every slot that it sent and every slot that it decrypted, in this round or before. An answer's view is
the part of the server's graphs, over all rounds, that leads from such slots to the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Array, Graph, Node, Value
from enclair.compiler.ir.layouts import BlockSums, Layout, SlotSums, Tiles, Viewed
from enclair.compiler.ir.ops.ciphers import SelectCiphers
from enclair.compiler.ir.ops.packed import Pack, Unpack
from enclair.compiler.ir.ops.shape import Pad
from enclair.compiler.planner.sides import MOVES, Side, sides_of
from enclair.compiler.program import Program

Elements: TypeAlias = NDArray[np.int32]
"""Which element of a value each slot of a ciphertext array holds, (count, slots); -1 for a slot that is zero."""


@dataclass(frozen=True, slots=True)
class Known:
    """Ciphertexts whose slots the client knows, and the value that is in them."""

    value: str
    elements: Elements = field(repr=False)


@dataclass(frozen=True, slots=True)
class View:
    """How an answer is made.

    Args:
        value: what the client decrypts, as the fixed-point graph names it.
        answer: its ciphertexts.
        layout: where its elements are in them.
        nodes: of the server's graphs, in order; they start from ``known`` and end with the answer.
        arrays: constants of these nodes.
        secret: names of those that are weights.
        known: ciphertexts whose slots the client knows.
        seen: names of the other values that the client has decrypted.
    """

    value: Value
    answer: Value
    layout: Layout
    nodes: tuple[Node, ...]
    arrays: Mapping[str, Array] = field(repr=False)
    secret: frozenset[str]
    known: Mapping[str, Known]
    seen: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """How many slots hold the same output for another row of the batch."""
        return _rows(self.layout)


def views(program: Program) -> Iterator[tuple[int, View]]:
    """Every answer with the number of its round, in order."""
    server = _Server(program)
    for number in range(1, len(program.rounds) + 1):
        for view in server.views(number):
            yield number, view


def secret_nodes(fixed: Graph) -> list[Node]:
    """The nodes of the fixed-point graph that have weights: only the server may compute them."""
    sides = sides_of(fixed)
    return [node for node in fixed.nodes if sides[node.out.name] is Side.SERVER]


def weights_of(fixed: Graph, node: Node) -> list[Value]:
    """The constants among a node's arguments."""
    return [arg for arg in node.args if fixed.is_constant(arg)]


def unpacked(client: Graph) -> dict[str, tuple[Value, Layout]]:
    """Name of the ciphertexts -> the value a client's graph decodes from them, and its layout."""
    return {n.args[0].name: (n.out, n.op.layout) for n in client.nodes if isinstance(n.op, Unpack)}


def packed(client: Graph) -> dict[str, tuple[Value, Layout]]:
    """Name of the ciphertexts that a client's graph encodes -> the value in them, and its layout."""
    return {n.out.name: (n.args[0], n.op.layout) for n in client.nodes if isinstance(n.op, Pack)}


class _Server:
    """The server's graphs as one, and what the client knows of them so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.clients = (program.prologue, *(round_.client for round_ in program.rounds))
        self.nodes = {node.out.name: node for round_ in program.rounds for node in round_.server.nodes}
        self.arrays = {name: array for round_ in program.rounds for name, array in round_.server.arrays.items()}
        self.known: dict[str, Known] = {}
        self.seen: set[str] = set()
        fixed = program.fixed
        values = {_fingerprint(fixed.constant(w)) for node in secret_nodes(fixed) for w in weights_of(fixed, node)}
        self.secret = frozenset(name for name, array in self.arrays.items() if _fingerprint(array) in values)

    def views(self, number: int) -> list[View]:
        sent = packed(self.clients[number - 1])
        answers = unpacked(self.clients[number])
        exchange = self.program.rounds[number - 1].exchange
        self.known |= {name: _elements(*sent[name]) for name, _ in exchange.uploads}
        own = {name: self._known_by(name, answers[name]) for name, _ in exchange.answers}
        for name, known in own.items():
            self.known |= known
            self.seen.add(answers[name][0].name)
        return [self._view(Value(name, type_), *answers[name], own[name].keys()) for name, type_ in exchange.answers]

    def _known_by(self, answer: str, decoded: tuple[Value, Layout]) -> dict[str, Known]:
        """What decrypting an answer tells: its slots, and with it the halo of the same value on the server."""
        value, layout = decoded
        known = {answer: _elements(value, layout)}
        node = self.nodes[answer]
        if isinstance(node.op, SelectCiphers) and not self._moved(value.name):
            whole: Any = node.args[0].type
            numbers = np.arange(whole.count, dtype=np.int32)[:, None]
            halo = np.where((known[answer].elements >= 0).any(axis=0), numbers, np.int32(-1))
            known[node.args[0].name] = Known(node.args[0].name, halo)
        return known

    def _moved(self, name: str) -> bool:
        """Whether a value is another one with its elements in other places."""
        node = self.program.fixed.producers().get(name)
        return node is not None and isinstance(node.op, (*MOVES, Pad))

    def _view(self, answer: Value, value: Value, layout: Layout, own: Iterable[str]) -> View:
        known = {name: known for name, known in self.known.items() if name not in own}
        nodes = self._between(answer.name, known)
        read = {arg.name for node in nodes for arg in node.args}
        return View(
            value,
            answer,
            layout,
            nodes,
            {name: self.arrays[name] for name in read & self.arrays.keys()},
            self.secret & read,
            {name: known[name] for name in sorted(read & known.keys())},
            frozenset(self.seen - {value.name}),
        )

    def _between(self, answer: str, known: Mapping[str, Known]) -> tuple[Node, ...]:
        """The nodes on the way to an answer, back to what is known."""
        needed, found = {answer}, []
        for name in reversed(self.nodes):
            if name in needed and name not in known:
                found.append(self.nodes[name])
                needed |= {arg.name for arg in self.nodes[name].args}
        return tuple(reversed(found))


def _elements(value: Value, layout: Layout) -> Known:
    return Known(value.name, layout.index().astype(np.int32))


def _fingerprint(array: Array) -> bytes:
    """The distinct numbers of an array but zero: packing repeats, moves and pads weights, and changes nothing else."""
    values = np.unique(array)
    return bytes(values[values != 0].tobytes())


def _rows(layout: Layout) -> int:
    match layout:
        case BlockSums():
            return prod(layout.shape[:-1])
        case SlotSums():
            return layout.rows
        case Tiles():
            return layout.extents[0]
        case Viewed():
            return _rows(layout.base)
        case _:
            return 1
