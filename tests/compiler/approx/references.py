"""Functions with 30 digits, and in the complex plane: what float64 and bounds are held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.ops import activations as a
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Abs, Pow, Reciprocal

mpmath.mp.dps = 30


def _gelu(op: Any, x: Any) -> Any:
    if op.approximate == "none":
        return x / 2 * (1 + mpmath.erf(x / mpmath.sqrt(2)))
    inner = mpmath.mpf(0.7978845608028654) * (x + mpmath.mpf(0.044715) * x**3)
    return x / 2 * (1 + mpmath.tanh(inner))


def _rectified(op: Any, x: Any) -> Any:
    return x if x >= 0 else op.alpha * x


def _exponential_unit(scale: Callable[[Any], Any], rate: Callable[[Any], Any], right: Callable[[Any], Any]) -> Any:
    return lambda op, x: right(op) * x if x >= 0 else scale(op) * mpmath.expm1(rate(op) * x)


ANALYTIC: Mapping[type[Op], Callable[[Any, Any], Any]] = {
    a.Sigmoid: lambda _, x: 1 / (1 + mpmath.exp(-x)),
    a.Tanh: lambda _, x: mpmath.tanh(x),
    a.Erf: lambda _, x: mpmath.erf(x),
    a.Gelu: _gelu,
    a.Silu: lambda _, x: x / (1 + mpmath.exp(-x)),
    a.Softplus: lambda _, x: mpmath.log(1 + mpmath.exp(x)),
    a.Mish: lambda _, x: x * mpmath.tanh(mpmath.log(1 + mpmath.exp(x))),
    a.Exp: lambda _, x: mpmath.exp(x),
    a.Log: lambda _, x: mpmath.log(x),
    a.Sqrt: lambda _, x: mpmath.sqrt(x),
    Pow: lambda op, x: mpmath.power(x, op.exponent),
    Reciprocal: lambda _, x: 1 / x,
}
"""Functions that are the same formula off the real line."""

REFERENCES: Mapping[type[Op], Callable[[Any, Any], Any]] = {
    **ANALYTIC,
    a.Relu: lambda _, x: max(x, 0),
    a.LeakyRelu: _rectified,
    Abs: lambda _, x: abs(x),
    a.Clip: lambda op, x: min(max(x, op.low), op.high),
    a.HardSigmoid: lambda op, x: max(0, min(1, op.alpha * x + op.beta)),
    a.HardSwish: lambda _, x: x * max(0, min(1, x / 6 + mpmath.mpf(1) / 2)),
    a.Softsign: lambda _, x: x / (1 + abs(x)),
    a.Elu: _exponential_unit(lambda op: op.alpha, lambda _: 1, lambda _: 1),
    a.Selu: _exponential_unit(lambda op: op.alpha * op.gamma, lambda _: 1, lambda op: op.gamma),
    a.Celu: _exponential_unit(lambda op: op.alpha, lambda op: 1 / mpmath.mpf(op.alpha), lambda _: 1),
}


def reference(op: Op, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The function, rounded once."""
    return np.array([float(REFERENCES[type(op)](op, mpmath.mpf(float(value)))) for value in x])
