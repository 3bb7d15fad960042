"""Converters of ONNX ops that move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from enclair.compiler.ir.ops.shape import (
    Concat,
    DepthToSpace,
    Expand,
    Gather,
    Pad,
    Reshape,
    Slice,
    SpaceToDepth,
    Transpose,
)
from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Operand, apply, reshape, shape_of, transpose
from enclair.frontends.onnx_node import OnnxNode, normalise_axis
from enclair.frontends.registry import converts

_JOINED = 8
"""Up to so many copies of a tensor are joined by Concat."""


@converts("Identity", "Dropout", note="passes its argument on")
def identity(node: OnnxNode) -> Operand:
    """The argument; Dropout does nothing at inference."""
    if node.numbers(2, "training mode") not in (None, (0,)):
        raise UnsupportedNodeError("dropout in training mode", "call model.eval() before the export")
    return node.arg()


@converts("Reshape", to=(Reshape,))
def reshape_(node: OnnxNode) -> Operand:
    """0 keeps an extent (without allowzero), -1 is inferred."""
    asked = node.numbers(1, "target shape") or ()
    keep_zero = bool(node.integer("allowzero", 0))
    extents = [node.shape()[axis] if n == 0 and not keep_zero else n for axis, n in enumerate(asked)]
    if -1 in extents:
        rest = math.prod(n for n in extents if n != -1)
        extents[extents.index(-1)] = math.prod(node.shape()) // max(1, rest)
    return _reshaped(node, tuple(extents))


def _reshaped(node: OnnxNode, shape: tuple[int, ...]) -> Operand:
    """Through the op, so that its type rule speaks."""
    return node.arg() if shape == node.shape() else apply(Reshape(shape), node.arg())


@converts("Flatten", to=(Reshape,))
def flatten(node: OnnxNode) -> Operand:
    """A matrix: the axes before ``axis``, and the rest."""
    axis = node.integer("axis", 1)
    axis = axis + node.rank() if axis < 0 else axis
    return _reshaped(node, (math.prod(node.shape()[:axis]), math.prod(node.shape()[axis:])))


@converts("Squeeze", to=(Reshape,))
def squeeze(node: OnnxNode) -> Operand:
    """Drop axes of extent 1."""
    axes = node.integers("axes") or node.numbers(1, "axes")
    if axes is None:
        axes = tuple(axis for axis, n in enumerate(node.shape()) if n == 1)
    dropped = {normalise_axis(axis, node.rank()) for axis in axes}
    return _reshaped(node, tuple(n for axis, n in enumerate(node.shape()) if axis not in dropped))


@converts("Unsqueeze", to=(Reshape,))
def unsqueeze(node: OnnxNode) -> Operand:
    """Insert axes of extent 1."""
    axes = node.integers("axes") or node.numbers(1, "axes") or ()
    rank = node.rank() + len(axes)
    extents = list(node.shape())
    for axis in sorted(normalise_axis(axis, rank) for axis in axes):
        extents.insert(axis, 1)
    return _reshaped(node, tuple(extents))


@converts("Transpose", to=(Transpose,))
def transpose_(node: OnnxNode) -> Operand:
    """Reverse the axes if no permutation is given."""
    return transpose(node.arg(), node.integers("perm") or tuple(reversed(range(node.rank()))))


@converts("Concat", to=(Concat,))
def concat(node: OnnxNode) -> Operand:
    """Join along an axis."""
    return apply(Concat(node.axis(0)), *map(node.arg, range(len(node.args))))


def part(x: Operand, axis: int, indices: range) -> Operand:
    """The elements of x at evenly spaced positions of one axis; descending ones are gathered."""
    shape = shape_of(x)
    if indices == range(shape[axis]):
        return x
    if not indices:
        raise UnsupportedNodeError(
            f"an empty part of axis {axis} of extent {shape[axis]}", "leave the empty tensor out"
        )
    if indices.step < 0:
        return apply(Gather(axis, tuple(indices)), x)
    starts, stops, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], stops[axis], steps[axis] = indices[0], indices[-1] + 1, indices.step
    return apply(Slice(tuple(starts), tuple(stops), tuple(steps)), x)


@converts("Slice", to=(Slice, Gather), note="constant bounds")
def slice_(node: OnnxNode) -> Operand:
    """One axis after the other."""
    starts, stops = node.numbers(1, "starts") or (), node.numbers(2, "ends") or ()
    axes = node.numbers(3, "axes") or tuple(range(len(starts)))
    steps = node.numbers(4, "steps") or (1,) * len(starts)
    x = node.arg()
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        where = normalise_axis(axis, node.rank())
        x = part(x, where, _positions(start, stop, step, node.shape()[where]))
    return x


def _positions(start: int, stop: int, step: int, extent: int) -> range:
    """The elements that an ONNX slice takes. Bounds below 0 count from the end, then they are clamped to the axis."""
    if step == 0:
        raise UnsupportedNodeError("a slice with step 0", "export the model again")
    first, last = start + extent * (start < 0), stop + extent * (stop < 0)
    if step > 0:
        return range(min(max(first, 0), extent), min(max(last, 0), extent), step)
    return range(min(max(first, 0), extent - 1), min(max(last, -1), extent - 1), step)


@converts("Split", to=(Slice,), note="constant sizes")
def split(node: OnnxNode) -> tuple[Operand, ...]:
    """One slice for each output."""
    axis = node.axis(0)
    extent, count = node.shape()[axis], len(node.proto.output)
    size = -(-extent // node.integer("num_outputs", count))
    sizes = node.integers("split") or node.numbers(1, "split sizes")
    stops = list(accumulate(sizes)) if sizes else [min(extent, size * (number + 1)) for number in range(count)]
    starts = [0, *stops[:-1]]
    return tuple(part(node.arg(), axis, range(a, b)) for a, b in zip(starts, stops, strict=True))


@converts("Pad", to=(Pad, Slice), note="constant pads; negative ones crop")
def pad(node: OnnxNode) -> Operand:
    """Crop where pads are negative, then pad."""
    mode = node.text("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise UnsupportedNodeError(f"padding mode {mode!r}", "pad by 'constant', 'reflect', 'edge' or 'wrap'")
    value = node.array(2, "padding value")
    begins, ends = _pads(node)
    x = node.arg()
    for axis, n in enumerate(node.shape()):
        x = part(x, axis, range(max(0, -begins[axis]), n - max(0, -ends[axis])))
    pads = tuple(max(0, n) for n in (*begins, *ends))
    number = 0.0 if value is None or mode != "constant" else float(value.ravel()[0])
    return apply(Pad(pads, mode, number), x) if any(pads) else x


def _pads(node: OnnxNode) -> tuple[list[int], list[int]]:
    """Begins and ends for every axis."""
    pads = node.numbers(1, "pads") or ()
    axes = node.numbers(3, "axes") or tuple(range(node.rank()))
    begins, ends = [0] * node.rank(), [0] * node.rank()
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        where = normalise_axis(axis, node.rank())
        begins[where], ends[where] = begin, end
    return begins, ends


@converts("DepthToSpace", to=(DepthToSpace,))
def depth_to_space(node: OnnxNode) -> Operand:
    """Channels to pixels; CRD is PixelShuffle."""
    return apply(DepthToSpace(node.integer("blocksize", 1), node.text("mode", "DCR")), node.arg())


@converts("SpaceToDepth", to=(SpaceToDepth,))
def space_to_depth(node: OnnxNode) -> Operand:
    """Pixels to channels."""
    return apply(SpaceToDepth(node.integer("blocksize", 1)), node.arg())


@converts("Gather", to=(Gather, Slice, Reshape), note="constant indices")
def gather(node: OnnxNode) -> Operand:
    """Evenly spaced indices are a slice; indices of any rank give as many axes."""
    axis = node.axis(0)
    extent = node.shape()[axis]
    indices = [index + extent * (index < 0) for index in node.numbers(1, "indices") or ()]
    return reshape(pick(node.arg(), axis, indices), node.shape()[:axis] + node.shape(1) + node.shape()[axis + 1 :])


def pick(x: Operand, axis: int, indices: Sequence[int]) -> Operand:
    """The elements at any positions of one axis, by a slice if they are evenly spaced and ascending."""
    steps = set(np.diff(indices).tolist()) or {1}
    step = steps.pop()
    if not steps and step > 0 and indices[0] >= 0 and indices[-1] < shape_of(x)[axis]:
        return part(x, axis, range(indices[0], indices[-1] + 1, step))
    return apply(Gather(axis, tuple(indices)), x)


@converts("Expand", to=(Expand,))
def expand(node: OnnxNode) -> Operand:
    """Broadcast in both directions."""
    shape = np.broadcast_shapes(node.shape(), node.numbers(1, "target shape") or ())
    return node.arg() if shape == node.shape() else apply(Expand(shape), node.arg())


@converts("Tile", to=(Concat, Expand, Reshape), note="constant repeats")
def tile(node: OnnxNode) -> Operand:
    """Copies along each axis."""
    x = node.arg()
    for axis, count in zip(range(node.rank()), node.numbers(1, "repeats") or (), strict=True):
        if count < 1:
            raise UnsupportedNodeError(f"{count} copies along axis {axis}", "leave the empty tensor out")
        x = x if count == 1 else _copies(x, axis, count)
    return x


def _copies(x: Operand, axis: int, count: int) -> Operand:
    """A few copies are joined, many are an axis of their own that joins the old one."""
    if count <= _JOINED:
        return apply(Concat(axis), *[x] * count)
    before, after = shape_of(x)[:axis], shape_of(x)[axis:]
    expanded = apply(Expand((*before, count, *after)), reshape(x, (*before, 1, *after)))
    return reshape(expanded, (*before, count * after[0], *after[1:]))
