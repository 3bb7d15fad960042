"""What the type rules of tensor ops have in common: kinds, scales, broadcasting, axes, windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.types import TensorType, Type


def require(holds: bool, message: str) -> None:
    """Raise TypeRuleError with the message unless the condition holds."""
    if not holds:
        raise TypeRuleError(message)


def listed(types: Sequence[Type]) -> str:
    """Types as they stand in messages: ``real<1x3> and fixed<1x3, 2^-8>``."""
    return " and ".join(map(str, types))


def tensors(op: Op, args: Sequence[Type], count: int) -> tuple[TensorType, ...]:
    """The arguments, once they are known to be ``count`` tensors."""
    name = type(op).__name__
    require(len(args) == count, f"{name} needs {count} arguments, got {len(args)}: {listed(args)}")
    found = tuple(arg for arg in args if isinstance(arg, TensorType))
    require(len(found) == count, f"{name} works on tensors, got {listed(args)}: use the packed op of this kind")
    return found


def reals(op: Op, args: Sequence[Type], count: int) -> tuple[TensorType, ...]:
    """The arguments, once they are known to be ``count`` tensors of reals."""
    found = tensors(op, args, count)
    name = type(op).__name__
    require(
        not any(x.is_fixed for x in found),
        f"{name} has no exact integer meaning, got {listed(found)}: dequantise first",
    )
    return found


def same_kind(op: Op, args: Sequence[Type], count: int) -> tuple[TensorType, ...]:
    """The arguments, once they are known to be ``count`` tensors, all real or all fixed point."""
    found = tensors(op, args, count)
    name = type(op).__name__
    require(
        len({x.is_fixed for x in found}) <= 1,
        f"{name} needs arguments that are all real or all fixed, got {listed(found)}: quantise the real ones first",
    )
    return found


def same_scale(op: Op, args: Sequence[Type], count: int) -> tuple[TensorType, ...]:
    """The arguments, once they are known to be ``count`` tensors of one kind and one scale."""
    found = same_kind(op, args, count)
    scales = [x.scale_bits for x in found if x.scale_bits is not None]
    if scales and min(scales) < max(scales):
        gap = max(scales) - min(scales)
        raise TypeRuleError(
            f"{type(op).__name__} needs equal scales, got {listed(found)}: "
            f"shift the lower-scale side left by {gap} {'bit' if gap == 1 else 'bits'} first"
        )
    return found


def product_scale(x: TensorType, y: TensorType) -> int | None:
    """The scale of a product in bits: the sum of the scales, None for reals."""
    return None if x.scale_bits is None or y.scale_bits is None else x.scale_bits + y.scale_bits


def broadcast(op: Op, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape by numpy's rules (trailing axes align, 1 stretches)."""
    rank = max(map(len, shapes))
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = tuple(max(extents) for extents in zip(*aligned, strict=True))
    fits = all(extent in (1, want) for shape in aligned for extent, want in zip(shape, result, strict=True))
    texts = " and ".join(map(shape_text, shapes))
    require(fits, f"{type(op).__name__} cannot broadcast shapes {texts}: aligned extents must be equal or 1")
    return result


def shape_text(shape: Sequence[int]) -> str:
    """A shape as types print it: ``1x3x8x8``; ``scalar`` for rank 0."""
    return "x".join(map(str, shape)) or "scalar"


def check_axes(op: Op, axes: Sequence[int], x: TensorType) -> None:
    """Check that the axes are distinct, ascending, and axes of the tensor."""
    fits = list(axes) == sorted(set(axes)) and all(0 <= axis < len(x.shape) for axis in axes)
    rank = len(x.shape)
    require(fits, f"{type(op).__name__} needs ascending axes in 0..{rank - 1}, got {tuple(axes)} for {x}")


def check_length(op: Op, what: str, values: Sequence[object], count: int) -> None:
    """Check that an attribute has one entry per axis, or whatever ``count`` stands for."""
    require(len(values) == count, f"{type(op).__name__} needs {count} {what}, got {tuple(values)}")


def check_at_least(op: Op, what: str, values: Sequence[int], least: int) -> None:
    """Check that every entry of an attribute is at least ``least``."""
    require(min(values, default=least) >= least, f"{type(op).__name__} needs {what} >= {least}, got {tuple(values)}")


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window over the spatial axes; ``pads`` are the begins, then the ends."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def spans(self) -> tuple[int, ...]:
        """Elements from the first to the last that a window reads, per axis."""
        return tuple(step * (size - 1) + 1 for size, step in zip(self.kernel, self.dilations, strict=True))


def check_spatial(op: Op, x: TensorType, window: Window) -> None:
    """Check that x is [N, C, *spatial] of spatial rank 1 to 3 and that the window's attributes fit that rank."""
    rank = len(x.shape) - 2
    require(1 <= rank <= 3, f"{type(op).__name__} needs a batch, a channel and 1 to 3 spatial axes, got {x}")
    check_length(op, "pads (begins, then ends)", window.pads, 2 * rank)
    check_at_least(op, "pads", window.pads, 0)
    for what in ("kernel", "strides", "dilations"):
        values: tuple[int, ...] = getattr(window, what)
        check_length(op, f"{what} entries", values, rank)
        check_at_least(op, what, values, 1)


def window_counts(op: Op, x: TensorType, window: Window) -> tuple[int, ...]:
    """How many windows fit along each spatial axis of x, an [N, C, *spatial] tensor."""
    check_spatial(op, x, window)
    rank = len(window.kernel)
    padded = [extent + window.pads[axis] + window.pads[axis + rank] for axis, extent in enumerate(x.shape[2:])]
    require(
        all(span <= room for span, room in zip(window.spans, padded, strict=True)),
        f"{type(op).__name__} has windows of {shape_text(window.spans)}, but {x} has only {shape_text(padded)} "
        f"spatial elements, padding included: give a larger input or more padding",
    )
    return tuple((n - span) // step + 1 for n, span, step in zip(padded, window.spans, window.strides, strict=True))


def to_scale(value: float, scale_bits: int) -> int:
    """The integer that stands for ``value`` at 2^-scale_bits, rounded half to even; infinities saturate to int64."""
    if math.isinf(value):
        return -(2**63) if value < 0 else 2**63 - 1
    return round(math.ldexp(value, scale_bits))
