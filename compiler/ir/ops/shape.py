"""Ops that move elements and compute nothing. The scale stays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.rules import (
    broadcast,
    check_at_least,
    check_axes,
    check_length,
    require,
    same_scale,
    shape_text,
    tensors,
    to_scale,
)
from enclair.compiler.ir.types import TensorType, Type


@register
@dataclass(frozen=True, slots=True)
class Reshape(Op):
    """The same elements, row-major, in another shape."""

    shape: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """The new shape."""
        (x,) = tensors(self, args, 1)
        size = math.prod(self.shape)
        require(size == x.size, f"Reshape to {shape_text(self.shape)} needs {size} elements, got {x.size} in {x}")
        return x.with_shape(self.shape)

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The reshaped array."""
        return args[0].reshape(self.shape)


@register
@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """Axis i of the result is axis perm[i] of x."""

    perm: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """The permuted shape."""
        (x,) = tensors(self, args, 1)
        fits = sorted(self.perm) == list(range(len(x.shape)))
        require(fits, f"Transpose needs a permutation of the {len(x.shape)} axes of {x}, got {self.perm}")
        return x.with_shape(tuple(x.shape[axis] for axis in self.perm))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The permuted array, contiguous."""
        return np.asarray(args[0].transpose(self.perm), order="C")


@register
@dataclass(frozen=True, slots=True)
class Slice(Op):
    """x[starts:stops:steps], one entry an axis, all non-negative, steps at least 1."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    steps: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """ceil((stop - start) / step) elements an axis."""
        (x,) = tensors(self, args, 1)
        for what, values in (("starts", self.starts), ("stops", self.stops), ("steps", self.steps)):
            check_length(self, what, values, len(x.shape))
        check_at_least(self, "steps", self.steps, 1)
        inside = all(0 <= a < b <= n for a, b, n in zip(self.starts, self.stops, x.shape, strict=True))
        require(inside, f"Slice needs 0 <= start < stop <= extent per axis, got {self.starts} to {self.stops} of {x}")
        bounds = zip(self.starts, self.stops, self.steps, strict=True)
        return x.with_shape(tuple(-((start - stop) // step) for start, stop, step in bounds))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The part, contiguous."""
        return np.asarray(args[0][tuple(map(slice, self.starts, self.stops, self.steps))], order="C")


@register
@dataclass(frozen=True, slots=True)
class Concat(Op):
    """The arguments one after the other along an axis. Scales must be equal."""

    axis: int

    def result_type(self, *args: Type) -> TensorType:
        """The shape of the first, its axis the sum of all."""
        xs = same_scale(self, args, max(1, len(args)))
        check_axes(self, (self.axis,), xs[0])
        rests = {x.shape[: self.axis] + x.shape[self.axis + 1 :] for x in xs if len(x.shape) == len(xs[0].shape)}
        fits = len(rests) == 1 and all(len(x.shape) == len(xs[0].shape) for x in xs)
        shapes = " and ".join(shape_text(x.shape) for x in xs)
        require(fits, f"Concat along axis {self.axis} needs shapes equal on all other axes, got {shapes}")
        extents = list(xs[0].shape)
        extents[self.axis] = sum(x.shape[self.axis] for x in xs)
        return xs[0].with_shape(tuple(extents))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The joined array."""
        return np.concatenate(args, axis=self.axis)


@register
@dataclass(frozen=True, slots=True)
class Pad(Op):
    """Grow each axis: ``pads`` are the begins of all axes, then the ends.

    ``mode`` "constant" fills with ``value``, "reflect" mirrors without the border, "edge" repeats the border, "wrap"
    goes on at the other end. On fixed point a value other than 0 needs the scale of x in ``scale_bits``; it is rounded
    to it, half to even.
    """

    pads: tuple[int, ...]
    mode: str = "constant"
    value: float = 0.0
    scale_bits: int | None = None

    def result_type(self, *args: Type) -> TensorType:
        """The grown shape."""
        (x,) = tensors(self, args, 1)
        rank = len(x.shape)
        check_length(self, "pads (begins, then ends)", self.pads, 2 * rank)
        check_at_least(self, "pads", self.pads, 0)
        require(
            self.value == 0 or x.scale_bits == self.scale_bits,
            f"Pad on {x} rounds its value {self.value} to that scale, got scale_bits={self.scale_bits}: "
            f"give the op scale_bits={x.scale_bits}",
        )
        if self.mode not in ("constant", "reflect", "edge", "wrap"):
            raise TypeRuleError(f"Pad needs mode 'constant', 'reflect', 'edge' or 'wrap', got {self.mode!r}")
        short = self.mode == "reflect" and any(pad >= n for pad, n in zip(self.pads, x.shape * 2, strict=True))
        require(not short, f"Pad by reflection needs pads smaller than the extents, got {self.pads} for {x}")
        return x.with_shape(tuple(n + self.pads[axis] + self.pads[axis + rank] for axis, n in enumerate(x.shape)))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The grown array."""
        (x,) = args
        widths = list(zip(self.pads[: x.ndim], self.pads[x.ndim :], strict=True))
        if self.mode == "constant":
            fill = self.value if self.scale_bits is None else to_scale(self.value, self.scale_bits)
            return np.pad(x, widths, constant_values=fill)
        mode: Any = self.mode
        return np.asarray(np.pad(x, widths, mode=mode))


