"""What is known of each real function: where its pieces join, how large it is off the real line, its parity.

A function is given by the op that computes it. Between two joints it is either a polynomial, of a known degree, or
analytic, with a bound on its size in an ellipse around the piece. That is all that a certificate needs
(``certificates``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp, hypot, inf, pi, sin, sqrt
from typing import Any, TypeAlias

import numpy as np

from enclair.compiler.approx.series import Reals
from enclair.compiler.ir.ops.activations import (
    Celu,
    Clip,
    Elu,
    Erf,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Log,
    Mish,
    Relu,
    Selu,
    Sigmoid,
    Silu,
    Softplus,
    Softsign,
    Sqrt,
    Tanh,
)
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Abs, Pow, Reciprocal


@dataclass(frozen=True, slots=True)
class Ellipse:
    """The ellipse with foci ``low`` and ``high`` whose half axes are (rho +- 1/rho) / 2 times half their distance."""

    low: float
    high: float
    rho: float

    @property
    def height(self) -> float:
        """Largest imaginary part."""
        return (self.high - self.low) / 4 * (self.rho - 1 / self.rho)

    @property
    def left(self) -> float:
        """Smallest real part."""
        return (self.low + self.high) / 2 - (self.high - self.low) / 4 * (self.rho + 1 / self.rho)

    @property
    def right(self) -> float:
        """Largest real part."""
        return (self.low + self.high) / 2 + (self.high - self.low) / 4 * (self.rho + 1 / self.rho)

    @property
    def modulus(self) -> float:
        """Bound on |z|."""
        return hypot(max(abs(self.left), abs(self.right)), self.height)


Magnitude: TypeAlias = Callable[[Ellipse], float]
"""Bound on |f| in an ellipse; infinite where f is not analytic in it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the line on which a function is a polynomial of ``degree``, or analytic with a ``magnitude``."""

    low: float
    high: float
    degree: int = 0
    magnitude: Magnitude | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one kind of op.

    Args:
        joints: where pieces meet; given the op.
        degree: of the polynomial that each piece is; -1 where it is not one.
        magnitude: for analytic pieces, given the op.
        positive: defined for x > 0 alone.
        nonzero: defined but at 0.
        relative: its results are factors, so that errors are meant relative to them.
        homogeneous: f(c x) = c f(x) for c > 0.
        even_beside: the slope a for which f(x) - a x is even; ``odd_beside`` the constant a for which f(x) - a is odd.
        smooth_below: pieces left of the first joint are analytic, those right of it polynomials.
    """

    joints: Callable[[Any], tuple[float, ...]] = lambda _: ()
    degree: int = -1
    magnitude: Callable[[Any], Magnitude] | None = None
    positive: bool = False
    nonzero: bool = False
    relative: bool = False
    homogeneous: bool = False
    even_beside: Callable[[Any], float] | None = None
    odd_beside: Callable[[Any], float] | None = None
    smooth_below: bool = False


def facts_of(op: Op) -> Facts | None:
    """What is known of the op's function; None for ops that are not functions of one element."""
    return FACTS.get(type(op))


def has_corners(op: Op) -> bool:
    """Whether the function is made of pieces, so that errors fall slowly with the degree."""
    return bool(FACTS[type(op)].joints(op))


def evaluate(op: Op, x: Reals) -> Reals:
    """The function, in float64."""
    with np.errstate(all="ignore"):
        return np.asarray(op.evaluate(np.asarray(x, dtype=np.float64)), dtype=np.float64)


@lru_cache(maxsize=4096)
def pieces(op: Op, low: float, high: float) -> tuple[Piece, ...]:
    """The parts of the interval on which the function is one polynomial, or analytic."""
    facts = FACTS[type(op)]
    joints = [joint for joint in facts.joints(op) if low < joint < high]
    ends = [low, *sorted(set(joints)), high]
    return tuple(_piece(op, facts, *pair) for pair in pairwise(ends))


def _piece(op: Op, facts: Facts, low: float, high: float) -> Piece:
    polynomial = facts.degree >= 0 and not (facts.smooth_below and low < facts.joints(op)[0])
    if polynomial or facts.magnitude is None:
        return Piece(low, high, facts.degree)
    return Piece(low, high, magnitude=facts.magnitude(op))


def _guarded(bound: Callable[[Ellipse], float]) -> Magnitude:
    """A bound that is infinite instead of overflowing."""

    def magnitude(ellipse: Ellipse) -> float:
        try:
            return bound(ellipse)
        except OverflowError:
            return inf

    return magnitude


def _sigmoid(height: float) -> float:
    """|1 / (1 + exp(-z))| for |Im z| <= height: |1 + exp(-z)| is at least 1, or the sine beyond pi / 2."""
    return 1.0 if height <= pi / 2 else 1 / sin(height) if height < pi else inf


def _tanh(height: float) -> float:
    """|tanh(a + ib)|^2 = (sinh^2 a + sin^2 b) / (sinh^2 a + cos^2 b) <= max(1, tan^2 b)."""
    return max(1.0, math.tan(height)) if height < pi / 2 else inf


def _erf(height: float) -> float:
    """Integrating up from the real line: |erf(x + iy)| <= 1 + 2 / sqrt(pi) |y| exp(y^2)."""
    return 1 + 2 / sqrt(pi) * height * exp(height**2)


