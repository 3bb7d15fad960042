"""Between reals and fixed point, and between scales: the only ops that round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.types import TensorType, Type

Integers = NDArray[np.int64]


def fixed_operand(op: Op, type_: Type) -> tuple[TensorType, int]:
    """The type and the scale of a fixed-point argument; TypeRuleError for anything else."""
    if not isinstance(type_, TensorType) or type_.scale_bits is None:
        raise TypeRuleError(f"{type(op).__name__} needs a fixed-point tensor, got {type_}: quantise it first")
    return type_, type_.scale_bits


@register
@dataclass(frozen=True, slots=True)
class Quantise(Op):
    """Reals to integers: round half to even at scale 2^scale_bits, then saturate to [low, high]. NaN becomes 0."""

    scale_bits: int
    low: int
    high: int

    def result_type(self, *args: Type) -> TensorType:
        """Fixed point of the same shape."""
        (x,) = args
        if not isinstance(x, TensorType) or x.is_fixed:
            raise TypeRuleError(f"Quantise needs a tensor of reals, got {x}: use Requantise")
        return replace(x, scale_bits=self.scale_bits)

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Rounded and saturated."""
        return np.asarray(np.clip(np.nan_to_num(self._rounded(args[0])), self.low, self.high).astype(np.int64))

    def saturations(self, x: NDArray[Any]) -> int:
        """How many elements of x are cut off by [low, high], or are NaN."""
        rounded = self._rounded(x)
        return int(np.count_nonzero(~((rounded >= self.low) & (rounded <= self.high))))

    def _rounded(self, x: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.rint(np.ldexp(x, self.scale_bits)))


@register
@dataclass(frozen=True, slots=True)
class Requantise(Op):
    """Divide integers by 2^shift, half to even, then saturate to [low, high]: the scale loses ``shift`` bits."""

    shift: int
    low: int
    high: int

    def result_type(self, *args: Type) -> TensorType:
        """The same shape, ``shift`` scale bits less."""
        x, scale_bits = fixed_operand(self, args[0])
        return replace(x, scale_bits=scale_bits - self.shift)

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Shifted, rounded, saturated."""
        return np.clip(shift_round(args[0], self.shift), self.low, self.high)

    def saturations(self, x: NDArray[Any]) -> int:
        """How many elements of x are cut off by [low, high]."""
        shifted = shift_round(x, self.shift)
        return int(np.count_nonzero((shifted < self.low) | (shifted > self.high)))


@register
@dataclass(frozen=True, slots=True)
class Dequantise(Op):
    """Integers to the reals they stand for. Exact below 2^53."""

    scale_bits: int

    def result_type(self, *args: Type) -> TensorType:
        """Reals of the same shape."""
        x, scale_bits = fixed_operand(self, args[0])
        if scale_bits != self.scale_bits:
            raise TypeRuleError(f"Dequantise at scale 2^{self.scale_bits} of {x}: the scales differ")
        return TensorType(x.shape)

    def evaluate(self, *args: NDArray[Any]) -> NDArray[np.float64]:
        """Divided by 2^scale_bits."""
        return np.asarray(np.ldexp(args[0].astype(np.float64), -self.scale_bits))


@register
@dataclass(frozen=True, slots=True)
class Shift(Op):
    """Multiply integers by 2^bits and raise their scale by as much: the value stays. Aligns the sides of an Add."""

    bits: int

    def result_type(self, *args: Type) -> TensorType:
        """The same shape, ``bits`` scale bits more."""
        x, scale_bits = fixed_operand(self, args[0])
        if self.bits < 0:
            raise TypeRuleError(f"Shift needs bits >= 0, got {self.bits}: a right shift is a Requantise")
        return replace(x, scale_bits=scale_bits + self.bits)

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Shifted left."""
        return np.asarray(np.left_shift(args[0], self.bits))


@register
@dataclass(frozen=True, slots=True)
class Refresh(Op):
    """The same value, seen by the client between two server stages: decrypted, rounded to fewer bits, encrypted."""

    def result_type(self, *args: Type) -> TensorType:
        """The argument's type."""
        (x,) = args
        if not isinstance(x, TensorType):
            raise TypeRuleError(f"Refresh needs a tensor, got {x}")
        return x

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The argument."""
        return args[0]


def shift_round(x: Integers, shift: int) -> Integers:
    """x / 2^shift rounded half to even, in integers; a negative shift multiplies."""
    if shift <= 0:
        return np.left_shift(x, -shift)
    taken = np.asarray(x)
    rounded = np.empty(taken.shape, dtype=np.int64)
    source, target = taken.reshape(-1), rounded.reshape(-1)
    for start in range(0, source.size, _AT_ONCE):
        _round_into(target[start : start + _AT_ONCE], source[start : start + _AT_ONCE], shift)
    return rounded


_AT_ONCE = 1 << 14
"""Integers rounded at a time: they and what is computed on the way stay in a core's cache."""


def _round_into(rounded: Integers, x: Integers, shift: int) -> None:
    """What is left of x above its floor rounds up when it is more than half, or half and the floor is odd."""
    half = np.int64(1) << np.int64(shift - 1)
    np.right_shift(x, shift, out=rounded)
    rest = np.left_shift(rounded, shift)
    np.subtract(x, rest, out=rest)
    odd = rounded & 1
    rest += odd
    rounded += rest > half
