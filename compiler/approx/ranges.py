"""Ranges of values, measured on calibration data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from enclair.compiler.errors import CalibrationError
from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.reference import run


@dataclass(frozen=True, slots=True)
class Range:
    """A closed interval of reals."""

    low: float
    high: float

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    def union(self, other: Range) -> Range:
        """The smallest interval with both in it."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def widened(self, margin: float) -> Range:
        """Each end moved away from zero by a share of itself; an end at zero stays."""
        low = self.low * (1 + margin) if self.low < 0 else self.low
        high = self.high * (1 + margin) if self.high > 0 else self.high
        return Range(min(low, 0.0), max(high, 0.0))


Samples = Sequence[Mapping[str, Array]]


def calibrate(graph: Graph, samples: Samples) -> dict[str, Range]:
    """The range of every value over the samples, by name.

    Args:
        graph: on real tensors.
        samples: inputs by name, each of the shapes compiled for.

    Raises:
        CalibrationError: there are no samples, one lacks an input, or a value is not finite on one of them.
        InputError: a sample has another shape.
    """
    if not samples:
        raise CalibrationError("calibration needs at least one sample input, got none")
    ranges: dict[str, Range] = {}

    def widen(name: str, array: Array, where: str) -> None:
        if not np.isfinite(array).all():
            raise CalibrationError(
                f"%{name} is not finite on the calibration data{where}: check the samples and the weights"
            )
        if array.size:
            seen = Range(float(array.min()), float(array.max()))
            ranges[name] = ranges[name].union(seen) if name in ranges else seen

    def observe(node: Node, _: tuple[Array, ...], result: Array) -> None:
        widen(node.out.name, result, f", at {node.origin}" if node.origin else "")

    for number, sample in enumerate(samples):
        if missing := [value.name for value in graph.inputs if value.name not in sample]:
            raise CalibrationError(
                f"calibration sample {number} lacks the inputs {', '.join(missing)}; "
                f"it has {', '.join(sample) or 'none'}"
            )
        for value in graph.inputs:
            widen(value.name, np.asarray(sample[value.name], dtype=np.float64), "")
        run(graph, sample, observe)
    return ranges
