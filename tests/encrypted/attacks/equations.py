"""The client's equations for a convolution: one for each output pixel, in the filter's weights and its bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Array

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Solution:
    """What least squares gives.

    Args:
        weights: (filters, channels, kernel, kernel), rounded to integers.
        biases: (filters,), rounded to integers.
        unique: whether the equations have one solution only.
    """

    weights: NDArray[np.int64]
    biases: NDArray[np.int64]
    unique: bool


def solve_convolution(sent: Sequence[Array], received: Sequence[Array], kernel: int, pad: int) -> Solution:
    """Weights and biases from what went in, (1, channels, height, width), and what came out, query by query."""
    design = np.vstack([_windows(image, kernel, pad) for image in sent])
    seen = np.vstack([image[0].reshape(image.shape[1], -1).T for image in received]).astype(np.float64)
    solution, _, rank, _ = np.linalg.lstsq(design, seen, rcond=None)
    rounded = np.rint(solution).astype(np.int64).T
    weights = rounded[:, :-1].reshape(-1, sent[0].shape[1], kernel, kernel)
    return Solution(weights, rounded[:, -1], bool(rank == design.shape[1]))


def _windows(image: Array, kernel: int, pad: int) -> Matrix:
    """The pixels that each output pixel sees, and a one for the bias: (pixels, unknowns)."""
    padded = np.pad(image[0], ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    flat = windows.transpose(1, 2, 0, 3, 4).reshape(windows.shape[1] * windows.shape[2], -1)
    return np.hstack([flat, np.ones((len(flat), 1))]).astype(np.float64)
