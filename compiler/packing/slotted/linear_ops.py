"""The linear map, and the constant added to it, that an op on tensors makes of one argument."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Graph, Node, Value
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul, Neg, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.normalisation import BatchNorm
from enclair.compiler.ir.ops.pooling import AveragePool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import (
    DepthToSpace,
    Expand,
    Gather,
    Pad,
    Reshape,
    Resize,
    Slice,
    SpaceToDepth,
    Transpose,
)
from enclair.compiler.ir.types import TensorType
from enclair.compiler.packing.slotted.maps import LinearMap, Matrix, Shape, identity, identity_map, matrix

Factors: TypeAlias = list[Matrix]

MOVES = (Reshape, Transpose, Slice, Gather, Pad, Resize, DepthToSpace, SpaceToDepth, Expand, Neg)
"""Ops with at most one nonzero a row: composing them with anything costs nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class AffineOp:
    """A map of argument number ``argument``, plus ``bias`` (None: nothing)."""

    argument: int
    map: LinearMap
    bias: Array | None = None


def shape_of(value: Value) -> Shape:
    """The shape of a tensor of reals.

    Raises:
        PackingError: it is none.
    """
    if not isinstance(value.type, TensorType) or value.type.is_fixed:
        raise PackingError(value.name, f"is no tensor of reals but {value.type}")
    return value.type.shape


def affine_op(graph: Graph, node: Node) -> AffineOp | None:
    """What a node does to its one argument that is not constant; None if it is not affine in one argument."""
    constants = [graph.arrays.get(arg.name) for arg in node.args]
    variable = [number for number, constant in enumerate(constants) if constant is None]
    if len(variable) != 1:
        return None
    number = variable[0]
    shape, out = shape_of(node.args[number]), shape_of(node.out)
    made = _with_constant(node.op, number, constants, shape, out)
    if made is None and len(node.args) == 1:
        made = _alone(node.op, shape, out)
    return None if made is None else AffineOp(number, *made)


def _alone(op: Op, shape: Shape, out: Shape) -> tuple[LinearMap, Array | None] | None:
    """Ops of one argument."""
    if isinstance(op, Pad):
        return _padding(op, shape, out)
    made = _moved(op, shape, out) or _summed(op, shape, out)
    return None if made is None else (made, None)


def _moved(op: Op, shape: Shape, out: Shape) -> LinearMap | None:
    """Ops that move elements, or change their sign."""
    match op:
        case Reshape():
            return identity_map(shape, out)
        case Neg():
            return identity_map(shape, out).times(-1.0)
        case Transpose():
            order = np.arange(prod(shape)).reshape(shape).transpose(op.perm).reshape(-1)
            return _selection(order, shape, out)
        case Slice():
            return along_axes(shape, out, [_picks(range(*bounds), n) for bounds, n in _bounds(op, shape)])
        case Gather():
            picks = [identity(n) for n in shape]
            picks[op.axis] = _picks(op.indices, shape[op.axis])
            return along_axes(shape, out, picks)
        case Resize():
            repeats = [_picks(np.repeat(np.arange(n), f), n) for n, f in zip(shape, op.factors, strict=True)]
            return along_axes(shape, out, repeats)
        case Expand():
            return expansion(shape, out)
        case DepthToSpace():
            return _depth_to_space(op, shape, out)
        case SpaceToDepth():
            return _space_to_depth(op, shape, out)
        case _:
            return None


def _summed(op: Op, shape: Shape, out: Shape) -> LinearMap | None:
    """Ops that add elements."""
    match op:
        case ReduceSum() | ReduceMean():
            return _reduction(op, shape, out)
        case SumPool() | AveragePool():
            return _pool(op, shape, out)
        case _:
            return None


def _with_constant(
    op: Op, number: int, constants: list[Array | None], shape: Shape, out: Shape
) -> tuple[LinearMap, Array | None] | None:
    """Ops that may have constant arguments."""
    given = [constant for constant in constants if constant is not None]
    match op:
        case Add():
            return expansion(shape, out), np.broadcast_to(given[0], out)
        case Sub():
            sign = 1.0 if number == 0 else -1.0
            return expansion(shape, out).times(sign), np.broadcast_to(-sign * given[0], out)
        case Mul():
            return scaling(np.asarray(given[0]), out).after(expansion(shape, out)), None
        case Div() if number == 0:
            return scaling(1.0 / given[0], out).after(expansion(shape, out)), None
        case BatchNorm() if number == 0:
            return _batch_norm(op, given, shape)
        case Conv() if number == 0:
            return _convolution(op, given[0], shape, out), None
        case ConvTranspose() if number == 0:
            return _transposed_convolution(op, given[0], shape, out), None
        case MatMul():
            return _product(number, given[0], shape, out), None
        case _:
            return None


def along_axes(shape: Shape, out: Shape, factors: Factors) -> LinearMap:
    """One factor an axis."""
    return LinearMap(shape, out, (tuple(factors) or (identity(1),),))


