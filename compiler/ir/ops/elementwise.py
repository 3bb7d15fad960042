"""Arithmetic element by element, with broadcasting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir import exact_math
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.rules import (
    broadcast,
    product_scale,
    reals,
    require,
    same_kind,
    same_scale,
    tensors,
)
from enclair.compiler.ir.types import TensorType, Type


class _SameScale(Op):
    """Two arguments of one kind and one scale."""

    __slots__ = ()

    def result_type(self, *args: Type) -> TensorType:
        """The common shape at the common scale."""
        x, y = same_scale(self, args, 2)
        return x.with_shape(broadcast(self, x.shape, y.shape))


@register
@dataclass(frozen=True, slots=True)
class Add(_SameScale):
    """x + y."""

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """x + y."""
        return np.asarray(np.add(*args))


@register
@dataclass(frozen=True, slots=True)
class Sub(_SameScale):
    """x - y."""

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """x - y."""
        return np.asarray(np.subtract(*args))


@register
@dataclass(frozen=True, slots=True)
class Minimum(_SameScale):
    """The smaller of x and y."""

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """min(x, y)."""
        return np.asarray(np.minimum(*args))


@register
@dataclass(frozen=True, slots=True)
class Maximum(_SameScale):
    """The larger of x and y."""

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """max(x, y)."""
        return np.asarray(np.maximum(*args))


@register
@dataclass(frozen=True, slots=True)
class Mul(Op):
    """x * y. Scales add."""

    def result_type(self, *args: Type) -> TensorType:
        """The common shape at the sum of the scales."""
        x, y = same_kind(self, args, 2)
        return TensorType(broadcast(self, x.shape, y.shape), product_scale(x, y))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """x * y."""
        return np.asarray(np.multiply(*args))


@register
@dataclass(frozen=True, slots=True)
class Div(Op):
    """x / y on reals."""

    def result_type(self, *args: Type) -> TensorType:
        """The common shape."""
        x, y = reals(self, args, 2)
        return TensorType(broadcast(self, x.shape, y.shape))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """x / y, infinite or NaN where y is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.divide(*args))


@register
@dataclass(frozen=True, slots=True)
class Neg(Op):
    """-x."""

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        return tensors(self, args, 1)[0]

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """-x."""
        return np.asarray(np.negative(args[0]))


@register
@dataclass(frozen=True, slots=True)
class Abs(Op):
    """|x|."""

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        return tensors(self, args, 1)[0]

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """|x|."""
        return np.asarray(np.absolute(args[0]))


@register
@dataclass(frozen=True, slots=True)
class Pow(Op):
    """x ^ exponent on reals; NaN for a negative x and an exponent that is not an integer."""

    exponent: float

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        return reals(self, args, 1)[0]

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Products and square roots where the exponent allows it, else exp(exponent log x)."""
        return exact_math.power(args[0], self.exponent)


@register
@dataclass(frozen=True, slots=True)
class Reciprocal(Op):
    """1 / x on reals."""

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        return reals(self, args, 1)[0]

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """1 / x, infinite where x is 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.divide(1.0, args[0]))


@register
@dataclass(frozen=True, slots=True)
class Where(Op):
    """x where cond is not 0, else y. cond is real (0 or 1); x and y share a scale."""

    def result_type(self, *args: Type) -> TensorType:
        """The common shape of all three, at the scale of x and y."""
        cond, x, y = tensors(self, args, 3)
        same_scale(self, (x, y), 2)
        require(not cond.is_fixed, f"Where needs a real condition of zeros and ones, got {cond}: dequantise first")
        return x.with_shape(broadcast(self, cond.shape, x.shape, y.shape))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The choice."""
        cond, x, y = args
        return np.asarray(np.where(cond != 0, x, y))


@register
@dataclass(frozen=True, slots=True)
class Greater(Op):
    """1 where x > y, else 0, on reals."""

    def result_type(self, *args: Type) -> TensorType:
        """The common shape."""
        x, y = reals(self, args, 2)
        return TensorType(broadcast(self, x.shape, y.shape))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The truth value as a real."""
        return np.asarray(np.greater(*args), dtype=np.float64)
