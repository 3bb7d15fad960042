"""Sliding-window reductions of [N, C, *spatial] tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.ops import windows
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.rules import Window, reals, require, tensors, window_counts
from enclair.compiler.ir.types import TensorType, Type


def _check_padding(op: Op, window: Window) -> None:
    """Check that no window can lie wholly in the padding, where it has no value."""
    fits = all(pad < span for pad, span in zip(window.pads, window.spans * 2, strict=True))
    require(fits, f"{type(op).__name__} needs pads smaller than its windows {window.spans}, got {window.pads}")


@register
@dataclass(frozen=True, slots=True)
class MaxPool(Op):
    """The largest element of each window; padding never wins."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """[N, C, *windows]."""
        (x,) = tensors(self, args, 1)
        window = Window(self.kernel, self.strides, self.pads, self.dilations)
        outs = window_counts(self, x, window)
        _check_padding(self, window)
        return x.with_shape((*x.shape[:2], *outs))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The maximum over the taps."""
        (x,) = args
        lowest = -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded = windows.padded(x, self.pads, lowest)
        outs = windows.counts(padded.shape[2:], self.kernel, self.strides, self.dilations)
        result = np.full((*x.shape[:2], *outs), lowest, dtype=x.dtype)
        for _, where in windows.taps(self.kernel, self.strides, self.dilations, outs):
            np.maximum(result, padded[where], out=result)
        return result


def _tap_sum(x: NDArray[Any], kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...]) -> NDArray[Any]:
    """The sum of each window, its taps added in row-major order."""
    padded = windows.padded(x, pads, 0)
    ones = (1,) * len(kernel)
    outs = windows.counts(padded.shape[2:], kernel, strides, ones)
    result = np.zeros((*x.shape[:2], *outs), dtype=x.dtype)
    for _, where in windows.taps(kernel, strides, ones, outs):
        result += padded[where]
    return result


@register
@dataclass(frozen=True, slots=True)
class SumPool(Op):
    """The sum of each window; padding counts as 0. The scale stays."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """[N, C, *windows]."""
        (x,) = tensors(self, args, 1)
        outs = window_counts(self, x, Window(self.kernel, self.strides, self.pads, (1,) * len(self.kernel)))
        return x.with_shape((*x.shape[:2], *outs))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The sum over the taps."""
        return _tap_sum(args[0], self.kernel, self.strides, self.pads)


@register
@dataclass(frozen=True, slots=True)
class AveragePool(Op):
    """The mean of each window; padding counts as zeros, or not at all without ``count_include_pad``."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    count_include_pad: bool

    def result_type(self, *args: Type) -> TensorType:
        """[N, C, *windows]."""
        (x,) = reals(self, args, 1)
        window = Window(self.kernel, self.strides, self.pads, (1,) * len(self.kernel))
        outs = window_counts(self, x, window)
        if not self.count_include_pad:
            _check_padding(self, window)
        return x.with_shape((*x.shape[:2], *outs))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The sum over the taps, divided by how many count."""
        (x,) = args
        total = _tap_sum(x, self.kernel, self.strides, self.pads)
        if self.count_include_pad:
            return total / float(math.prod(self.kernel))
        return np.asarray(total / _tap_sum(np.ones((1, 1, *x.shape[2:])), self.kernel, self.strides, self.pads))
