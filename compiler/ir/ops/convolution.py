"""Convolutions of images in coefficients: a kernel is a polynomial, and one product sums all its taps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.layouts import Raster
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.fixed import fixed_operand
from enclair.compiler.ir.ops.packed import polynomial_sums
from enclair.compiler.ir.types import CipherType, Encoding, TensorType, Type

Integers = NDArray[np.int64]


@register
@dataclass(frozen=True, slots=True)
class PolynomialConvolution(Op):
    """A convolution of images, or the transpose of one with stride 1, by products with polynomials in X.

    Arguments: ciphertexts x of the images in ``source``; ``weights`` [O, I, kh, kw] of a convolution, [I, O, kh, kw] of
    a transposed one, fixed point. The results come out in ``target``; what lies between them are sums that nobody
    asked for.

    Pixel (y, x) of a source is in coefficient y * pitch + x. Tap (i, j) of a convolution takes it to the output that
    lies i * dilation - pad rows before, and so has a power of X of -((i * dilation - pad) * pitch + ...). With stride s
    the outputs are s pixels apart. (After Huang, Lu, Hong and Ding, "Cheetah", USENIX Security 2022, section 3.2, with
    a channel to a ciphertext and any padding that the pitch leaves room for.)
    """

    source: Raster
    target: Raster
    pads: tuple[int, int]
    dilations: tuple[int, int]
    transposed: bool

    @property
    def chunks(self) -> int:
        """Images of the batch."""
        return self.source.shape[0]

    @property
    def blocks(self) -> int:
        """X^blocks = -1."""
        return self.source.slots

    def result_type(self, *args: Type) -> CipherType:
        """The ciphertexts of ``target``; the scales add."""
        x, weights = args
        if not isinstance(x, CipherType):
            raise TypeRuleError(f"PolynomialConvolution needs ciphertexts, got {x}")
        weights_type, scale_bits = fixed_operand(self, weights)
        self._check_shapes(weights_type)
        if x.encoding is not Encoding.COEFFICIENTS or x.count != self.source.count:
            raise TypeRuleError(f"PolynomialConvolution needs {self.source.count} ciphertexts in coefficients, got {x}")
        kernel = weights_type.shape[2:]
        if reads_wrongly(self, (kernel[0], kernel[1])):
            raise TypeRuleError(
                f"a pitch of {self.source.pitch} leads taps of a {kernel[0]}x{kernel[1]} kernel on {self.source} to"
                " other pixels than the convolution's: take a larger one"
            )
        return replace(x, count=self.target.count, scale_bits=x.scale_bits + scale_bits)

    def reach(self, kernel: tuple[int, int]) -> tuple[Integers, Integers]:
        """By how many rows and columns the pixel that each tap (kh * kw,) reads lies behind its output."""
        i, j = np.divmod(np.arange(kernel[0] * kernel[1]), kernel[1])
        rows, columns = i * self.dilations[0] - self.pads[0], j * self.dilations[1] - self.pads[1]
        return (-rows, -columns) if self.transposed else (rows, columns)

    def by_output(self, weights: Integers) -> Integers:
        """The weights as (outputs, inputs, taps)."""
        ordered = weights.swapaxes(0, 1) if self.transposed else weights
        return ordered.reshape(*ordered.shape[:2], -1)

    def polynomials(self, weights: Integers) -> tuple[Integers, Integers]:
        """For each pair of channels the coefficients (outputs, inputs, taps) of X^powers (taps,)."""
        rows, columns = self.reach((weights.shape[2], weights.shape[3]))
        turns, places = np.divmod(-(rows * self.source.pitch + columns), self.source.slots)
        powers, which = np.unique(places, return_inverse=True)
        signed = self.by_output(weights) * np.where(turns % 2 == 0, 1, -1)
        coefficients = np.zeros((*signed.shape[:2], powers.size), dtype=np.int64)
        for tap, number in enumerate(which.tolist()):
            coefficients[:, :, number] += signed[:, :, tap]
        return coefficients, powers

    def evaluate(self, *args: NDArray[Any]) -> Integers:
        """Exact in int64."""
        x, weights = args
        return polynomial_sums(x, *self.polynomials(weights), self.blocks, self.chunks)

    def _check_shapes(self, weights: TensorType) -> None:
        source, target = self.source, self.target
        axes = (0, 1) if self.transposed else (1, 0)
        channels = source.shape[1], target.shape[1]
        if len(weights.shape) != 4 or (weights.shape[axes[0]], weights.shape[axes[1]]) != channels:
            raise TypeRuleError(f"weights {weights} do not take {channels[0]} channels to {channels[1]}")
        if (source.shape[0], source.pitch, source.slots) != (target.shape[0], target.pitch, target.slots):
            raise TypeRuleError(f"{source} and {target} need one batch, one pitch and as many slots")
        if source.step != (1, 1) or (self.transposed and target.step != (1, 1)):
            raise TypeRuleError(f"pixels must lie side by side in {source}, and in the result of a transposed one")


@lru_cache(maxsize=1024)
def reads_wrongly(op: PolynomialConvolution, kernel: tuple[int, int]) -> bool:
    """Whether a tap leads an output to another coefficient than that of the pixel which the convolution wants there.

    Where it wants none, the coefficient must hold none; it may be on the other side of X^N = -1, for 0 has no sign.
    """
    (rows, columns), source = op.reach(kernel), op.source
    height, width = source.shape[2:]
    y = (np.arange(op.target.shape[2]) * op.target.step[0])[:, None, None] + rows
    x = (np.arange(op.target.shape[3]) * op.target.step[1])[:, None] + columns
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    held = source.plane()[(y * source.pitch + x) % source.slots]
    return bool((held != np.where(inside, y * width + x, -1)).any())
