"""Graphs: frozen nodes in execution order, each producing one named value."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Any, Literal, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.types import TensorType, Type

Array: TypeAlias = NDArray[Any]
Side: TypeAlias = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Value:
    """A name with a type. Names are unique in a graph, and in a whole program."""

    name: str
    type: Type

    def __str__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True, slots=True)
class Place:
    """Who computes a node, and in which round. Round 0 is the client's, before the first upload."""

    side: Side
    round: int

    def __str__(self) -> str:
        return f"{self.side}:{self.round}"


@dataclass(frozen=True, slots=True)
class Node:
    """One op applied to values. ``origin`` is the user's source line or module, for messages."""

    op: Op
    args: tuple[Value, ...]
    out: Value
    origin: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        place = f" @{self.place}" if self.place else ""
        origin = f" # {self.origin}" if self.origin else ""
        args = "".join(f" {arg}" for arg in self.args)
        return f"{self.out}: {self.out.type} = {self.op!r}{args}{place}{origin}"


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Inputs, constants (value and array), nodes in topological order, outputs."""

    name: str
    inputs: tuple[Value, ...]
    constants: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    arrays: Mapping[str, Array] = field(default_factory=dict, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        same_text = (self.name, self.inputs, self.constants, self.nodes, self.outputs) == (
            other.name, other.inputs, other.constants, other.nodes, other.outputs
        )  # fmt: skip
        return same_text and all(
            self.arrays[c.name].dtype == other.arrays[c.name].dtype
            and np.array_equal(
                self.arrays[c.name], other.arrays[c.name], equal_nan=self.arrays[c.name].dtype.kind == "f"
            )
            for c in self.constants
        )

    def __hash__(self) -> int:
        return hash((self.name, self.inputs, self.constants, self.nodes, self.outputs))

    def __str__(self) -> str:
        lines = [f"graph {self.name}"]
        lines += [f"input {value}: {value.type}" for value in self.inputs]
        lines += [f"const {value}: {value.type}" for value in self.constants]
        lines += [str(node) for node in self.nodes]
        lines += [f"output {value}" for value in self.outputs]
        return "\n".join(lines) + "\n"

    def is_constant(self, value: Value) -> bool:
        """Whether the value is one of the graph's constants."""
        return value.name in self.arrays

    def constant(self, value: Value) -> Array:
        """The array of a constant."""
        return self.arrays[value.name]

    def producers(self) -> dict[str, Node]:
        """Value name -> the node that makes it."""
        return {node.out.name: node for node in self.nodes}

    def consumers(self) -> dict[str, list[Node]]:
        """Value name -> the nodes that read it, in order. Every value of the graph has an entry."""
        readers: dict[str, list[Node]] = {value.name: [] for value in self.values()}
        for node in self.nodes:
            for name in dict.fromkeys(arg.name for arg in node.args):
                readers[name].append(node)
        return readers

    def values(self) -> Iterator[Value]:
        """Every value: inputs, constants, node results."""
        yield from self.inputs
        yield from self.constants
        yield from (node.out for node in self.nodes)

    def to_networkx(self) -> nx.DiGraph[str]:
        """Values as vertices (attribute ``type``, and ``op``, ``node`` where a node makes it), uses as edges."""
        drawn: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        for value in self.values():
            drawn.add_node(value.name, type=value.type)
        for node in self.nodes:
            drawn.add_node(node.out.name, op=type(node.op).__name__, node=node)
            drawn.add_edges_from((arg.name, node.out.name) for arg in node.args)
        return drawn

    def digest(self) -> str:
        """sha256 over the text and the constants."""
        digest = hashlib.sha256(str(self).encode())
        for value in self.constants:
            digest.update(np.ascontiguousarray(self.arrays[value.name]).tobytes())
        return digest.hexdigest()


