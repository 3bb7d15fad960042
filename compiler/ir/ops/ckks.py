"""Ops on real slot vectors and CKKS ciphertexts.

In the clear a ciphertext array is a float64 array (count, slots), and these ops are exact but for float rounding. In a
PACKED graph ciphertexts have neither level nor scale; in a LEVELED one the type rules hold both to what CKKS allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir import slot_layouts  # noqa: F401 - makes its layouts known to the parser
from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.polynomial import chebyshev_sum, check_polynomial
from enclair.compiler.ir.ops.rules import reals
from enclair.compiler.ir.types import CkksType, RealSlotsType, TensorType, Type
from enclair.compiler.ir.weight_columns import add_sums, weight_matrices

Reals = NDArray[np.float64]


def _ckks(op: Op, type_: Type, parts: tuple[int, ...] = (2, 3)) -> CkksType:
    """The type, once it is known to be of CKKS ciphertexts with as many parts."""
    if not isinstance(type_, CkksType):
        raise TypeRuleError(f"{type(op).__name__} needs CKKS ciphertexts, got {type_}")
    if type_.parts not in parts:
        raise TypeRuleError(f"{type(op).__name__} needs ciphertexts of two parts, got {type_}: relinearise first")
    return type_


def _scaled(op: Op, x: CkksType, plain_scale: float | None) -> CkksType:
    """The type of a product with a plaintext of this scale."""
    if (x.scale is None) != (plain_scale is None):
        raise TypeRuleError(
            f"{type(op).__name__} has plaintexts of scale {plain_scale}, its ciphertexts are {x}: both or neither have"
            " a scale"
        )
    if x.scale is None or plain_scale is None:
        return x
    if not plain_scale >= 1:
        raise TypeRuleError(f"{type(op).__name__} needs plaintexts of a scale of at least 1, got {plain_scale}")
    return replace(x, scale=x.scale * plain_scale)


def _vectors(op: Op, x: CkksType, type_: Type) -> None:
    """Check that constant vectors fit ciphertexts: one for all or one each, of one slot or all."""
    fits = isinstance(type_, TensorType) and not type_.is_fixed and len(type_.shape) == 2
    if not fits or type_.shape[0] not in {1, x.count} or type_.shape[1] not in {1, x.slots}:  # type: ignore[union-attr]
        raise TypeRuleError(
            f"{type(op).__name__} needs real vectors (1 or {x.count}, 1 or {x.slots}) beside {x}, got {type_}"
        )


@register
@dataclass(frozen=True, slots=True)
class PackReals(Op):
    """A tensor of reals to the slot vectors of a layout (client)."""

    layout: Layout

    def result_type(self, *args: Type) -> RealSlotsType:
        """As many slot vectors as the layout has."""
        (x,) = reals(self, args, 1)
        if x.shape != self.layout.shape:
            raise TypeRuleError(f"the layout is for shape {self.layout.shape}, got {x}")
        return RealSlotsType(self.layout.count, self.layout.slots)

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """Every slot gets its element, or 0."""
        index = self.layout.index()
        flat = np.asarray(args[0], dtype=np.float64).reshape(-1)
        return np.where(index >= 0, flat[np.maximum(index, 0)], 0.0)


@register
@dataclass(frozen=True, slots=True)
class UnpackReals(Op):
    """Slot vectors to the tensor of reals they hold, summing summands; of copies the first counts (client)."""

    layout: Layout

    def result_type(self, *args: Type) -> TensorType:
        """The tensor."""
        (x,) = args
        if not isinstance(x, RealSlotsType) or (x.count, x.slots) != (self.layout.count, self.layout.slots):
            raise TypeRuleError(
                f"the layout needs {self.layout.count} real slot vectors of {self.layout.slots}, got {x}"
            )
        return TensorType(self.layout.shape)

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """The tensor."""
        index, slots = self.layout.index(), args[0]
        held = index >= 0
        flat = np.zeros(TensorType(self.layout.shape).size)
        if self.layout.partial:
            np.add.at(flat, index[held], slots[held])
        else:
            flat[index[held][::-1]] = slots[held][::-1]
        return flat.reshape(self.layout.shape)


@register
@dataclass(frozen=True, slots=True)
class LinearTransform(Op):
    """Any linear map on the slots of all ciphertexts, by generalised diagonals.

    Arguments: ciphertexts x; ``rows``, ``cols``, ``rotations``, ``which`` (terms,), integers; ``weights`` (terms,) and
    ``vectors`` (distinct, slots or 1), reals.

        out[rows[t]] += weights[t] * vectors[which[t]] * roll(x[cols[t]], -rotations[t])

    Rotation r brings slot i + r to slot i. Rotations are in [0, slots). (Halevi and Shoup, CRYPTO 2014 and 2018.)

    Args:
        outputs: number of results; those without a term are zero.
        baby_steps: n: rotations are made as g n + b, b below n, baby steps first; 0 makes each at once.
        plain_scale: of the plaintexts ``weights[t] * vectors[which[t]]``, in a LEVELED graph.
        weight_scale: the part of ``plain_scale`` that the weights get, a power of two: they are rounded to integers,
            and each vector is one plaintext of scale plain_scale / weight_scale for all its weights. None encodes
            weights and vectors together.
    """

    outputs: int
    baby_steps: int = 0
    plain_scale: float | None = None
    weight_scale: float | None = None

    def result_type(self, *args: Type) -> CkksType:
        """``outputs`` ciphertexts; the scales multiply."""
        x, rows, cols, rotations, which, weights, vectors = args
        cipher = _ckks(self, x, (2,))
        tables = (rows, cols, rotations, which)
        if not all(isinstance(t, TensorType) and t.scale_bits == 0 and t == rows for t in tables):
            raise TypeRuleError(f"LinearTransform needs four integer tables of one length, got {tables}")
        if not isinstance(rows, TensorType) or len(rows.shape) != 1 or weights != TensorType(rows.shape):
            raise TypeRuleError(f"LinearTransform needs a real weight for each of {rows}, got {weights}")
        if not isinstance(vectors, TensorType) or len(vectors.shape) != 2 or vectors.shape[1] not in {1, cipher.slots}:
            raise TypeRuleError(f"LinearTransform needs real vectors (any, 1 or {cipher.slots}), got {vectors}")
        _check_weight_scale(self, vectors)
        return replace(_scaled(self, cipher, self.plain_scale), count=self.outputs)

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """All terms of a result at once."""
        x, rows, cols, rotations, which, weights, vectors = args
        out = np.zeros((self.outputs, 1, x.shape[1]))
        for matrix in weight_matrices((rows, cols, rotations, which), weights, 0, x.shape[1]):
            add_sums(out, matrix, vectors, np.asarray(x, np.float64)[None])
        return out[:, 0]


def _check_weight_scale(op: LinearTransform, vectors: TensorType) -> None:
    """Check that the scale can be divided between weights and vectors as the op says."""
    if op.weight_scale is None:
        return
    if op.plain_scale is None or not 1 < op.weight_scale < op.plain_scale or frexp(op.weight_scale)[0] != 0.5:
        raise TypeRuleError(
            "LinearTransform needs a weight_scale that is a power of two between 1 and its plain_scale, got"
            f" {op.weight_scale} of {op.plain_scale}: leave it out, or place levels first"
        )
    if vectors.shape[1] == 1:
        raise TypeRuleError(
            f"LinearTransform with a weight_scale needs vectors of all slots, got {vectors}: leave weight_scale out"
        )


@register
@dataclass(frozen=True, slots=True)
class RotateSlots(Op):
    """All ciphertexts rotated: slot i gets what slot i + steps held."""

    steps: int

    def result_type(self, *args: Type) -> CkksType:
        """The argument's type."""
        x = _ckks(self, args[0], (2,))
        if not 0 < self.steps < x.slots:
            raise TypeRuleError(f"RotateSlots needs 0 < steps < {x.slots}, got {self.steps}")
        return x

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """Rolled."""
        return np.roll(args[0], -self.steps, axis=1)


