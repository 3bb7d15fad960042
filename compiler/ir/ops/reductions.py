"""Sums, means and maxima over axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir import exact_math
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.rules import check_axes, reals, tensors
from enclair.compiler.ir.types import TensorType, Type


def _reduced(op: ReduceSum | ReduceMean | ReduceMax, x: TensorType) -> TensorType:
    """The type of x with the axes gone, or 1 if they are kept."""
    check_axes(op, op.axes, x)
    kept = (1 if axis in op.axes else n for axis, n in enumerate(x.shape) if op.keepdims or axis not in op.axes)
    return x.with_shape(tuple(kept))


def _sum(x: NDArray[Any], axes: tuple[int, ...], keepdims: bool) -> NDArray[Any]:
    """The sum over axes: reals in a fixed order."""
    if x.dtype.kind != "f":
        return np.asarray(x.sum(axis=axes, keepdims=keepdims, dtype=x.dtype))
    for axis in reversed(axes):
        x = exact_math.ordered_sum(x, axis)
    return np.expand_dims(x, axes) if keepdims else x


@register
@dataclass(frozen=True, slots=True)
class ReduceSum(Op):
    """The sum over axes. The scale stays."""

    axes: tuple[int, ...]
    keepdims: bool

    def result_type(self, *args: Type) -> TensorType:
        """x without the axes, or with extent 1 there."""
        return _reduced(self, tensors(self, args, 1)[0])

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The sum, reals in a fixed order."""
        return _sum(args[0], self.axes, self.keepdims)


@register
@dataclass(frozen=True, slots=True)
class ReduceMean(Op):
    """The mean over axes, on reals."""

    axes: tuple[int, ...]
    keepdims: bool

    def result_type(self, *args: Type) -> TensorType:
        """x without the axes, or with extent 1 there."""
        return _reduced(self, reals(self, args, 1)[0])

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The sum in a fixed order, divided by the count."""
        (x,) = args
        count = float(math.prod(x.shape[axis] for axis in self.axes))
        return np.asarray(_sum(x, self.axes, self.keepdims) / count)


@register
@dataclass(frozen=True, slots=True)
class ReduceMax(Op):
    """The maximum over axes. The scale stays."""

    axes: tuple[int, ...]
    keepdims: bool

    def result_type(self, *args: Type) -> TensorType:
        """x without the axes, or with extent 1 there."""
        return _reduced(self, tensors(self, args, 1)[0])

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The maximum."""
        return np.asarray(args[0].max(axis=self.axes, keepdims=self.keepdims))
