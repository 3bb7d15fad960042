"""The types of values: real and fixed-point tensors, slot vectors in the clear, and ciphertexts.

A fixed-point value stores integers; ``scale_bits`` s says that the integer v stands for v / 2^s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from enclair.compiler.ir.errors import ParseError


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor of reals (``scale_bits`` is None) or of fixed-point integers."""

    shape: tuple[int, ...]
    scale_bits: int | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    @property
    def is_fixed(self) -> bool:
        """Whether the elements are integers with a scale."""
        return self.scale_bits is not None

    def with_shape(self, shape: tuple[int, ...]) -> TensorType:
        """The same kind of elements in another shape."""
        return replace(self, shape=shape)

    def __str__(self) -> str:
        extents = "x".join(map(str, self.shape))
        return f"real<{extents}>" if self.scale_bits is None else f"fixed<{extents}, 2^{-self.scale_bits}>"


class Encoding(Enum):
    """How N integers are a plaintext polynomial of BFV: its values at N points, or its N coefficients.

    Sums and products with an integer are the same in both. A product of polynomials multiplies slot by slot; on
    coefficients it is a negacyclic convolution.
    """

    SLOTS = "slots"
    COEFFICIENTS = "coefficients"


@dataclass(frozen=True, slots=True)
class SlotsType:
    """``count`` vectors of ``slots`` fixed-point integers, in the clear on the client."""

    count: int
    slots: int
    scale_bits: int
    encoding: Encoding = Encoding.SLOTS

    def __str__(self) -> str:
        return f"slots<{self.count}x{self.slots}, 2^{-self.scale_bits}{_suffix(self.encoding)}>"


@dataclass(frozen=True, slots=True)
class CipherType:
    """``count`` ciphertexts of ``slots`` fixed-point integers, on the server."""

    count: int
    slots: int
    scale_bits: int
    encoding: Encoding = Encoding.SLOTS

    def __str__(self) -> str:
        return f"cipher<{self.count}x{self.slots}, 2^{-self.scale_bits}{_suffix(self.encoding)}>"


Type: TypeAlias = TensorType | SlotsType | CipherType

_EXTENTS = "[0-9]{1,12}(?:x[0-9]{1,12})*"
_PATTERN = re.compile(rf"(real|fixed|slots|cipher)<((?:{_EXTENTS})?)(?:, 2\^(-?[0-9]{{1,6}}))?(, coefficients)?>")


def _suffix(encoding: Encoding) -> str:
    return "" if encoding is Encoding.SLOTS else f", {encoding.value}"


def parse_type(text: str) -> Type:
    """Read back what ``str`` of a type printed."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ParseError(f"a type looks like real<1x3x8x8> or fixed<4, 2^-12>, got {text!r}")
    kind, extents, exponent, coefficients = match.groups()
    shape = tuple(int(extent) for extent in extents.split("x")) if extents else ()
    if kind == "real" and exponent is None and coefficients is None:
        return TensorType(shape)
    if kind == "fixed" and exponent is not None and coefficients is None:
        return TensorType(shape, -int(exponent))
    if kind in ("slots", "cipher") and exponent is not None and len(shape) == 2:
        encoding = Encoding.SLOTS if coefficients is None else Encoding.COEFFICIENTS
        return (SlotsType if kind == "slots" else CipherType)(shape[0], shape[1], -int(exponent), encoding)
    raise ParseError(f"type {text!r} has the wrong number of parts for {kind}")
