"""Ops that combine nearby pixels, in one form: a kernel over channels and taps, a map of positions along each axis."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Array
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose
from enclair.compiler.ir.ops.pooling import SumPool

NOWHERE = np.int64(-(2**40))
"""A source position that does not exist; outside every window."""


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Which input positions an output position reads along one axis.

    Forward (convolution): output i reads stride * i + dilation * k - pad at tap k. Transposed: output i reads j where
    stride * j + dilation * k - pad = i, if there is one.
    """

    stride: int
    dilation: int
    pad: int
    taps: int
    transposed: bool = False

    @property
    def density(self) -> Fraction:
        """Output positions per input position."""
        return Fraction(self.stride) if self.transposed else Fraction(1, self.stride)

    @property
    def pointwise(self) -> bool:
        """Whether output i reads input i and nothing else."""
        return (self.stride, self.pad, self.taps) == (1, 0, 1)

    def window(self, low: int, high: int) -> tuple[int, int]:
        """The half-open interval of inputs that the outputs [low, high) read; never empty."""
        reach = self.dilation * (self.taps - 1)
        if self.transposed:
            first = -((reach - low - self.pad) // self.stride)
            return first, max(first, (high - 1 + self.pad) // self.stride) + 1
        return self.stride * low - self.pad, self.stride * (high - 1) + reach - self.pad + 1

    def sources(self, low: int, high: int) -> NDArray[np.int64]:
        """Input position read by output i at tap k, (high - low, taps); NOWHERE where there is none."""
        i, k = np.arange(low, high)[:, None], np.arange(self.taps)
        if not self.transposed:
            return self.stride * i + self.dilation * k - self.pad
        scaled = i + self.pad - self.dilation * k
        return np.where(scaled % self.stride == 0, scaled // self.stride, NOWHERE)


@dataclass(frozen=True, slots=True)
class Stencil:
    """out[g, o] = sum over c, taps of kernel[g, o, c, ky, kx] * x[g, c], positions by the axis maps.

    ``kernel`` has shape (groups, outputs, inputs, row taps, column taps), integers at scale 2^scale_bits.
    ``reads_outside`` says that pixels outside the image are read and must be zero.
    """

    rows: AxisMap
    columns: AxisMap
    kernel: Array
    scale_bits: int
    reads_outside: bool


def stencil(op: Op, channels: int, weights: Array | None, scale_bits: int) -> Stencil | None:
    """The stencil of a convolution or pool on images or signals (images of one column); None for other ops."""
    match op:
        case Conv() if weights is not None:
            kernel = _two_axes(weights.reshape(op.groups, -1, *weights.shape[1:]))
            return _spatial(op.strides, op.dilations, op.pads, kernel, scale_bits, transposed=False)
        case ConvTranspose() if weights is not None:
            grouped = weights.reshape(op.groups, -1, *weights.shape[1:])
            kernel = _two_axes(np.swapaxes(grouped, 1, 2))
            return _spatial(op.strides, op.dilations, op.pads, kernel, scale_bits, transposed=True)
        case SumPool():
            ones = _two_axes(np.ones((channels, 1, 1, *op.kernel), dtype=np.int64))
            return _spatial(op.strides, (1,) * len(op.kernel), op.pads, ones, 0, transposed=False)
        case _:
            return None


def _two_axes(kernel: Array) -> Array:
    return kernel[..., None] if kernel.ndim == 4 else kernel


def _spatial(
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
    kernel: Array,
    scale_bits: int,
    *,
    transposed: bool,
) -> Stencil | None:
    if kernel.ndim != 5:
        return None
    maps = [
        AxisMap(stride, dilation, pad, taps, transposed)
        for stride, dilation, pad, taps in zip(strides, dilations, pads, kernel.shape[3:], strict=False)
    ]
    maps += [AxisMap(1, 1, 0, 1)] * (2 - len(maps))
    return Stencil(maps[0], maps[1], kernel, scale_bits, reads_outside=transposed or any(pads))