@register
@dataclass(frozen=True, slots=True)
class MultiplyCiphers(Op):
    """The product of two ciphertext arrays, slot by slot; of three parts in a LEVELED graph."""

    def result_type(self, *args: Type) -> CkksType:
        """The scales multiply."""
        x, y = (_ckks(self, arg, (2,)) for arg in args)
        if (x.count, x.slots, x.level) != (y.count, y.slots, y.level):
            raise TypeRuleError(f"MultiplyCiphers needs as many ciphertexts at one level, got {x} and {y}")
        if x.scale is None or y.scale is None:
            return x
        return replace(x, scale=x.scale * y.scale, parts=3)

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """Element by element."""
        return np.asarray(args[0] * args[1])


@register
@dataclass(frozen=True, slots=True)
class MultiplyPlain(Op):
    """Ciphertexts times constant vectors (1 or count, 1 or slots), slot by slot.

    Args:
        plain_scale: of the vectors, in a LEVELED graph.
    """

    plain_scale: float | None = None

    def result_type(self, *args: Type) -> CkksType:
        """The scales multiply."""
        x = _ckks(self, args[0])
        _vectors(self, x, args[1])
        return _scaled(self, x, self.plain_scale)

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """Element by element."""
        return np.asarray(args[0] * args[1])


