"""How far encrypted answers are from the float model, in bits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT_BITS = 53.0
"""What answers that are equal in every element are said to have: that of float64."""


@dataclass(frozen=True)
class Precision:
    """-log2 of errors, in the outputs' units.

    Args:
        inputs: how many were run.
        largest_error: of any output of any input.
        worst_bits: of the largest error of all.
        median_bits: of the largest error of one input, the median over inputs.
        mean_bits: of the mean error of one input, the median over inputs: what Orion states.
        output_range: largest less smallest output of the float model.
    """

    inputs: int
    largest_error: float
    worst_bits: float
    median_bits: float
    mean_bits: float
    output_range: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def precision(outputs: NDArray[np.floating], expected: NDArray[np.floating]) -> Precision:
    """Of outputs (inputs, ...) beside those of the float model."""
    errors = np.abs(outputs.astype(np.float64) - expected).reshape(len(expected), -1)
    return Precision(
        len(expected),
        float(errors.max()),
        bits(float(errors.max())),
        float(np.median([bits(float(each)) for each in errors.max(axis=1)])),
        float(np.median([bits(float(each)) for each in errors.mean(axis=1)])),
        float(expected.max() - expected.min()),
    )


def bits(error: float) -> float:
    """-log2, of an error that may be zero."""
    return EXACT_BITS if error == 0 else float(min(-np.log2(error), EXACT_BITS))
