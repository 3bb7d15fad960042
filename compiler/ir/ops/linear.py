"""Ops with weights: convolutions and matrix products. Exact on fixed point; on reals they are the float reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.integer_math import exact_in_float64, matmul
from enclair.compiler.ir.ops import windows
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.rules import (
    Window,
    broadcast,
    check_at_least,
    check_length,
    check_spatial,
    product_scale,
    require,
    same_kind,
    window_counts,
)
from enclair.compiler.ir.types import TensorType, Type

_BLOCK_ELEMENTS = 1 << 23
"""Unfolded windows held at a time (64 MB)."""


def _check_channels(op: Conv | ConvTranspose, x: TensorType, w: TensorType, channels: int, outputs: int) -> None:
    """Check the weight's rank and the channel counts against the groups."""
    name = type(op).__name__
    require(len(w.shape) == len(x.shape), f"{name} needs a weight of rank {len(x.shape)} for {x}, got {w}")
    require(op.groups >= 1, f"{name} needs groups >= 1, got {op.groups}")
    require(x.shape[1] == channels, f"{name} with weight {w} and {op.groups} groups needs {channels} channels, got {x}")
    multiple = x.shape[1] % op.groups == 0 and outputs % op.groups == 0
    require(multiple, f"{name} cannot share {x.shape[1]} channels and {outputs} outputs among {op.groups} groups")


