"""Sliding windows over [N, C, *spatial] arrays: padding, and the strided view that one kernel tap reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray


def padded(x: NDArray[Any], pads: Sequence[int], fill: float) -> NDArray[Any]:
    """Pad the spatial axes of x [N, C, *spatial]; ``pads`` are the begins, then the ends."""
    if not any(pads):
        return x
    rank = len(pads) // 2
    widths = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    return np.pad(x, widths, constant_values=fill)


def counts(
    extents: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """How many windows fit along each (already padded) axis."""
    return [
        (extent - dilation * (size - 1) - 1) // stride + 1
        for extent, size, stride, dilation in zip(extents, kernel, strides, dilations, strict=True)
    ]


def taps(
    kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], outs: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each kernel position, row-major, with the part of [N, C, *spatial] it reads for ``outs`` windows per axis."""
    whole = (slice(None), slice(None))
    for tap in product(*map(range, kernel)):
        yield (
            tap,
            whole
            + tuple(
                slice(at * dilation, at * dilation + (out - 1) * stride + 1, stride)
                for at, stride, dilation, out in zip(tap, strides, dilations, outs, strict=True)
            ),
        )


def view(x: NDArray[Any], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> NDArray[Any]:
    """A view [N, C, *windows, *kernel] of the (already padded) x [N, C, *spatial]."""
    spans = [dilation * (size - 1) + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, (1, 1, *spans))
    every = (slice(None, None, stride) for stride in strides)
    inside = (slice(None, None, dilation) for dilation in dilations)
    at: tuple[Any, ...] = (slice(None), slice(None), *every, 0, 0, *inside)
    return np.asarray(windows[at])
