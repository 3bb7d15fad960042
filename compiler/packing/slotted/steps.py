"""The steps that a graph of tensors is cut into: sums of linear maps, polynomials, products, and sums by rotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from enclair.compiler.ir.graph import Array
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.packing.slotted.maps import LinearMap, Shape


@dataclass(frozen=True, slots=True, eq=False)
class AffineStep:
    """``out`` = the sum of maps of values, plus ``bias``."""

    out: str
    shape: Shape
    terms: tuple[tuple[str, LinearMap], ...]
    bias: Array | None
    origin: str


@dataclass(frozen=True, slots=True)
class PolynomialStep:
    """``out`` = a polynomial of each element of ``argument``."""

    out: str
    shape: Shape
    argument: str
    op: Polynomial
    origin: str


@dataclass(frozen=True, slots=True)
class ProductStep:
    """``out`` = x times y, element by element, then summed over the first axis, of extent ``sums``."""

    out: str
    shape: Shape
    left: str
    right: str
    sums: int
    origin: str


@dataclass(frozen=True, slots=True, eq=False)
class WindowStep:
    """``out`` = sums of ``argument``, by a map of zeros and ones, that only linear maps read."""

    out: str
    shape: Shape
    argument: str
    map: LinearMap
    origin: str

    @property
    def terms(self) -> tuple[tuple[str, LinearMap], ...]:
        """As those of an affine step."""
        return ((self.argument, self.map),)

    @property
    def bias(self) -> None:
        """Nothing is added."""
        return


Step: TypeAlias = AffineStep | PolynomialStep | ProductStep | WindowStep


def with_argument(op: Polynomial, scale: float, shift: float) -> Polynomial:
    """The polynomial q with q(x) = p(scale x + shift).

    It has the same coefficients on another interval, mirrored where scale < 0.
    """
    if scale == 1 and shift == 0:
        return op
    ends = (op.low - shift) / scale, (op.high - shift) / scale
    if scale > 0:
        return Polynomial(op.coefficients, *ends)
    mirrored = tuple(c if k % 2 == 0 else -c for k, c in enumerate(op.coefficients))
    return Polynomial(mirrored, ends[1], ends[0])


def arguments(step: Step) -> tuple[str, ...]:
    """The values that a step reads."""
    if isinstance(step, AffineStep):
        return tuple(name for name, _ in step.terms)
    return (step.argument,) if isinstance(step, PolynomialStep | WindowStep) else (step.left, step.right)