@register
@dataclass(frozen=True, slots=True)
class Conv(Op):
    """Convolve x [N, C, *spatial] with w [O, C/groups, *kernel], as ONNX does (no flip), zero padding.

    ``pads`` are the begins of all spatial axes, then the ends. Scales add.
    """

    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int

    def result_type(self, *args: Type) -> TensorType:
        """[N, O, *windows]."""
        x, w = same_kind(self, args, 2)
        require(len(w.shape) >= 3, f"Conv needs a weight [O, C/groups, *kernel], got {w}")
        _check_channels(self, x, w, w.shape[1] * self.groups, w.shape[0])
        outs = window_counts(self, x, Window(w.shape[2:], self.strides, self.pads, self.dilations))
        return TensorType((x.shape[0], w.shape[0], *outs), product_scale(x, w))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Unfold the windows block by block and multiply by the weights; in float64 where that is exact."""
        x, w = args
        if exact_in_float64(w.reshape(w.shape[0], -1), x):
            return self._unfolded(x.astype(np.float64), w.astype(np.float64)).astype(np.int64)
        return self._unfolded(x, w)

    def _unfolded(self, x: NDArray[Any], w: NDArray[Any]) -> NDArray[Any]:
        view = windows.view(windows.padded(x, self.pads, 0), w.shape[2:], self.strides, self.dilations)
        rank = w.ndim - 2
        outs = view.shape[2 : 2 + rank]
        result = np.empty((x.shape[0], w.shape[0], *outs), dtype=x.dtype)
        rows = max(1, _BLOCK_ELEMENTS * outs[0] // (view[0].size or 1))
        for image in range(x.shape[0]):
            for row in range(0, outs[0], rows):
                result[image, :, row : row + rows] = self._block(view[image, :, row : row + rows], w)
        return result

    def _block(self, view: NDArray[Any], w: NDArray[Any]) -> NDArray[Any]:
        """Windows [C, *windows, *kernel] -> [O, *windows]."""
        rank = w.ndim - 2
        outs = view.shape[1 : 1 + rank]
        kernel_axes = range(1 + rank, 1 + 2 * rank)
        unfolded = np.transpose(view, (0, *kernel_axes, *range(1, 1 + rank)))
        columns = unfolded.reshape(self.groups, w[0].size, -1)
        weights = w.reshape(self.groups, w.shape[0] // self.groups, w[0].size)
        return matmul(weights, columns).reshape(w.shape[0], *outs)


@register
@dataclass(frozen=True, slots=True)
class ConvTranspose(Op):
    """The transpose of a convolution: each x [N, C, *spatial] adds its multiple of w [C, O/groups, *kernel].

    An output axis has strides (n - 1) + dilations (k - 1) + 1 + output_padding - pads elements. Scales add.
    """

    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int
    output_padding: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """[N, O, *spatial]."""
        x, w = same_kind(self, args, 2)
        require(len(w.shape) >= 3, f"ConvTranspose needs a weight [C, O/groups, *kernel], got {w}")
        _check_channels(self, x, w, w.shape[0], w.shape[1] * self.groups)
        check_spatial(self, x, Window(w.shape[2:], self.strides, self.pads, self.dilations))
        check_length(self, "output paddings", self.output_padding, len(x.shape) - 2)
        check_at_least(self, "output paddings", self.output_padding, 0)
        outs = self._cropped(self._extents(x.shape, w.shape))
        require(min(outs) >= 1, f"ConvTranspose pads {self.pads} leave nothing of {x}: use less padding")
        return TensorType((x.shape[0], w.shape[1] * self.groups, *outs), product_scale(x, w))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Add the product with each kernel tap where the tap lands; in float64 where that is exact."""
        x, w = args
        if exact_in_float64(self._rows(w), x):
            return self._added(x.astype(np.float64), w.astype(np.float64)).astype(np.int64)
        return self._added(x, w)

    def _rows(self, w: NDArray[Any]) -> NDArray[Any]:
        """All weights of each output channel: [C, O/groups, *kernel] -> [O, C/groups * kernel]."""
        by_group = w.reshape(self.groups, w.shape[0] // self.groups, w.shape[1], -1)
        return by_group.swapaxes(1, 2).reshape(self.groups * w.shape[1], -1)

    def _added(self, x: NDArray[Any], w: NDArray[Any]) -> NDArray[Any]:
        extents = self._extents(x.shape, w.shape)
        full = np.zeros((x.shape[0], w.shape[1] * self.groups, *extents), dtype=x.dtype)
        columns = x.reshape(x.shape[0], self.groups, x.shape[1] // self.groups, -1)
        for tap, where in windows.taps(w.shape[2:], self.strides, self.dilations, x.shape[2:]):
            weights = np.moveaxis(w, (0, 1), (-2, -1))[tap].reshape(self.groups, -1, w.shape[1])
            part = matmul(np.ascontiguousarray(weights.swapaxes(1, 2)), columns)
            full[where] += part.reshape(*full.shape[:2], *x.shape[2:])
        begins = (0, 0, *self.pads[: len(extents)])
        outs = (*full.shape[:2], *self._cropped(extents))
        kept = tuple(slice(begin, begin + out) for begin, out in zip(begins, outs, strict=True))
        return np.ascontiguousarray(full[kept])

    def _extents(self, x: tuple[int, ...], w: tuple[int, ...]) -> list[int]:
        """Spatial extents before the pads are cut off."""
        sizes = zip(x[2:], w[2:], self.strides, self.dilations, self.output_padding, strict=True)
        return [stride * (n - 1) + dilation * (k - 1) + 1 + extra for n, k, stride, dilation, extra in sizes]

    def _cropped(self, extents: list[int]) -> list[int]:
        rank = len(extents)
        return [n - self.pads[axis] - self.pads[axis + rank] for axis, n in enumerate(extents)]


@register
@dataclass(frozen=True, slots=True)
class MatMul(Op):
    """``x @ y`` by numpy's rules: rank 1 is a row or a column, leading axes broadcast. Scales add."""

    def result_type(self, *args: Type) -> TensorType:
        """[*leading, rows, columns], without the axis of a rank 1 argument."""
        x, y = same_kind(self, args, 2)
        require(min(len(x.shape), len(y.shape)) >= 1, f"MatMul needs arguments of rank 1 and more, got {x} and {y}")
        left = x.shape if len(x.shape) > 1 else (1, *x.shape)
        right = y.shape if len(y.shape) > 1 else (*y.shape, 1)
        require(left[-1] == right[-2], f"MatMul needs equal inner extents, got {x} and {y}")
        rows = left[-2:-1] if len(x.shape) > 1 else ()
        columns = right[-1:] if len(y.shape) > 1 else ()
        return TensorType((*broadcast(self, left[:-2], right[:-2]), *rows, *columns), product_scale(x, y))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The product; a rank 1 argument becomes a matrix for it."""
        x, y = args
        result = matmul(np.atleast_2d(x), y if y.ndim > 1 else y[:, None])
        dropped = tuple(axis for axis, arg in ((-2, x), (-1, y)) if arg.ndim == 1)
        return np.squeeze(result, axis=dropped)
