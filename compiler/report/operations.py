"""What a LEVELED graph does on ciphertexts, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

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
from enclair.compiler.planner.ckks_costs import transform_steps


@dataclass(frozen=True, slots=True)
class Operations:
    """How many of each, counted by ciphertext.

    Args:
        hoisted: rotations that share a decomposition with others (baby steps, or all of a transform without).
        rotations: rotations by themselves (giant steps, rotate-and-sum).
        plain_products: products with a plaintext, of a vector or of one number for all slots. Integer weights that are
            apart from vectors are no plaintexts: their products cost next to nothing.
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
            return _of_transform(graph, node)
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


def _of_transform(graph: Graph, node: Node) -> Operations:
    steps = transform_steps(graph, node)
    return Operations(hoisted=steps.babies, rotations=steps.giants, plain_products=steps.products)
