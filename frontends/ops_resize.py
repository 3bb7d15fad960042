"""Converter of ONNX Resize: nearest neighbour by any constant factor."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.ops.shape import Gather, Resize, Slice
from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Operand, apply
from enclair.frontends.onnx_node import OnnxNode, normalise_axis
from enclair.frontends.ops_shape import pick
from enclair.frontends.registry import converts

Positions = NDArray[np.float64]


@converts("Resize", to=(Resize, Gather, Slice), note="mode nearest; integer factors repeat, others gather")
def resize(node: OnnxNode) -> Operand:
    """Repeat elements along the axes where the factor is an integer, pick them along the others."""
    if (mode := node.text("mode", "nearest")) != "nearest":
        raise UnsupportedNodeError(
            f"interpolation of mode {mode!r}",
            "use mode='nearest', or a ConvTranspose with the weights of the interpolation",
        )
    x, factors = node.arg(), [1] * node.rank()
    scales, extents = _targets(node)
    node.check_size(extents)
    for axis, (extent, scale, out) in enumerate(zip(node.shape(), scales, extents, strict=True)):
        indices = _indices(node, extent, scale, out)
        factor = max(1, out // extent)
        if indices == [index // factor for index in range(extent * factor)]:
            factors[axis] = factor
        else:
            x = pick(x, axis, indices)
    return x if set(factors) == {1} else apply(Resize(tuple(factors)), x)


def _targets(node: OnnxNode) -> tuple[list[float], list[int]]:
    """The scale and the extent of every axis of the result."""
    scales, extents = [1.0] * node.rank(), list(node.shape())
    axes = [normalise_axis(axis, node.rank()) for axis in node.integers("axes") or range(node.rank())]
    sizes = node.numbers(3, "sizes")
    given = node.array(2, "scales")
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnsupportedNodeError("a resize that keeps the aspect ratio", "give the scale of each axis")
    if sizes:
        for axis, size in zip(axes, sizes, strict=True):
            scales[axis], extents[axis] = size / node.shape()[axis], size
    elif given is not None:
        for axis, scale in zip(axes, np.ravel(given).tolist(), strict=True):
            scales[axis], extents[axis] = scale, math.floor(node.shape()[axis] * scale)
    return scales, extents


def _indices(node: OnnxNode, extent: int, scale: float, out: int) -> list[int]:
    """Which element of an axis each element of the result is."""
    if scale == 1.0 and out == extent:
        return list(range(extent))
    transform = node.text("coordinate_transformation_mode", "half_pixel")
    if transform not in _TRANSFORMS:
        raise UnsupportedNodeError(f"coordinates {transform!r}", "use 'asymmetric' or 'half_pixel'")
    at = _TRANSFORMS[transform](np.arange(out, dtype=np.float64), scale, extent, out)
    chosen = _ROUNDINGS[node.text("nearest_mode", "round_prefer_floor")](at)
    return [int(index) for index in np.clip(chosen, 0, extent - 1)]


_TRANSFORMS: dict[str, Callable[[Positions, float, int, int], Positions]] = {
    "asymmetric": lambda x, scale, _n, _out: x / scale,
    "half_pixel": lambda x, scale, _n, _out: (x + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda x, scale, _n, out: (x + 0.5) / scale - 0.5 if out > 1 else x * 0.0,
    "align_corners": lambda x, _scale, n, out: x * (n - 1) / (out - 1) if out > 1 else x * 0.0,
}
_ROUNDINGS: dict[str, Callable[[Positions], Positions]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}
