"""Ops on ciphertext arrays of either scheme: sums, and which ciphertexts go on.

In the clear a ciphertext array is an array (count, slots): int64 for BFV, float64 for CKKS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.types import CiphersType, CipherType, CkksType, TensorType, Type

SCALE_GAP = 2.0**-40
"""Scales that differ by no more than this, relatively, count as equal: sums of such values are off by as much."""


def ciphers(op: Op, type_: Type) -> CiphersType:
    """The type, once it is known to be of ciphertexts; TypeRuleError for anything else."""
    if not isinstance(type_, CipherType | CkksType):
        raise TypeRuleError(f"{type(op).__name__} needs ciphertexts, got {type_}")
    return type_


def alike(op: Op, left: Type, right: Type) -> CiphersType:
    """The left type, once the right one is known to be of the same kind, level, scale and number of parts."""
    one, other = ciphers(op, left), ciphers(op, right)
    if isinstance(one, CkksType) and isinstance(other, CkksType) and same_scale(one.scale, other.scale):
        other = replace(other, scale=one.scale)
    if replace(one, count=1) != replace(other, count=1):
        differ = (
            "their levels, scales or parts differ" if isinstance(one, CkksType) else "scales, slots or encodings differ"
        )
        raise TypeRuleError(f"{type(op).__name__} needs two of a kind, got {left} and {right}: {differ}")
    return one


def same_scale(one: float | None, other: float | None) -> bool:
    """Whether two scales are equal but for rounding."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= SCALE_GAP * one


@register
@dataclass(frozen=True, slots=True)
class AddCiphers(Op):
    """The sum of two ciphertext arrays."""

    def result_type(self, *args: Type) -> CiphersType:
        """The left side's type; both sides must be alike."""
        return _same(self, *args)

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Element by element."""
        return np.asarray(args[0] + args[1])


@register
@dataclass(frozen=True, slots=True)
class SubtractCiphers(Op):
    """The difference of two ciphertext arrays."""

    def result_type(self, *args: Type) -> CiphersType:
        """The left side's type; both sides must be alike."""
        return _same(self, *args)

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Element by element."""
        return np.asarray(args[0] - args[1])


@register
@dataclass(frozen=True, slots=True)
class ConcatCiphers(Op):
    """All ciphertexts of the arguments, one after another."""

    def result_type(self, *args: Type) -> CiphersType:
        """The counts add; all arguments must be alike."""
        first = ciphers(self, args[0])
        count = sum(alike(self, arg, first).count for arg in args)
        return replace(first, count=count)

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Stacked."""
        return np.concatenate(args)


@register
@dataclass(frozen=True, slots=True)
class SelectCiphers(Op):
    """Some of the ciphertexts, by number (a second argument: int table of one axis)."""

    def result_type(self, *args: Type) -> CiphersType:
        """As many as the table has entries."""
        table = args[1]
        if not isinstance(table, TensorType) or len(table.shape) != 1:
            raise TypeRuleError(f"SelectCiphers needs a table of one axis, got {table}")
        return replace(ciphers(self, args[0]), count=table.shape[0])

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Gathered."""
        return np.asarray(args[0][args[1]])


def _same(op: Op, *args: Type) -> CiphersType:
    left, right = args
    type_ = alike(op, left, right)
    if type_.count != ciphers(op, right).count:
        raise TypeRuleError(f"{type(op).__name__} needs two of a kind, got {left} and {right}")
    return type_
