"""The tables of a view's server ops, and which slots they treat alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Node, Value
from enclair.compiler.ir.ops.packed import AddPlain, LinearCombination, MaskSlots, SlotCombination
from enclair.compiler.report.views import View

Table: TypeAlias = NDArray[np.int64]
Terms: TypeAlias = tuple[Table, Table, Table]
"""Results, arguments and numbers of the weights of a product's terms."""


def is_product(node: Node) -> bool:
    """Whether a node multiplies ciphertexts by constants."""
    return isinstance(node.op, LinearCombination | SlotCombination)


def weights(node: Node) -> Value:
    """The constant of a product that holds its weights."""
    return node.args[2] if isinstance(node.op, LinearCombination) else node.args[3]


def is_secret_product(view: View, node: Node) -> bool:
    """Whether a node multiplies ciphertexts by weights."""
    return is_product(node) and weights(node).name in view.secret


def is_composed(view: View) -> bool:
    """Whether a product with weights works on sums that have unknown numbers in them already."""
    unknown: set[str] = set()
    for node in view.nodes:
        inner = any(arg.name in unknown for arg in node.args)
        if inner and is_secret_product(view, node):
            return True
        if inner or any(arg.name in view.secret for arg in node.args):
            unknown.add(node.out.name)
    return False


def is_by_slot(view: View) -> bool:
    """Whether each slot has weights of its own."""
    return any(isinstance(node.op, SlotCombination) and is_secret_product(view, node) for node in view.nodes)


def slot_kinds(view: View) -> list[tuple[int, int]]:
    """A slot of each kind, and how many there are: the same ciphertexts hold something, the same masks open."""
    tables = [wanted(view), *(known.elements >= 0 for known in view.known.values())]
    tables += [table for node in view.nodes for table in _patterns(view, node)]
    columns = np.ascontiguousarray(np.hstack([np.packbits(table, axis=0).T for table in tables]))
    _, first, counts = np.unique(columns, axis=0, return_index=True, return_counts=True)
    return list(zip(first.tolist(), counts.tolist(), strict=True))


def wanted(view: View) -> NDArray[np.bool_]:
    """Which slots of the answer hold an element of it, or a summand of one."""
    return view.layout.index() >= 0


def _patterns(view: View, node: Node) -> Iterator[NDArray[np.bool_]]:
    """What tells slots apart in a node, (anything, slots)."""
    match node.op:
        case MaskSlots():
            yield node.op.masked()[1] != 0
        case SlotCombination():
            yield used_results(view, node)
        case AddPlain():
            yield addends(view, node, node.op) != 0
        case _:
            return


def product_terms(view: View, node: Node) -> Terms:
    """The terms of a product; those with a weight of zero too, for the client cannot know which they are."""
    tables = [view.arrays[arg.name] for arg in node.args[1:]]
    if isinstance(node.op, SlotCombination):
        return tables[0], tables[1], np.arange(tables[0].size)
    gather, values, scatter = tables
    g, o, p, k = np.nonzero((scatter[:, :, :, None] >= 0) & (gather[:, None] >= 0))
    return scatter[g, o, p], gather[g, p, k], np.asarray(np.ravel_multi_index((g, o, k), values.shape))


def weight_count(view: View, node: Node) -> int:
    """How many numbers ``product_terms`` tells apart; of a product by vectors one a term, for one slot is looked at."""
    array = view.arrays[weights(node).name]
    return array.shape[0] if isinstance(node.op, SlotCombination) else array.size


def used_results(view: View, node: Node) -> NDArray[np.bool_]:
    """Which slots of which results a product by vectors writes to, (results, slots)."""
    rows, vectors = view.arrays[node.args[1].name], view.arrays[node.args[3].name]
    present, starts = np.unique(rows, return_index=True)
    used = np.zeros((rows.max(initial=-1) + 1, vectors.shape[1]), dtype=bool)
    if present.size:
        used[present] = np.logical_or.reduceat(vectors != 0, starts, axis=0)
    return used


def addends(view: View, node: Node, op: AddPlain) -> Table:
    """Which element of the constant, from 1, is added to each slot; 0 for none, (count, slots)."""
    constant = view.arrays[node.args[1].name]
    return op.vectors(np.arange(1, constant.size + 1).reshape(constant.shape))


def varies(table: Table) -> bool:
    """Whether slots of one ciphertext get different elements."""
    most = table.max(axis=1, initial=0)
    return bool(((table != 0) & (table != most[:, None])).any())