def _gelu(op: Gelu) -> Magnitude:
    if op.approximate == "none":
        return _guarded(lambda e: e.modulus / 2 * (1 + _erf(e.height / sqrt(2))))

    def magnitude(e: Ellipse) -> float:
        reach, y = max(abs(e.left), abs(e.right)), e.height
        return e.modulus / 2 * (1 + _tanh(0.7978845608028654 * (y + 0.044715 * max(3 * reach**2 * y, y**3))))

    return _guarded(magnitude)


def _softplus(e: Ellipse) -> float:
    """|log w| <= |log|w|| + pi for w = 1 + exp(z), which stays off the negative reals while |Im z| < pi."""
    if e.height >= pi:
        return inf
    nearest = 1.0 if e.height <= pi / 2 else sin(e.height)
    return max(math.log(1 + exp(e.right)), -math.log(nearest)) + pi


def _mish(e: Ellipse) -> float:
    """z (1 - 2 / ((w + 1)^2 + 1)), w = exp(z): each root -1 +- i is sqrt(2) sin(3 pi / 4 - Im z) away, or sqrt(2)."""
    gap = 3 * pi / 4 - e.height
    if gap <= 0:
        return inf
    nearest = sqrt(2) * (1.0 if gap >= pi / 2 else sin(gap))
    return e.modulus * (1 + 2 / nearest**2)


def _power(exponent: float) -> Magnitude:
    """|z^p| = |z|^p right of the imaginary axis."""

    def magnitude(e: Ellipse) -> float:
        return max(e.left**exponent, e.modulus**exponent) if e.left > 0 else inf

    return _guarded(magnitude)


def _reciprocal(_: Op) -> Magnitude:
    """The nearest point to 0 is the end of the long axis."""
    return lambda e: 1 / e.left if e.left > 0 else -1 / e.right if e.right < 0 else inf


def _logarithm(e: Ellipse) -> float:
    return max(abs(math.log(e.left)), abs(math.log(e.modulus))) + pi / 2 if e.left > 0 else inf


def _softsign(e: Ellipse) -> float:
    """1 - 1 / (1 + z) right of 0, its mirror image left of 0; on the piece that touches the ellipse's middle."""
    mirrored = e if e.low + e.high >= 0 else Ellipse(-e.high, -e.low, e.rho)
    return 1 + 1 / (1 + mirrored.left) if mirrored.left > -1 else inf


def _exponential(rate: float, size: float) -> Magnitude:
    """size |exp(rate z) - 1| at most."""
    return _guarded(lambda e: abs(size) * (exp(max(rate * e.left, rate * e.right)) + 1))


def _zero(_: object) -> tuple[float, ...]:
    return (0.0,)


def _hard_sigmoid(op: HardSigmoid) -> tuple[float, ...]:
    return tuple(sorted((-op.beta / op.alpha, (1 - op.beta) / op.alpha))) if op.alpha else ()


FACTS: Mapping[type[Op], Facts] = {
    Relu: Facts(_zero, 1, homogeneous=True, even_beside=lambda _: 0.5),
    LeakyRelu: Facts(_zero, 1, homogeneous=True, even_beside=lambda op: (1 + op.alpha) / 2),
    Abs: Facts(_zero, 1, homogeneous=True, even_beside=lambda _: 0.0),
    Clip: Facts(lambda op: (op.low, op.high), 1),
    HardSigmoid: Facts(_hard_sigmoid, 1),
    HardSwish: Facts(lambda _: (-3.0, 3.0), 2, even_beside=lambda _: 0.5),
    Sigmoid: Facts(magnitude=lambda _: lambda e: _sigmoid(e.height), odd_beside=lambda _: 0.5),
    Tanh: Facts(magnitude=lambda _: lambda e: _tanh(e.height), odd_beside=lambda _: 0.0),
    Erf: Facts(magnitude=lambda _: _guarded(lambda e: _erf(e.height)), odd_beside=lambda _: 0.0),
    Gelu: Facts(magnitude=_gelu, even_beside=lambda _: 0.5),
    Silu: Facts(magnitude=lambda _: lambda e: e.modulus * _sigmoid(e.height), even_beside=lambda _: 0.5),
    Mish: Facts(magnitude=lambda _: _mish),
    Softplus: Facts(magnitude=lambda _: _guarded(_softplus), even_beside=lambda _: 0.5),
    Softsign: Facts(_zero, magnitude=lambda _: _softsign, odd_beside=lambda _: 0.0),
    Elu: Facts(_zero, 1, lambda op: _exponential(1.0, op.alpha), smooth_below=True),
    Selu: Facts(_zero, 1, lambda op: _exponential(1.0, op.alpha * op.gamma), smooth_below=True),
    Celu: Facts(_zero, 1, lambda op: _exponential(1 / op.alpha, op.alpha), smooth_below=True),
    Exp: Facts(magnitude=lambda _: _guarded(lambda e: exp(e.right))),
    Log: Facts(magnitude=lambda _: _logarithm, positive=True),
    Sqrt: Facts(magnitude=lambda _: _power(0.5), positive=True),
    Pow: Facts(magnitude=lambda op: _power(op.exponent), positive=True, relative=True),
    Reciprocal: Facts(magnitude=_reciprocal, nonzero=True, relative=True),
}
"""The functions of one element that can be approximated."""
