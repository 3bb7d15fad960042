"""Matrix products with weights in plaintext slots, several outputs to a ciphertext.

The client finishes the sums. It sends each feature once per output that shares a ciphertext (``Replicated``). With p
summands left per output, a product of F features and O outputs takes F / p ciphertexts up and O p rows / slots down.
p = 1 leaves nothing to finish and shows the client nothing but the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node
from enclair.compiler.ir.layouts import BlockSums, Layout, Replicated
from enclair.compiler.ir.ops.packed import SlotCombination
from enclair.compiler.packing.products import check_matrix, extents
from enclair.compiler.packing.tiles import Packed, shape_of
from enclair.compiler.planner.costs import StageCost


@dataclass(frozen=True, slots=True)
class SlotBlocking:
    """How many summands per output are left to the client, and how many outputs share a ciphertext."""

    partials: int
    copies: int
    slots: int

    @property
    def name(self) -> str:
        """For reports."""
        return f"blocks, {self.partials} summands"

    def source(self, shape: tuple[int, ...]) -> Replicated:
        """Every feature once for each output that shares a ciphertext."""
        return Replicated(shape, self.partials, self.copies, self.slots)

    def target(self, node: Node) -> BlockSums:
        """The summands of each output in neighbouring slots."""
        return BlockSums(shape_of(node.out), self.partials, self.copies, self.slots)

    def work(self, node: Node) -> StageCost:
        """A plaintext for each pair of ciphertexts."""
        terms = self.source(shape_of(node.args[0])).count * self.target(node).count
        return StageCost(multiplications=terms, encodings=terms)

    def product(self, builder: Builder, node: Node, x: Packed, weights: Array, scale_bits: int) -> Packed:
        """A term for each pair of ciphertexts, with the weights in the slots of a plaintext."""
        check_matrix(node, weights)
        source, target = x.layout, self.target(node)
        if not isinstance(source, Replicated):
            raise PackingError(x.cipher.name, "is multiplied, but is not an input of the stage")
        rows, cols = np.divmod(np.arange(target.count * source.count), source.count)
        indices = [builder.constant(name, table, 0) for name, table in (("rows", rows), ("cols", cols))]
        constant = builder.constant("vectors", _vectors(weights, source, target), scale_bits)
        return Packed(builder.add(SlotCombination(target.count), x.cipher, *indices, constant), target, True)

    def finished(self, builder: Builder, result: Packed) -> Packed:
        """As it is: every slot is a summand of a result."""
        del builder
        return result

    def reshaped(self, layout: Layout, shape: tuple[int, ...]) -> Layout:
        """The same slots, if the last axis stays."""
        if not isinstance(layout, BlockSums) or shape[-1:] != layout.shape[-1:]:
            raise PackingError(str(layout.shape), f"has no form in blocks as {shape}")
        return replace(layout, shape=shape)


def slot_blockings(graph: Graph, slots: int) -> Iterable[SlotBlocking]:
    """Blockings worth trying: summands by powers of two."""
    rows, features, outputs = extents(graph)
    partials = 1
    while rows * partials <= slots and partials < 2 * max(features.values()):
        yield SlotBlocking(partials, min(slots // (rows * partials), max(outputs.values())), slots)
        partials *= 2


def _vectors(weights: Array, source: Replicated, target: BlockSums) -> Array:
    """Weight of the feature in each slot for the output in each slot, (targets * sources, slots)."""
    features, outputs = weights.shape
    feature, output = source.index()[None], target.index()[:, None]
    held = (feature >= 0) & (output >= 0)
    values = weights[np.where(held, feature % features, 0), np.where(held, output % outputs, 0)]
    return np.where(held, values, 0).reshape(-1, source.slots)