def expansion(shape: Shape, out: Shape) -> LinearMap:
    """Broadcasting to a shape, by numpy's rules."""
    aligned = (1,) * (len(out) - len(shape)) + shape
    factors = [identity(n) if n == m else matrix(np.ones((m, 1))) for n, m in zip(aligned, out, strict=True)]
    return along_axes(shape, out, factors)


def scaling(constant: Array, shape: Shape) -> LinearMap:
    """Multiplication by a constant that broadcasts to the shape: a diagonal over the axes along which it varies."""
    aligned = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
    varying = [axis for axis, extent in enumerate(aligned.shape) if extent > 1]
    if not varying:
        return identity_map(shape, shape).times(float(constant.reshape(-1)[0]))
    low, high = varying[0], varying[-1] + 1
    middle = np.broadcast_to(aligned.reshape(aligned.shape[low:high]), shape[low:high]).reshape(-1)
    factors = [identity(n) for n in shape]
    return along_axes(shape, shape, [*factors[:low], matrix(sp.diags_array(middle)), *factors[high:]])


def _picks(indices: Any, extent: int) -> Matrix:
    """Row i has a one at column indices[i]; a negative index leaves the row empty."""
    chosen = np.asarray(list(indices), dtype=np.int64)
    rows = np.flatnonzero((chosen >= 0) & (chosen < extent))
    return matrix(sp.coo_array((np.ones(rows.size), (rows, chosen[rows])), shape=(chosen.size, extent)))


def _selection(source: Array, shape: Shape, out: Shape) -> LinearMap:
    """Element i of the result is element source[i]."""
    return LinearMap(shape, out, ((_picks(source, prod(shape)),),))


def _bounds(op: Slice, shape: Shape) -> list[tuple[tuple[int, int, int], int]]:
    return list(zip(zip(op.starts, op.stops, op.steps, strict=True), shape, strict=True))


def _padding(op: Pad, shape: Shape, out: Shape) -> tuple[LinearMap, Array | None]:
    rank = len(shape)
    kwargs: Any = {"constant_values": -1} if op.mode == "constant" else {}
    mode: Any = op.mode
    widths = list(zip(op.pads[:rank], op.pads[rank:], strict=True))
    factors = [
        _picks(np.pad(np.arange(n), width, mode=mode, **kwargs), n) for n, width in zip(shape, widths, strict=True)
    ]
    bias = None
    if op.mode == "constant" and op.value:
        bias = np.pad(np.zeros(shape), widths, constant_values=op.value)
    return along_axes(shape, out, factors), bias


def _depth_to_space(op: DepthToSpace, shape: Shape, out: Shape) -> LinearMap:
    """A term for each pixel of a block."""
    n, channels, height, width = shape
    b = op.block
    outs = channels // (b * b)
    numbers = np.arange(channels)
    grid = numbers.reshape(outs, b, b) if op.mode == "CRD" else numbers.reshape(b, b, outs).transpose(2, 0, 1)
    terms = [
        (identity(n), _picks(grid[:, i, j], channels), _every(height, b, i).T.tocsr(), _every(width, b, j).T.tocsr())
        for i, j in product(range(b), repeat=2)
    ]
    return LinearMap(shape, out, tuple(terms))


