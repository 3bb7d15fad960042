"""The types of values: real and fixed-point tensors, slot vectors in the clear, and ciphertexts of BFV and CKKS.

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


@dataclass(frozen=True, slots=True)
class RealSlotsType:
    """``count`` vectors of ``slots`` reals, in the clear on the client."""

    count: int
    slots: int

    def __str__(self) -> str:
        return f"real_slots<{self.count}x{self.slots}>"


@dataclass(frozen=True, slots=True)
class CkksType:
    """``count`` CKKS ciphertexts of ``slots`` reals, on the server.

    Args:
        count: of ciphertexts.
        slots: reals in one; half the ring dimension.
        level: rescales that it can still take; None before levels are placed.
        scale: a coefficient v of the plaintext stands for v / scale; None before levels are placed.
        parts: polynomials of one ciphertext: two, or three for a product that is not yet relinearised.
    """

    count: int
    slots: int
    level: int | None = None
    scale: float | None = None
    parts: int = 2

    def __str__(self) -> str:
        placed = "" if self.level is None else f", level {self.level}, scale {self.scale!r}"
        parts = "" if self.parts == 2 else f", parts {self.parts}"
        return f"ckks<{self.count}x{self.slots}{placed}{parts}>"


Type: TypeAlias = TensorType | SlotsType | CipherType | RealSlotsType | CkksType
CiphersType: TypeAlias = CipherType | CkksType
"""Ciphertexts of either scheme."""

_EXTENTS = "[0-9]{1,12}(?:x[0-9]{1,12})*"
_PATTERN = re.compile(rf"(real|fixed|slots|cipher)<((?:{_EXTENTS})?)(?:, 2\^(-?[0-9]{{1,6}}))?(, coefficients)?>")

_REALS = re.compile(
    r"(real_slots|ckks)<([0-9]{1,12})x([0-9]{1,12})"
    r"(?:, level ([0-9]{1,4}), scale ([0-9]{1,40}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,3})?))?(?:, parts (3))?>"
)


def _suffix(encoding: Encoding) -> str:
    return "" if encoding is Encoding.SLOTS else f", {encoding.value}"


def parse_type(text: str) -> Type:
    """Read back what ``str`` of a type printed."""
    if (reals := _REALS.fullmatch(text)) is not None:
        return _parse_reals(text, reals)
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


def _parse_reals(text: str, match: re.Match[str]) -> RealSlotsType | CkksType:
    kind, count, slots, level, scale, parts = match.groups()
    if kind == "ckks":
        at = (None, None) if level is None else (int(level), float(scale))
        return CkksType(int(count), int(slots), at[0], at[1], int(parts or 2))
    if level is None and parts is None:
        return RealSlotsType(int(count), int(slots))
    raise ParseError(f"type {text!r} has the wrong number of parts for {kind}")
