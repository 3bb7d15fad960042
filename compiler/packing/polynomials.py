"""Matrix products on coefficients: several features and several outputs to a ciphertext, and nothing left to finish.

A row of the matrix takes one power of X below Y = X^span, its features powers of Y; the server multiplies by
polynomials in Y that hold the weights (``PolynomialCombination``). With p features in a ciphertext sent and blocks / p
outputs in one returned, a product of F features and O outputs takes F / p ciphertexts up and O p / blocks down, for
every ``span`` rows. Weights grow the noise by their sum alone, where per-slot plaintexts grow it by N t. What lies
between the outputs is hidden from the client, so that it sees the product and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node
from enclair.compiler.ir.layouts import Coefficients, Layout
from enclair.compiler.ir.ops.packed import HideUnheld, PolynomialCombination
from enclair.compiler.packing.products import check_matrix, extents
from enclair.compiler.packing.tiles import Packed, shape_of
from enclair.compiler.planner.costs import StageCost, products_of_chunks, transforms_of


@dataclass(frozen=True, slots=True)
class PolynomialBlocking:
    """How many coefficients lie between powers of Y, and how many features and outputs of a row share a ciphertext."""

    span: int
    features: int
    outputs: int
    slots: int

    @property
    def name(self) -> str:
        """For reports."""
        return f"coefficients, {self.features} features, {self.outputs} outputs"

    def source(self, shape: tuple[int, ...]) -> Coefficients:
        """Features in consecutive powers of Y."""
        return Coefficients(shape, self.span, self.features, 1, self.slots)

    def target(self, node: Node) -> Coefficients:
        """Outputs as many powers of Y apart as features are sent together."""
        return Coefficients(shape_of(node.out), self.span, self.outputs, self.features, self.slots)

    def work(self, node: Node) -> StageCost:
        """A polynomial for each pair of ciphertexts of the same rows."""
        op = self._op(self.source(shape_of(node.args[0])), node)
        return StageCost(polynomial_products=products_of_chunks(op), transforms=transforms_of(op))

    def product(self, builder: Builder, node: Node, x: Packed, weights: Array, scale_bits: int) -> Packed:
        """One product of matrices over the polynomials in Y."""
        check_matrix(node, weights)
        if not isinstance(x.layout, Coefficients):
            raise PackingError(x.cipher.name, "is multiplied, but is not an input of the stage")
        op, constant = self._op(x.layout, node), builder.constant("weights", weights, scale_bits)
        return Packed(builder.add(op, x.cipher, constant), op.target, True)

    def _op(self, source: Coefficients, node: Node) -> PolynomialCombination:
        return PolynomialCombination(source, self.target(node))

    def finished(self, builder: Builder, result: Packed) -> Packed:
        """Without the sums that lie between the outputs."""
        if self.features == 1:
            return result
        return replace(result, cipher=builder.add(HideUnheld(result.layout), result.cipher))

    def reshaped(self, layout: Layout, shape: tuple[int, ...]) -> Layout:
        """The same coefficients, if the last axis stays."""
        if not isinstance(layout, Coefficients) or shape[-1:] != layout.shape[-1:]:
            raise PackingError(str(layout.shape), f"has no form in blocks as {shape}")
        return replace(layout, shape=shape)


def polynomial_blockings(graph: Graph, slots: int, upload: float, answer: float) -> Iterable[PolynomialBlocking]:
    """The cheapest blockings, by the cost of a ciphertext sent and of one returned.

    Rows lie as densely as powers of two allow: fewer to a ciphertext would cost more each way, by the square root. The
    noise grows by the weights of all outputs that share a ciphertext, so there is one blocking for each limit of these.
    """
    rows, features, outputs = extents(graph)
    span = min(slots, 1 << (rows - 1).bit_length())
    blocks = slots // span
    packed = np.arange(1, blocks + 1)
    uploads = sum(-(-count // packed) for count in features.values())
    found = dict[tuple[int, int], None]()
    for limit in reversed(range(blocks.bit_length())):
        returned = np.minimum(1 << limit, blocks // packed)
        cheapest = np.argmin(upload * uploads + answer * sum(-(-count // returned) for count in outputs.values()))
        found[int(packed[cheapest]), int(returned[cheapest])] = None
    for sent, shared in found:
        yield PolynomialBlocking(span, sent, shared, slots)
