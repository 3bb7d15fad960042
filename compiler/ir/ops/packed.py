"""Ops on slot vectors: what the client packs and unpacks, and what the server does with ciphertexts.

In the clear a ciphertext array is an int64 array (count, slots); the meanings here are exact integers, without a
modulus.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.integer_math import matmul
from enclair.compiler.ir.layouts import Coefficients, Layout, Tiles, encoding_of
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.fixed import fixed_operand
from enclair.compiler.ir.slots import pack, spread, unpack
from enclair.compiler.ir.types import CipherType, Encoding, SlotsType, TensorType, Type

Integers = NDArray[np.int64]

LEAST_SPAN = 16
"""Rows between two powers of Y from which products are matrix products at every value of Y. For fewer, weights go to
evaluation form pair by pair.
"""


def _cipher(op: Op, type_: Type) -> CipherType:
    if not isinstance(type_, CipherType):
        raise TypeRuleError(f"{type(op).__name__} needs ciphertexts, got {type_}")
    return type_


@register
@dataclass(frozen=True, slots=True)
class Pack(Op):
    """A fixed-point tensor to the slot vectors of a layout (client)."""

    layout: Layout

    def result_type(self, *args: Type) -> SlotsType:
        """Slot vectors of the tensor's scale."""
        x, scale_bits = fixed_operand(self, args[0])
        if x.shape != self.layout.shape:
            raise TypeRuleError(f"the layout is for shape {self.layout.shape}, got {x}")
        return SlotsType(self.layout.count, self.layout.slots, scale_bits, encoding_of(self.layout))

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """The slot vectors."""
        return pack(self.layout, args[0])


@register
@dataclass(frozen=True, slots=True)
class Unpack(Op):
    """Slot vectors to the tensor they hold, summing summands (client)."""

    layout: Layout

    def result_type(self, *args: Type) -> TensorType:
        """The fixed-point tensor."""
        (x,) = args
        if not isinstance(x, SlotsType) or (x.count, x.slots) != (self.layout.count, self.layout.slots):
            raise TypeRuleError(f"the layout needs {self.layout.count} slot vectors of {self.layout.slots}, got {x}")
        _check_encoding(self.layout, x)
        return TensorType(self.layout.shape, x.scale_bits)

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """The tensor."""
        return unpack(self.layout, args[0])


@register
@dataclass(frozen=True, slots=True)
class LinearCombination(Op):
    """Sums of ciphertexts times integer scalars: a matrix product on gathered ciphertexts, in groups.

    Arguments: ciphertexts x; ``gather`` (groups, positions, taps), ciphertext numbers, -1 for none; ``weights``
    (groups, channels, taps), fixed point; ``scatter`` (groups, channels, positions), the number of the result, -1 for
    none.

        out[scatter[g, o, p]] = sum_k weights[g, o, k] * x[gather[g, p, k]]

    Every result is written at most once; results nothing is written to are zero.
    """

    outputs: int

    def result_type(self, *args: Type) -> CipherType:
        """``outputs`` ciphertexts; the scales add."""
        x, gather, weights, scatter = args
        cipher = _cipher(self, x)
        weights_type, scale_bits = fixed_operand(self, weights)
        if not isinstance(gather, TensorType) or not isinstance(scatter, TensorType):
            raise TypeRuleError(f"LinearCombination needs index tables, got {gather} and {scatter}")
        (groups, channels, taps), (_, positions, _) = weights_type.shape, gather.shape
        if gather.shape != (groups, positions, taps) or scatter.shape != (groups, channels, positions):
            raise TypeRuleError(f"tables {gather}, {weights_type}, {scatter} do not fit together")
        return replace(cipher, count=self.outputs, scale_bits=cipher.scale_bits + scale_bits)

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Exact in int64."""
        x, gather, weights, scatter = args
        out = np.zeros((self.outputs, x.shape[1]), dtype=np.int64)
        for group, position in np.ndindex(gather.shape[:2]):
            cols, rows = gather[group, position], scatter[group, :, position]
            sums = matmul(weights[group][np.ix_(rows >= 0, cols >= 0)], x[cols[cols >= 0]])
            out[rows[rows >= 0]] = sums
        return out


@register
@dataclass(frozen=True, slots=True)
class SlotCombination(Op):
    """Sums of ciphertexts times plaintext vectors, slot by slot: out[rows[i]] += vectors[i] * x[cols[i]].

    Arguments: ciphertexts x; ``rows``, ``cols`` (terms,), sorted by row; ``vectors`` (terms, slots), fixed point.
    """

    outputs: int

    def result_type(self, *args: Type) -> CipherType:
        """``outputs`` ciphertexts; the scales add."""
        x, rows, cols, vectors = args
        cipher = _cipher(self, x)
        vectors_type, scale_bits = fixed_operand(self, vectors)
        if not isinstance(rows, TensorType) or rows != cols or vectors_type.shape != (*rows.shape, cipher.slots):
            raise TypeRuleError(f"terms {rows}, {cols}, {vectors} do not fit together or to {cipher}")
        _check_in_slots(self, cipher)
        return replace(cipher, count=self.outputs, scale_bits=cipher.scale_bits + scale_bits)

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Exact in int64."""
        x, rows, cols, vectors = args
        out = np.zeros((self.outputs, x.shape[1]), dtype=np.int64)
        for row, col, vector in zip(rows, cols, vectors, strict=True):
            out[row] += vector * x[col]
        return out