def _space_to_depth(op: SpaceToDepth, shape: Shape, out: Shape) -> LinearMap:
    """A term for each pixel of a block."""
    n, channels, height, width = shape
    b = op.block
    terms = []
    for i, j in product(range(b), repeat=2):
        target = np.full(channels * b * b, -1)
        target[(i * b + j) * channels : (i * b + j + 1) * channels] = np.arange(channels)
        terms.append((identity(n), _picks(target, channels), _every(height // b, b, i), _every(width // b, b, j)))
    return LinearMap(shape, out, tuple(terms))


def _every(count: int, step: int, start: int) -> Matrix:
    """Row i has a one at column i step + start; (count, count step)."""
    return _picks(np.arange(count) * step + start, count * step)


def _reduction(op: ReduceSum | ReduceMean, shape: Shape, out: Shape) -> LinearMap:
    share = 1.0 / prod(shape[axis] for axis in op.axes) if isinstance(op, ReduceMean) else 1.0
    factors = [matrix(np.ones((1, n))) if axis in op.axes else identity(n) for axis, n in enumerate(shape)]
    return along_axes(shape, out, factors).times(share)


def _pool(op: SumPool | AveragePool, shape: Shape, out: Shape) -> LinearMap:
    """Windows are products of intervals, and so are the counts of what they hold."""
    factors = [identity(n) for n in shape[:2]]
    for axis, kernel in enumerate(op.kernel):
        taps = [
            _axis_tap(shape[2 + axis], out[2 + axis], op.strides[axis], 1, op.pads[axis], tap) for tap in range(kernel)
        ]
        window = matrix(sum(taps[1:], taps[0]))
        if isinstance(op, AveragePool):
            counts = np.full(out[2 + axis], float(kernel)) if op.count_include_pad else np.asarray(window.sum(axis=1))
            window = matrix(sp.diags_array(1.0 / counts) @ window)
        factors.append(window)
    return along_axes(shape, out, factors)


def _axis_tap(extent: int, out: int, stride: int, dilation: int, pad: int, tap: int) -> Matrix:
    """Which input each output of an axis reads at one kernel tap; padding is no input."""
    return _picks(np.arange(out) * stride + tap * dilation - pad, extent)


def _at_tap(weights: Array, tap: tuple[int, ...]) -> Array:
    """(outputs, inputs) of weights (outputs, inputs, *kernel)."""
    return np.asarray(np.moveaxis(weights, (0, 1), (-2, -1))[tap])


def _channel_factor(weights: Array, groups: int) -> Matrix:
    """(outputs, inputs) of one tap, from weights (outputs, inputs / groups)."""
    per_group = weights.reshape(groups, -1, weights.shape[1])
    return matrix(sp.block_diag(list(per_group), format="csr") if groups > 1 else per_group[0])


def _convolution(op: Conv, weights: Array, shape: Shape, out: Shape) -> LinearMap:
    """A term for each kernel tap that has weights."""
    axes = [
        [_axis_tap(n, m, op.strides[k], op.dilations[k], op.pads[k], tap) for tap in range(weights.shape[2 + k])]
        for k, (n, m) in enumerate(zip(shape[2:], out[2:], strict=True))
    ]
    batch, terms = identity(shape[0]), []
    for tap in product(*map(range, weights.shape[2:])):
        channels = _channel_factor(_at_tap(weights, tap), op.groups)
        terms.append((batch, channels, *(axis[at] for axis, at in zip(axes, tap, strict=True))))
    return LinearMap(shape, out, tuple(_nonzero(terms)))


def _transposed_convolution(op: ConvTranspose, weights: Array, shape: Shape, out: Shape) -> LinearMap:
    axes = [
        [
            matrix(_axis_tap(m, n, op.strides[k], op.dilations[k], op.pads[k], tap).T)
            for tap in range(weights.shape[2 + k])
        ]
        for k, (n, m) in enumerate(zip(shape[2:], out[2:], strict=True))
    ]
    batch, terms = identity(shape[0]), []
    for tap in product(*map(range, weights.shape[2:])):
        at_tap = _at_tap(weights, tap)
        by_group = at_tap.reshape(op.groups, -1, at_tap.shape[1]).swapaxes(1, 2).reshape(-1, shape[1] // op.groups)
        channels = _channel_factor(by_group, op.groups)
        terms.append((batch, channels, *(axis[at] for axis, at in zip(axes, tap, strict=True))))
    return LinearMap(shape, out, tuple(_nonzero(terms)))


def _nonzero(terms: list[tuple[Matrix, ...]]) -> list[tuple[Matrix, ...]]:
    return [term for term in terms if all(factor.nnz for factor in term)] or terms[:1]


def _batch_norm(op: BatchNorm, parameters: list[Array], shape: Shape) -> tuple[LinearMap, Array]:
    scale, bias, mean, variance = parameters
    per_channel = (-1, *(1,) * (len(shape) - 2))
    factor = scale / np.sqrt(variance + op.epsilon)
    offset = (bias - mean * factor).reshape(per_channel)
    return scaling(factor.reshape(per_channel), shape), np.broadcast_to(offset, shape)


def _product(number: int, weights: Array, shape: Shape, out: Shape) -> LinearMap:
    """x @ weights (number 0) or weights @ x (number 1); a term for each matrix of a stack."""
    x = shape if len(shape) > 1 else ((1, *shape) if number == 0 else (*shape, 1))
    w = weights if weights.ndim > 1 else (weights[:, None] if number == 0 else weights[None])
    leading = np.broadcast_shapes(x[:-2], w.shape[:-2])
    spread = expansion(x[:-2], leading).terms[0] if leading else ()
    stack = np.broadcast_to(w, (*leading, *w.shape[-2:])) if w.size != prod(w.shape[-2:]) else None
    if stack is None:
        inner = _inner(number, w.reshape(w.shape[-2:]), x)
        return LinearMap(shape, out, ((*spread, *inner),))
    terms = []
    for at in product(*map(range, leading)):
        chosen = [_picks(np.where(np.arange(n) == i, i, -1), n) for i, n in zip(at, leading, strict=True)]
        lead = [matrix(c @ s) for c, s in zip(chosen, spread, strict=True)]
        terms.append((*lead, *_inner(number, stack[at], x)))
    return LinearMap(shape, out, tuple(_nonzero(terms)))


def _inner(number: int, weights: Array, x: Shape) -> Factors:
    """Factors of the last two axes."""
    return [identity(x[-2]), matrix(weights.T)] if number == 0 else [matrix(weights), identity(x[-1])]
