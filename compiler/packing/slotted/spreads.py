"""Spreading the operands of a matrix product to one tensor of all pairs: (inner, ..., rows, columns)."""

from __future__ import annotations

from math import prod

import numpy as np
import scipy.sparse as sp

from enclair.compiler.ir.graph import Array
from enclair.compiler.packing.slotted.maps import LinearMap, Matrix, Shape, matrix


def spread_left(left: Shape, right: Shape) -> LinearMap:
    """x [..., i, k] -> [k, ..., i, j]: copies along j, the inner axis first."""
    leading = np.broadcast_shapes(left[:-2], right[:-2])
    return _spread(left, leading, left[-1], left[-2], right[-1], inner_last=True)


def spread_right(left: Shape, right: Shape) -> LinearMap:
    """y [..., k, j] -> [k, ..., i, j]: copies along i, the inner axis first."""
    leading = np.broadcast_shapes(left[:-2], right[:-2])
    return _spread(right, leading, left[-1], left[-2], right[-1], inner_last=False)


def _spread(shape: Shape, leading: Shape, inner: int, rows: int, columns: int, *, inner_last: bool) -> LinearMap:
    """A selection on the flat tensor."""
    out = (inner, *leading, rows, columns)
    positions = np.arange(prod(shape)).reshape(shape)
    ordered = np.moveaxis(positions, -1, 0)[..., None] if inner_last else np.moveaxis(positions, -2, 0)[..., None, :]
    lead = (1,) * (len(leading) - len(shape) + 2)
    aligned = ordered.reshape(inner, *lead, *ordered.shape[1:])
    source = np.broadcast_to(aligned, out).reshape(-1)
    factor = matrix(np.zeros((0, 0))) if not source.size else _selection_matrix(source, prod(shape))
    return LinearMap(shape, out, ((factor,),))


def _selection_matrix(source: Array, extent: int) -> Matrix:
    rows = np.arange(source.size)
    return matrix(sp.coo_array((np.ones(source.size), (rows, source)), shape=(source.size, extent)))