@register
@dataclass(frozen=True, slots=True)
class AddPlainVectors(Op):
    """Ciphertexts plus constant vectors (1 or count, 1 or slots), encoded at their scale and level."""

    def result_type(self, *args: Type) -> CkksType:
        """The argument's type."""
        x = _ckks(self, args[0])
        _vectors(self, x, args[1])
        return x

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """Element by element."""
        return np.asarray(args[0] + args[1])


@register
@dataclass(frozen=True, slots=True)
class EvaluatePolynomial(Op):
    """A polynomial of every slot, whatever it holds; see ``Polynomial`` for the fields. Only in PACKED graphs."""

    coefficients: tuple[float, ...]
    low: float
    high: float

    def result_type(self, *args: Type) -> CkksType:
        """The argument's type."""
        check_polynomial(self.coefficients, self.low, self.high)
        return _ckks(self, args[0], (2,))

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """Clenshaw's sum in float64."""
        return chebyshev_sum(self.coefficients, self.low, self.high, args[0])


@register
@dataclass(frozen=True, slots=True)
class Relinearise(Op):
    """A product of three parts to two, by the relinearisation key."""

    def result_type(self, *args: Type) -> CkksType:
        """The same in two parts."""
        x = _ckks(self, args[0])
        if x.parts == 2:
            raise TypeRuleError(f"Relinearise needs a product of three parts, got {x}: leave it out")
        return replace(x, parts=2)

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """The value itself."""
        return args[0]


@register
@dataclass(frozen=True, slots=True)
class Rescale(Op):
    """Divide by the last prime of the level. The value stays, the scale is divided; spends one level."""

    prime: int

    def result_type(self, *args: Type) -> CkksType:
        """One level lower."""
        x = _ckks(self, args[0])
        if x.level is None or x.scale is None or x.level == 0:
            raise TypeRuleError(f"Rescale needs a level to spend, got {x}: compile with more levels")
        if x.scale < 2.0 * self.prime:
            raise TypeRuleError(f"Rescale by {self.prime} leaves no scale in {x}: multiply first")
        return replace(x, level=x.level - 1, scale=x.scale / self.prime)

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """The value itself."""
        return args[0]


@register
@dataclass(frozen=True, slots=True)
class DropToLevel(Op):
    """Drop primes down to a level; value and scale stay."""

    level: int

    def result_type(self, *args: Type) -> CkksType:
        """At the lower level."""
        x = _ckks(self, args[0])
        if x.level is None or not 0 <= self.level < x.level:
            raise TypeRuleError(f"DropToLevel({self.level}) needs a higher level, got {x}")
        return replace(x, level=self.level)

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """The value itself."""
        return args[0]
