"""Nonlinear functions of one element, and softmax.

On reals each is computed by ``exact_math`` from IEEE operations in a fixed order, so that the result does not depend on
threads, batch, CPU or numpy's choice of instructions. Formulas are those of the ONNX operators of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir import exact_math
from enclair.compiler.ir.exact_math import Reals
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.rules import broadcast, check_axes, reals, require, tensors, to_scale
from enclair.compiler.ir.types import TensorType, Type


class RealFunction(Op):
    """A function of each element of one real tensor."""

    __slots__ = ()

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        return reals(self, args, 1)[0]

    def evaluate(self, *args: NDArray[Any]) -> Reals:
        """The function of each element."""
        return np.asarray(self.apply(args[0]))

    def apply(self, x: Reals) -> Reals:
        """The function of each element."""
        raise NotImplementedError(type(self).__name__)


@register
@dataclass(frozen=True, slots=True)
class Relu(Op):
    """max(x, 0)."""

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        return tensors(self, args, 1)[0]

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """max(x, 0)."""
        return np.asarray(np.maximum(args[0], 0))


@register
@dataclass(frozen=True, slots=True)
class LeakyRelu(RealFunction):
    """x, or alpha x where x < 0."""

    alpha: float

    def apply(self, x: Reals) -> Reals:
        """x >= 0 ? x : alpha x."""
        return np.where(x >= 0, x, self.alpha * x)


@register
@dataclass(frozen=True, slots=True)
class PRelu(Op):
    """x, or slope x where x < 0; the slope broadcasts to x."""

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        x, slope = reals(self, args, 2)
        common = broadcast(self, x.shape, slope.shape)
        require(common == x.shape, f"PRelu needs a slope that broadcasts to {x}, got {slope}")
        return x

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """x >= 0 ? x : slope x."""
        x, slope = args
        return np.where(x >= 0, x, slope * x)


@register
@dataclass(frozen=True, slots=True)
class Clip(Op):
    """x, but at least ``low`` and at most ``high`` (infinite: no limit).

    On fixed point the op carries the scale of x in ``scale_bits``; the limits are rounded to it, half to even.
    """

    low: float
    high: float
    scale_bits: int | None = None

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        (x,) = tensors(self, args, 1)
        require(self.low <= self.high, f"Clip needs low <= high, got {self.low} and {self.high}")
        require(
            x.scale_bits == self.scale_bits,
            f"Clip on {x} rounds its limits to that scale, got scale_bits={self.scale_bits}: "
            f"give the op scale_bits={x.scale_bits}",
        )
        return x

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """min(max(x, low), high)."""
        (x,) = args
        if self.scale_bits is None:
            return np.asarray(np.minimum(np.maximum(x, self.low), self.high))
        low, high = to_scale(self.low, self.scale_bits), to_scale(self.high, self.scale_bits)
        return np.asarray(np.minimum(np.maximum(x, np.int64(low)), np.int64(high)))


@register
@dataclass(frozen=True, slots=True)
class Sigmoid(RealFunction):
    """1 / (1 + exp(-x))."""

    def apply(self, x: Reals) -> Reals:
        """1 / (1 + exp(-x))."""
        return exact_math.sigmoid(x)


@register
@dataclass(frozen=True, slots=True)
class Tanh(RealFunction):
    """The hyperbolic tangent."""

    def apply(self, x: Reals) -> Reals:
        """tanh x."""
        return exact_math.tanh(x)


@register
@dataclass(frozen=True, slots=True)
class Erf(RealFunction):
    """The error function."""

    def apply(self, x: Reals) -> Reals:
        """erf x."""
        return exact_math.erf(x)


@register
@dataclass(frozen=True, slots=True)
class Gelu(RealFunction):
    """x Phi(x), Phi the normal distribution; ``approximate`` "none" or "tanh" (Hendrycks and Gimpel, 2016)."""

    approximate: str = "none"

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        require(
            self.approximate in ("none", "tanh"), f"Gelu needs approximate 'none' or 'tanh', got {self.approximate!r}"
        )
        return reals(self, args, 1)[0]

    def apply(self, x: Reals) -> Reals:
        """x (1 + erf(x / sqrt 2)) / 2, or with tanh(sqrt(2 / pi) (x + 0.044715 x^3)) for the erf."""
        if self.approximate == "none":
            return 0.5 * x * (1.0 + exact_math.erf(x * 0.7071067811865476))
        return 0.5 * x * (1.0 + exact_math.tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))


@register
@dataclass(frozen=True, slots=True)
class Silu(RealFunction):
    """x sigmoid(x), also known as swish."""

    def apply(self, x: Reals) -> Reals:
        """x sigmoid(x)."""
        return x * exact_math.sigmoid(x)


@register
@dataclass(frozen=True, slots=True)
class HardSigmoid(RealFunction):
    """max(0, min(1, alpha x + beta))."""

    alpha: float
    beta: float

    def apply(self, x: Reals) -> Reals:
        """max(0, min(1, alpha x + beta))."""
        return np.asarray(np.maximum(0.0, np.minimum(1.0, self.alpha * x + self.beta)))


@register
@dataclass(frozen=True, slots=True)
class HardSwish(RealFunction):
    """x max(0, min(1, x / 6 + 1 / 2))."""

    def apply(self, x: Reals) -> Reals:
        """x max(0, min(1, x / 6 + 1 / 2))."""
        return np.asarray(x * np.maximum(0.0, np.minimum(1.0, x / 6.0 + 0.5)))


@register
@dataclass(frozen=True, slots=True)
class Softplus(RealFunction):
    """log(1 + exp(x))."""

    def apply(self, x: Reals) -> Reals:
        """log(1 + exp(x))."""
        return exact_math.softplus(x)


@register
@dataclass(frozen=True, slots=True)
class Softsign(RealFunction):
    """x / (1 + |x|)."""

    def apply(self, x: Reals) -> Reals:
        """x / (1 + |x|)."""
        return x / (1.0 + np.abs(x))


@register
@dataclass(frozen=True, slots=True)
class Elu(RealFunction):
    """x, or alpha (exp(x) - 1) where x < 0."""

    alpha: float

    def apply(self, x: Reals) -> Reals:
        """x >= 0 ? x : alpha (exp(x) - 1)."""
        return np.where(x >= 0, x, self.alpha * exact_math.expm1(np.minimum(x, 0.0)))


@register
@dataclass(frozen=True, slots=True)
class Selu(RealFunction):
    """gamma x, or gamma alpha (exp(x) - 1) where x <= 0 (Klambauer et al., 2017)."""

    alpha: float
    gamma: float

    def apply(self, x: Reals) -> Reals:
        """Gamma times the exponential linear unit."""
        return self.gamma * np.where(x > 0, x, self.alpha * exact_math.expm1(np.minimum(x, 0.0)))


@register
@dataclass(frozen=True, slots=True)
class Celu(RealFunction):
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""

    alpha: float

    def apply(self, x: Reals) -> Reals:
        """x >= 0 ? x : alpha (exp(x / alpha) - 1), for a positive alpha."""
        negative = np.minimum(0.0, self.alpha * exact_math.expm1(x / self.alpha))
        return np.asarray(np.maximum(x, 0.0) + negative)


@register
@dataclass(frozen=True, slots=True)
class Mish(RealFunction):
    """x tanh(log(1 + exp(x))) (Misra, 2019)."""

    def apply(self, x: Reals) -> Reals:
        """x tanh(softplus(x))."""
        return x * exact_math.tanh(exact_math.softplus(x))


@register
@dataclass(frozen=True, slots=True)
class Exp(RealFunction):
    """e^x."""

    def apply(self, x: Reals) -> Reals:
        """e^x."""
        return exact_math.exp(x)


@register
@dataclass(frozen=True, slots=True)
class Log(RealFunction):
    """The natural logarithm."""

    def apply(self, x: Reals) -> Reals:
        """Log x; NaN below 0."""
        return exact_math.log(x)


@register
@dataclass(frozen=True, slots=True)
class Sqrt(RealFunction):
    """The square root."""

    def apply(self, x: Reals) -> Reals:
        """Square root of x; NaN below 0."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(x)


@register
@dataclass(frozen=True, slots=True)
class Sign(RealFunction):
    """-1, 0 or 1."""

    def apply(self, x: Reals) -> Reals:
        """The sign of x."""
        return np.sign(x)


@register
@dataclass(frozen=True, slots=True)
class Softmax(Op):
    """exp(x) over its sum along an axis, the maximum subtracted first."""

    axis: int

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        (x,) = reals(self, args, 1)
        check_axes(self, (self.axis,), x)
        return x

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """exp(x - max) / sum exp(x - max)."""
        (x,) = args
        powers = exact_math.exp(x - x.max(axis=self.axis, keepdims=True))
        return np.asarray(powers / np.expand_dims(exact_math.ordered_sum(powers, self.axis), self.axis))