class Builder:
    """Makes a graph node by node; each op's type rule runs as the node is added.

    Args:
        name: of the graph.
        reserved: names that fresh values do not get, because others will.
    """

    def __init__(self, name: str, reserved: Iterable[str] = ()) -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.constants: list[Value] = []
        self.nodes: list[Node] = []
        self.arrays: dict[str, Array] = {}
        self._taken: set[str] = set()
        self._reserved = frozenset(reserved)

    def input(self, name: str, type_: Type) -> Value:
        """Declare an input."""
        self.inputs.append(value := Value(self._claim(name), type_))
        return value

    def constant(self, name: str, array: Array, scale_bits: int | None = None) -> Value:
        """Add a constant: reals as float64, fixed-point (``scale_bits`` given) as int64."""
        fresh = self._claim(self.fresh(name))
        frozen = np.array(array, dtype=np.float64 if scale_bits is None else np.int64, order="C")
        frozen.setflags(write=False)
        self.arrays[fresh] = frozen
        self.constants.append(value := Value(fresh, TensorType(frozen.shape, scale_bits)))
        return value

    def add(self, op: Op, *args: Value, name: str = "", origin: str = "", place: Place | None = None) -> Value:
        """Append a node. Its name is ``name``, or a fresh one made from the op's.

        Raises:
            TypeRuleError: the op has no meaning for these arguments.
        """
        try:
            type_ = op.result_type(*(arg.type for arg in args))
        except TypeRuleError as error:
            where = f"\n  at {origin}" if origin else ""
            raise TypeRuleError(f"{error}\n  in {op!r} {' '.join(map(str, args))}{where}") from None
        out = Value(self._claim(name or self.fresh(type(op).__name__.lower())), type_)
        self.nodes.append(Node(op, args, out, " ".join(origin.split()), place))
        return out

    def fresh(self, stem: str) -> str:
        """A name neither used yet nor reserved: the stem itself, or the stem with a number."""
        names = chain([stem], (f"{stem}.{number}" for number in count(1)))
        return next(name for name in names if name not in self._taken and name not in self._reserved)

    def build(self, outputs: Iterable[Value]) -> Graph:
        """The finished graph, without nodes and constants that no output needs."""
        graph = Graph(
            self.name, tuple(self.inputs), tuple(self.constants), tuple(self.nodes), tuple(outputs), dict(self.arrays)
        )
        return prune(graph)

    def _claim(self, name: str) -> str:
        if name in self._taken:
            raise TypeRuleError(f"value name {name!r} is used twice: names are unique in a graph")
        if not name or name.split() != [name]:
            raise TypeRuleError(f"value name {name!r} is empty or has white space: leave it out")
        self._taken.add(name)
        return name


def prune(graph: Graph) -> Graph:
    """Drop the nodes and constants that no output needs. Inputs stay."""
    needed = {value.name for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if node.out.name in needed:
            kept.append(node)
            needed.update(arg.name for arg in node.args)
    constants = tuple(value for value in graph.constants if value.name in needed)
    arrays = {value.name: graph.arrays[value.name] for value in constants}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants, arrays=arrays)


def without_origins(graph: Graph) -> Graph:
    """The graph without what it says of the user's source."""
    return replace(graph, nodes=tuple(replace(node, origin="") for node in graph.nodes))


Visit: TypeAlias = Callable[["Rewriter", Node, tuple[Value, ...]], "Value | None"]


class Rewriter(Builder):
    """A builder that copies another graph, node by node, and lets ``visit`` replace some.

    ``visit(rewriter, node, args)`` gets the node with its arguments already in the new graph. It returns the value to
    use instead, or None to keep the node. A replacement of a graph output must be added under the old name
    (``node.out.name``).
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.name, [value.name for value in graph.values()])
        self.old = graph
        self.new: dict[str, Value] = {}

    def run(self, visit: Visit) -> Graph:
        """The rewritten graph."""
        for value in self.old.inputs:
            self.new[value.name] = self.input(value.name, value.type)
        for value in self.old.constants:
            self._claim(value.name)
            self.constants.append(value)
            self.arrays[value.name] = self.old.arrays[value.name]
            self.new[value.name] = value
        for node in self.old.nodes:
            args = tuple(self.new[arg.name] for arg in node.args)
            self.new[node.out.name] = visit(self, node, args) or self.keep(node, args)
        return self.build(self.new[value.name] for value in self.old.outputs)

    def keep(self, node: Node, args: tuple[Value, ...]) -> Value:
        """Copy the node as it is, on the given arguments."""
        return self.add(node.op, *args, name=node.out.name, origin=node.origin, place=node.place)


def rewrite(graph: Graph, visit: Visit) -> Graph:
    """Copy a graph, replacing the nodes for which ``visit`` returns a value."""
    return Rewriter(graph).run(visit)