@register
@dataclass(frozen=True, slots=True)
class Resize(Op):
    """Repeat each element ``factors`` times along each axis: nearest neighbour by integer factors."""

    factors: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """Each extent times its factor."""
        (x,) = tensors(self, args, 1)
        check_length(self, "factors", self.factors, len(x.shape))
        check_at_least(self, "factors", self.factors, 1)
        return x.with_shape(tuple(n * factor for n, factor in zip(x.shape, self.factors, strict=True)))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The repeated array."""
        (x,) = args
        for axis, factor in enumerate(self.factors):
            x = x if factor == 1 else np.repeat(x, factor, axis=axis)
        return x


def _check_image(op: DepthToSpace | SpaceToDepth, x: TensorType) -> None:
    """Check for an [N, C, H, W] tensor and a sensible block."""
    require(len(x.shape) == 4, f"{type(op).__name__} needs [N, C, H, W], got {x}")
    check_at_least(op, "a block", (op.block,), 1)


@register
@dataclass(frozen=True, slots=True)
class DepthToSpace(Op):
    """Move blocks of channels of [N, C, H, W] into ``block`` x ``block`` pixels.

    ``mode`` "CRD" is PyTorch's PixelShuffle (channel, row, column); "DCR" is ONNX's default (row, column, channel).
    """

    block: int
    mode: str

    def result_type(self, *args: Type) -> TensorType:
        """[N, C / block^2, H block, W block]."""
        (x,) = tensors(self, args, 1)
        _check_image(self, x)
        require(self.mode in ("CRD", "DCR"), f"DepthToSpace needs mode 'CRD' or 'DCR', got {self.mode!r}")
        n, c, h, w = x.shape
        require(c % self.block**2 == 0, f"DepthToSpace needs channels divisible by {self.block**2}, got {x}")
        return x.with_shape((n, c // self.block**2, h * self.block, w * self.block))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Split the channels, bring their parts beside the rows and columns, merge."""
        (x,) = args
        n, c, h, w = x.shape
        b, rest = self.block, c // self.block**2
        split, order = ((n, b, b, rest, h, w), (0, 3, 4, 1, 5, 2))
        if self.mode == "CRD":
            split, order = ((n, rest, b, b, h, w), (0, 1, 4, 2, 5, 3))
        return x.reshape(split).transpose(order).reshape(n, rest, h * b, w * b)


@register
@dataclass(frozen=True, slots=True)
class SpaceToDepth(Op):
    """Move ``block`` x ``block`` pixels of [N, C, H, W] into channels, ordered (row, column, channel)."""

    block: int

    def result_type(self, *args: Type) -> TensorType:
        """[N, C block^2, H / block, W / block]."""
        (x,) = tensors(self, args, 1)
        _check_image(self, x)
        n, c, h, w = x.shape
        fits = h % self.block == 0 and w % self.block == 0
        require(fits, f"SpaceToDepth needs rows and columns divisible by {self.block}, got {x}")
        return x.with_shape((n, c * self.block**2, h // self.block, w // self.block))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Split rows and columns, bring their parts before the channels, merge."""
        (x,) = args
        n, c, h, w = x.shape
        b = self.block
        parts = x.reshape(n, c, h // b, b, w // b, b)
        return parts.transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


@register
@dataclass(frozen=True, slots=True)
class Gather(Op):
    """Pick the elements at constant ``indices`` along an axis; the axis stays."""

    axis: int
    indices: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """As many elements along the axis as there are indices."""
        (x,) = tensors(self, args, 1)
        check_axes(self, (self.axis,), x)
        extent = x.shape[self.axis]
        inside = bool(self.indices) and all(0 <= index < extent for index in self.indices)
        require(inside, f"Gather needs indices in 0..{extent - 1} on axis {self.axis} of {x}, got {self.indices}")
        return x.with_shape((*x.shape[: self.axis], len(self.indices), *x.shape[self.axis + 1 :]))

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The picked elements."""
        return np.take(args[0], self.indices, axis=self.axis)


@register
@dataclass(frozen=True, slots=True)
class Expand(Op):
    """Broadcast x to a shape."""

    shape: tuple[int, ...]

    def result_type(self, *args: Type) -> TensorType:
        """The shape."""
        (x,) = tensors(self, args, 1)
        common = broadcast(self, x.shape, self.shape)
        require(common == self.shape, f"Expand to {shape_text(self.shape)} would shrink {x}")
        return x.with_shape(self.shape)

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The repeated array."""
        return np.asarray(np.broadcast_to(args[0], self.shape), order="C")
