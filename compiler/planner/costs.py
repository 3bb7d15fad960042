"""What server stages cost: time by measured op costs, noise by proven growth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from math import log2
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.ir.ops.packed import (
    LEAST_SPAN,
    AddPlain,
    HideUnheld,
    LinearCombination,
    MaskSlots,
    PolynomialCombination,
    SlotCombination,
)
from enclair.compiler.ir.types import CipherType

Table: TypeAlias = NDArray[np.int64]
MEASURED_RING_DIM, MEASURED_LIMBS = 8192, 2
PLAIN_NOISE = 2.0**-6
"""The rounding of an added plaintext (1/2) in units of the noise bound of a fresh upload (39), rounded up."""


@dataclass(frozen=True, slots=True)
class OpCosts:
    """Milliseconds per ciphertext at ring dimension 8192 with 2 limbs, one thread; other rings by N log N times limbs.

    ``megabyte`` is a megabyte on the wire at 1 Gbit/s.
    """

    encode: float = 1.0
    encrypt: float = 5.5
    decrypt: float = 1.2
    multiply: float = 0.005
    polynomial_product: float = 0.02
    transform: float = 0.12
    add: float = 0.04
    answer: float = 7.0
    megabyte: float = 8.0


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one server stage takes: ciphertexts each way and server operations."""

    uploads: int = 0
    answers: int = 0
    multiplications: int = 0
    polynomial_products: int = 0
    encodings: int = 0
    additions: int = 0
    transforms: int = 0

    def __add__(self, other: StageCost) -> StageCost:
        """The cost of both."""
        return StageCost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def milliseconds(self, ring_dim: int, limbs: int, costs: OpCosts) -> float:
        """Client, server and wire together, one thread."""
        size = ring_dim * log2(ring_dim) * limbs / (MEASURED_RING_DIM * log2(MEASURED_RING_DIM) * MEASURED_LIMBS)
        compute = (
            self.uploads * costs.encrypt
            + self.answers * (costs.decrypt + costs.answer)
            + self.multiplications * costs.multiply
            + self.polynomial_products * costs.polynomial_product
            + self.encodings * costs.encode
            + self.additions * costs.add
            + self.transforms * costs.transform
        )
        bytes_ = 16 * ring_dim * (self.uploads * limbs + self.answers)
        return compute * size + bytes_ / 1e6 * costs.megabyte


def stage_cost(graph: Graph, uploads: int, answers: int) -> StageCost:
    """Count the operations of a packed server graph."""
    multiplications = polynomial_products = encodings = additions = transforms = 0
    for node in graph.nodes:
        count = node.out.type.count if isinstance(node.out.type, CipherType) else 0
        match node.op:
            case LinearCombination():
                multiplications += _term_count(*(graph.constant(arg) for arg in node.args[1:]))
            case SlotCombination():
                multiplications += graph.constant(node.args[1]).size
                encodings += graph.constant(node.args[1]).size
            case MaskSlots():
                masked = node.op.masked()[0].size
                multiplications += masked
                encodings += masked
            case PolynomialCombination() | PolynomialConvolution():
                polynomial_products += products_of_chunks(node.op)
                transforms += transforms_of(node.op)
            case AddPlain() | HideUnheld():
                encodings += count
                additions += count
            case AddCiphers() | SubtractCiphers():
                additions += count
            case _:
                pass
    return StageCost(uploads, answers, multiplications, polynomial_products, encodings, additions, transforms)


def products_of_chunks(op: PolynomialCombination | PolynomialConvolution) -> int:
    """How many products of a ciphertext and a polynomial the server computes: of those of the same chunk."""
    return op.source.count * op.target.count // op.chunks


def transforms_of(op: PolynomialCombination | PolynomialConvolution) -> int:
    """How many weights, each a polynomial, the server brings to evaluation form one by one."""
    if op.source.slots // op.blocks >= LEAST_SPAN:
        return 0
    return op.source.count * op.target.count // op.chunks**2


def noise_growth(graph: Graph, slot_vector_bits: float, known: Mapping[str, float]) -> dict[str, float]:
    """How many bits the noise of a fresh upload may have grown by, for every ciphertext value: a proven bound.

    Args:
        graph: a packed server graph.
        slot_vector_bits: growth by a product with a plaintext vector.
        known: growth of kept inputs; uploads have none.
    """
    growth = {value.name: known.get(value.name, 0.0) for value in graph.inputs}
    for node in graph.nodes:
        args = [growth[arg.name] for arg in node.args if arg.name in growth]
        growth[node.out.name] = _node_growth(graph, node, args, slot_vector_bits)
    return growth


def _node_growth(graph: Graph, node: Node, args: list[float], slot_vector_bits: float) -> float:
    match node.op:
        case LinearCombination():
            return args[0] + log2(max(1, _largest_weight_sum(*(graph.constant(arg) for arg in node.args[1:]))))
        case SlotCombination():
            rows = graph.constant(node.args[1])
            return args[0] + slot_vector_bits + log2(max(1, int(np.bincount(rows).max(initial=1))))
        case PolynomialCombination() | PolynomialConvolution():
            polynomials, _ = node.op.polynomials(graph.constant(node.args[1]))
            magnitudes = np.abs(polynomials).sum(axis=(1, 2))
            return args[0] + log2(max(1, int(magnitudes.max(initial=1))))
        case MaskSlots():
            return args[0] + slot_vector_bits
        case AddCiphers() | SubtractCiphers():
            return log2(sum(2.0**bits for bits in args))
        case AddPlain() | HideUnheld():
            return log2(2.0 ** args[0] + PLAIN_NOISE)
        case SelectCiphers() | ConcatCiphers():
            return max(args)
        case _:
            raise TypeError(f"{type(node.op).__name__} is not a server op")


def _term_count(gather: Table, _: Table, scatter: Table) -> int:
    """Terms with a ciphertext and a result: each is a product, whether or not its weight is zero."""
    return int(((gather >= 0).sum(axis=2) * (scatter >= 0).sum(axis=1)).sum())


def _largest_weight_sum(gather: Table, weights: Table, scatter: Table) -> int:
    """The most that the magnitudes of the weights of a result add up to."""
    sums = np.abs(weights) @ (gather >= 0).swapaxes(1, 2)
    return int(np.where(scatter >= 0, sums, 0).max(initial=0))
