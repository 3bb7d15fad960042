"""What a LEVELED graph does on ciphertexts, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import (
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    Relinearise,
    Rescale,
    RotateSlots,
)
from enclair.compiler.ir.types import CkksType

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Operations:
    """How many of each, counted by ciphertext.

    Args:
        hoisted: rotations that share a decomposition with others (baby steps, or all of a transform without).
        rotations: rotations by themselves (giant steps, rotate-and-sum).
        plain_products: products with a plaintext.
        products: products of two ciphertexts.
        relinearisations: key switches after them.
        rescales: divisions by a prime.
    """

    hoisted: int = 0
    rotations: int = 0
    plain_products: int = 0
    products: int = 0
    relinearisations: int = 0
    rescales: int = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Operations)))


def operations(graph: Graph, nodes: Iterable[Node]) -> Operations:
    """All operations of some nodes of a graph."""
    return sum((_of_node(graph, node) for node in nodes), Operations())


def layers(server: Graph, values: Mapping[str, str]) -> Iterator[tuple[str, list[Node]]]:
    """The server's nodes in runs, each up to the node that makes a value of the reference graph, with its name there.

    Args:
        server: LEVELED.
        values: names in the server's graph by names in the reference graph.
    """
    names = {own: name for name, own in values.items()}
    run: list[Node] = []
    for node in server.nodes:
        run.append(node)
        if node.out.name in names:
            yield names[node.out.name], run
            run = []
    if run:
        yield run[-1].out.name, run


def _of_node(graph: Graph, node: Node) -> Operations:
    count = node.out.type.count if isinstance(node.out.type, CkksType) else 0
    match node.op:
        case LinearTransform():
            return _of_transform(graph, node, node.op.baby_steps)
        case RotateSlots():
            return Operations(rotations=count)
        case MultiplyPlain():
            return Operations(plain_products=count)
        case MultiplyCiphers():
            return Operations(products=count)
        case Relinearise():
            return Operations(relinearisations=count)
        case Rescale():
            return Operations(rescales=count)
        case _:
            return Operations()


def _of_transform(graph: Graph, node: Node, baby_steps: int) -> Operations:
    rows, cols, rotations, which = (graph.constant(arg) for arg in node.args[1:5])
    babies = rotations % baby_steps if baby_steps else rotations
    giants = rotations - babies
    return Operations(
        hoisted=_distinct(cols, babies, where=babies > 0),
        rotations=_distinct(rows, giants, where=giants > 0),
        plain_products=_distinct(rows, rotations, which, where=rows >= 0),
    )


def _distinct(*columns: Integers, where: NDArray[np.bool_]) -> int:
    return len(np.unique(np.stack([column[where] for column in columns]), axis=1).T)
