"""Ops that only move elements, on tiles: every ciphertext of the result is a ciphertext of the argument."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from enclair.compiler.ir.layouts import Axes
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.shape import DepthToSpace, Expand, Gather, Pad, Resize, Slice, SpaceToDepth


@dataclass(frozen=True, slots=True)
class Move:
    """Where the element at (channel, row, column) of the result comes from.

    Along rows and columns: source = (position * step + start) // repeat. With ``block`` b > 1 channels and positions
    trade places: ``deepen`` says in which direction, ``depth_first`` is ONNX's DCR order.
    """

    channels: tuple[int, ...] | None = None
    starts: tuple[int, int] = (0, 0)
    steps: tuple[int, int] = (1, 1)
    repeats: tuple[int, int] = (1, 1)
    block: int = 1
    deepen: bool = False
    depth_first: bool = False
    out_channels: int = 0
    reads_outside: bool = False
    keeps_zeros: bool = True

    @property
    def densities(self) -> tuple[Fraction, Fraction]:
        """Output positions per input position, along rows and columns."""
        factor = Fraction(1, self.block) if self.deepen else Fraction(self.block)
        rows, columns = (Fraction(repeat, step) * factor for repeat, step in zip(self.repeats, self.steps, strict=True))
        return rows, columns

    def window(self, axis: int, low: int, high: int) -> tuple[int, int]:
        """The half-open interval of inputs that the outputs [low, high) read along an axis."""
        if self.block > 1:
            return (
                (low * self.block, high * self.block)
                if self.deepen
                else (low // self.block, (high - 1) // self.block + 1)
            )
        first, last = (self._along(axis, position) for position in (low, high - 1))
        return int(first), int(last) + 1

    def source(self, c: Any, i: Any, j: Any) -> tuple[Any, Any, Any]:
        """Channel and position of the argument that (c, i, j) of the result shows; broadcasts."""
        if self.block == 1:
            channel = c if self.channels is None else np.array(self.channels)[c]
            return channel, self._along(0, i), self._along(1, j)
        b, outs = self.block, self.out_channels
        if self.deepen:
            phase, channel = np.divmod(c, outs // (b * b))
            return channel, i * b + phase // b, j * b + phase % b
        phase = (i % b) * b + j % b
        return (phase * outs + c if self.depth_first else c * b * b + phase), i // b, j // b

    def _along(self, axis: int, position: Any) -> Any:
        return (position * self.steps[axis] + self.starts[axis]) // self.repeats[axis]


def move(op: Op, shape: tuple[int, ...], axes: Axes, out_shape: tuple[int, ...]) -> Move | None:
    """The move that an op makes on a tensor with the given axes; None if it is none, or moves along the batch."""
    spatial = (axes.row, axes.column)
    match op:
        case Slice() if _whole(op, shape, axes.batch):
            c = (
                range(op.starts[axes.channel], op.stops[axes.channel], op.steps[axes.channel])
                if axes.channel >= 0
                else None
            )
            starts = tuple(0 if axis < 0 else op.starts[axis] for axis in spatial)
            steps = tuple(1 if axis < 0 else op.steps[axis] for axis in spatial)
            whole = all(_whole(op, shape, axis) for axis in spatial)
            return Move(
                None if c is None else tuple(c), (starts[0], starts[1]), (steps[0], steps[1]), keeps_zeros=whole
            )
        case Gather() if op.axis == axes.channel:
            return Move(tuple(op.indices))
        case Pad():
            rank = len(shape)
            if any(op.pads[axis] or op.pads[axis + rank] for axis in (axes.batch, axes.channel) if axis >= 0):
                return None
            begins = tuple(0 if axis < 0 else -op.pads[axis] for axis in spatial)
            return Move(starts=(begins[0], begins[1]), reads_outside=True)
        case Resize() if all(op.factors[axis] == 1 for axis in (axes.batch, axes.channel) if axis >= 0):
            repeats = tuple(1 if axis < 0 else op.factors[axis] for axis in spatial)
            return Move(repeats=(repeats[0], repeats[1]))
        case DepthToSpace() if axes == Axes(0, 1, 2, 3):
            return Move(block=op.block, depth_first=op.mode == "DCR", out_channels=out_shape[1])
        case SpaceToDepth() if axes == Axes(0, 1, 2, 3):
            return Move(block=op.block, deepen=True, out_channels=out_shape[1])
        case Expand() if _repeats_channels(shape, out_shape, axes.channel):
            return Move((0,) * out_shape[axes.channel])
        case _:
            return None


def _repeats_channels(shape: tuple[int, ...], out_shape: tuple[int, ...], channel: int) -> bool:
    """Whether the shapes differ in the channels alone."""
    changed = [axis for axis, (n, m) in enumerate(zip(shape, out_shape, strict=False)) if n != m]
    return len(shape) == len(out_shape) and changed == [channel]


def _whole(op: Slice, shape: tuple[int, ...], axis: int) -> bool:
    return axis < 0 or (op.starts[axis], op.stops[axis], op.steps[axis]) == (0, shape[axis], 1)