@register
@dataclass(frozen=True, slots=True)
class PolynomialCombination(Op):
    """The rows of a matrix times constant weights, by products with polynomials in Y = X^span.

    Arguments: ciphertexts x of the rows in ``source``; ``weights`` (features, outputs), fixed point. The sums come out
    in ``target``; what lies between them are sums that nobody asked for.

    Source and target have one span. With p features of a row in a source ciphertext, 1 power of Y apart, its outputs
    are p powers apart: of x = sum_i x_i Y^i and w = sum_i w_i Y^-i, the product has sum_i w_i x_i at Y^0, and
    unwanted sums up to Y^(p-1) and down to Y^-(p-1). (Huang, Lu, Hong and Ding, "Cheetah", USENIX Security 2022,
    section 3, with rows side by side in the powers of X below Y.)
    """

    source: Coefficients
    target: Coefficients

    @property
    def chunks(self) -> int:
        """Parts of the rows, each with ciphertexts of its own."""
        return self.source.chunks

    @property
    def blocks(self) -> int:
        """Y^blocks = -1."""
        return self.source.slots // self.source.span

    def result_type(self, *args: Type) -> CipherType:
        """The ciphertexts of ``target``; the scales add."""
        x, weights = args
        cipher = _cipher(self, x)
        weights_type, scale_bits = fixed_operand(self, weights)
        _check_product(self.source, self.target, weights_type.shape)
        if cipher.encoding is not Encoding.COEFFICIENTS or cipher.count != self.source.count:
            raise TypeRuleError(f"PolynomialCombination needs {self.source.count} ciphertexts in coefficients, got {x}")
        return replace(cipher, count=self.target.count, scale_bits=cipher.scale_bits + scale_bits)

    def polynomials(self, weights: Integers) -> tuple[Integers, Integers]:
        """For each pair of ciphertexts of a chunk the coefficients (outputs, inputs, taps) of Y^powers (taps,)."""
        (features, outputs), packed = weights.shape, self.source.features
        feature, output = np.meshgrid(np.arange(features), np.arange(outputs), indexing="ij")
        power = output % self.target.features * self.target.step - feature % packed
        table = np.zeros((self.target.groups, self.source.groups, self.blocks), dtype=np.int64)
        where = (output // self.target.features, feature // packed, power % self.blocks)
        table[where] = np.where(power < 0, -weights, weights)
        powers = np.flatnonzero(table.any(axis=(0, 1)))
        return table[:, :, powers], powers

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Exact in int64: multiplying by Y moves every block to the next, and the last, negated, to the first."""
        x, weights = args
        return polynomial_sums(x, *self.polynomials(weights), self.blocks, self.chunks)


@register
@dataclass(frozen=True, slots=True)
class HideUnheld(Op):
    """Make what the layout does not hold uniformly random: coefficients in between hold sums nobody asked for.

    In the clear it is zero: nothing may depend on it.
    """

    layout: Layout

    def result_type(self, *args: Type) -> CipherType:
        """The argument's type."""
        cipher = _cipher(self, args[0])
        if (cipher.count, cipher.slots) != (self.layout.count, self.layout.slots):
            raise TypeRuleError(f"a layout of {self.layout.count} x {self.layout.slots} does not fit {cipher}")
        _check_encoding(self.layout, cipher)
        return cipher

    def unheld(self) -> NDArray[np.bool_]:
        """What to hide, (count, slots)."""
        return np.asarray(self.layout.index() < 0)

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Zero where nothing is held."""
        return np.where(self.unheld(), 0, args[0])


@register
@dataclass(frozen=True, slots=True)
class AddPlain(Op):
    """Add a constant tensor to the values a layout holds.

    Arguments: ciphertexts, the fixed-point constant, which broadcasts to the layout's shape.
    """

    layout: Layout

    def result_type(self, *args: Type) -> CipherType:
        """The ciphertexts' type; scales must be equal."""
        cipher = _cipher(self, args[0])
        constant, scale_bits = fixed_operand(self, args[1])
        if scale_bits != cipher.scale_bits or cipher.count != self.layout.count:
            raise TypeRuleError(f"cannot add {constant} to {cipher} in a layout of {self.layout.count} ciphertexts")
        _check_encoding(self.layout, cipher)
        np.broadcast_shapes(constant.shape, self.layout.shape)
        return cipher

    def vectors(self, constant: Integers) -> Integers:
        """The plaintext slot vectors (count, slots) of the constant."""
        return spread(self.layout, np.broadcast_to(constant, self.layout.shape))

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Exact in int64."""
        return np.asarray(args[0] + self.vectors(args[1]))


@register
@dataclass(frozen=True, slots=True)
class MaskSlots(Op):
    """Set the slots outside the image to zero: a 0/1 plaintext for every ciphertext that has some."""

    layout: Tiles

    def result_type(self, *args: Type) -> CipherType:
        """The argument's type."""
        cipher = _cipher(self, args[0])
        if (cipher.count, cipher.slots) != (self.layout.count, self.layout.slots):
            raise TypeRuleError(
                f"a mask for {self.layout.count} ciphertexts of {self.layout.slots} slots does not fit {cipher}"
            )
        _check_in_slots(self, cipher)
        return cipher

    def masked(self) -> tuple[Integers, Integers]:
        """Numbers of the ciphertexts to multiply, and the 0/1 vectors to multiply them by."""
        outside = self.layout.outside()
        numbers = np.flatnonzero(outside.any(axis=1))
        vectors = np.zeros((numbers.size, self.layout.slots), dtype=np.int64)
        vectors[:, : self.layout.used] = ~outside[numbers]
        return numbers, vectors

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Exact in int64."""
        numbers, vectors = self.masked()
        out = args[0].copy()
        out[numbers] *= vectors
        return out


def polynomial_sums(x: Integers, weights: Integers, powers: Integers, blocks: int, chunks: int) -> Integers:
    """out[chunk, o] = sum_k,t weights[o, k, t] Y^powers[t] x[chunk, k] on coefficients, exact in int64.

    Args:
        x: (chunks * inputs, slots).
        weights: (outputs, inputs, taps).
        powers: (taps,) of Y = X^(slots / blocks), below ``blocks``.
        blocks: Y^blocks = -1.
        chunks: how often there are as many ciphertexts as inputs.
    """
    outputs, inputs, _ = weights.shape
    slots = x.shape[1]
    x = x.reshape(chunks, inputs, blocks, slots // blocks)
    out = np.zeros((chunks, outputs, slots), dtype=np.int64)
    for tap, power in enumerate(powers.tolist()):
        moved = np.concatenate([-x[:, :, blocks - power :], x[:, :, : blocks - power]], axis=2)
        out += matmul(weights[:, :, tap], moved.reshape(chunks, inputs, slots))
    return out.reshape(-1, slots)


def dense_polynomials(weights: Integers, powers: Integers, blocks: int) -> Integers:
    """The coefficients (outputs, inputs, blocks) of Y^0, Y^1, ... from those (outputs, inputs, taps) of ``powers``."""
    table = np.zeros((*weights.shape[:2], blocks), dtype=np.int64)
    table[:, :, powers] = weights
    return table


def terms(gather: Integers, weights: Integers, scatter: Integers) -> tuple[Integers, Integers, Integers]:
    """The non-zero terms of a LinearCombination: rows, columns and weights, sorted by row."""
    taken = (scatter[:, :, :, None] >= 0) & (gather[:, None] >= 0) & (weights[:, :, None] != 0)
    g, o, p, k = np.nonzero(taken)
    rows, cols, values = scatter[g, o, p], gather[g, p, k], weights[g, o, k]
    order = np.argsort(rows, kind="stable")
    return rows[order], cols[order], values[order]


def _check_product(source: Coefficients, target: Coefficients, weights: tuple[int, ...]) -> None:
    fits = weights == (source.shape[-1], target.shape[-1]) and source.shape[:-1] == target.shape[:-1]
    if not fits or (source.span, source.slots) != (target.span, target.slots):
        raise TypeRuleError(f"weights of shape {weights} do not take {source} to {target}")
    blocks = source.slots // source.span
    if source.step != 1 or target.step < source.features or target.step * target.features > blocks:
        raise TypeRuleError(
            f"{source.features} features of a source need outputs as many powers of Y apart, {target.features} of them"
            f" within {blocks}; they are {target.step} apart"
        )


def _check_encoding(layout: Layout, x: CipherType | SlotsType) -> None:
    if encoding_of(layout) is not x.encoding:
        raise TypeRuleError(f"the layout is of {encoding_of(layout).value}, got {x}")


def _check_in_slots(op: Op, x: CipherType) -> None:
    if x.encoding is not Encoding.SLOTS:
        raise TypeRuleError(f"{type(op).__name__} multiplies slot by slot, got {x}")
