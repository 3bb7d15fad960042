"""Choose how many bits weights and activations get, by the error that is allowed on the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, log2

import numpy as np

from enclair.compiler.approx.error_bounds import error_bound, is_linear
from enclair.compiler.approx.intervals import largest_sum
from enclair.compiler.approx.ranges import Range, Samples
from enclair.compiler.errors import CompileError, DoesNotFit
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.passes.to_fixed_point import ToFixedPoint

FEWEST_BITS, MOST_BITS = 6, 30
MOST_SUM_BITS = 62
"""Magnitudes below 2^62 are exact in int64, and no plaintext modulus holds larger ones."""
SAFETY = 2.0
"""A calibrated bound is the largest gap on held-back samples times this."""
FLOAT32_NOISE = 1e-6
"""Relative to the output's range: the float32 model itself is not reproducible below, so no calibrated bound is."""


@dataclass(frozen=True, slots=True)
class GapBound:
    """A bound on |fixed point - float32| at the outputs: ``proven``, or ``calibrated`` (held-back samples, doubled)."""

    value: float
    kind: str


@dataclass(frozen=True, slots=True)
class Precision:
    """The chosen bits, the fixed-point graph, and the bound on its gap to the float model."""

    activation_bits: int
    weight_bits: int
    fixed: Graph
    tolerance: float
    bound: GapBound


@dataclass(frozen=True, slots=True)
class PrecisionSearch:
    """Finds the fewest bits that keep the outputs within a tolerance.

    Args:
        placed: the graph, with places.
        ranges: of all its values.
        samples: calibration inputs; those at odd positions are held back from the search and decide the bound.
        references: the float model's outputs for each sample.
        margin: by how much ranges are widened.
    """

    placed: Graph
    ranges: Mapping[str, Range]
    samples: Samples
    references: Sequence[Mapping[str, Array]]
    margin: float

    def by_tolerance(self, tolerance: float) -> Precision:
        """The fewest bits, first equal for both kinds, then each alone.

        Raises:
            CompileError: even the most bits leave a larger error.
        """
        bits = self._equal_bits(tolerance)
        weight_bits = self._lowered(bits, lambda w: (bits, w), tolerance)
        activation_bits = self._lowered(bits, lambda a: (a, weight_bits), tolerance)
        chosen = self.given(activation_bits, weight_bits, tolerance)
        while chosen.bound.value > tolerance and max(activation_bits, weight_bits) < MOST_BITS:
            activation_bits, weight_bits = activation_bits + 1, weight_bits + 1
            chosen = self.given(activation_bits, weight_bits, tolerance)
        return chosen

    def given(self, activation_bits: int, weight_bits: int, tolerance: float) -> Precision:
        """The graph with these bits, whatever its error."""
        fixed = self.fixed_graph(activation_bits, weight_bits)
        return Precision(activation_bits, weight_bits, fixed, tolerance, self._bound(fixed))

    def fixed_graph(self, activation_bits: int, weight_bits: int) -> Graph:
        """The fixed-point graph with these bits.

        Raises:
            DoesNotFit: int64 arithmetic cannot hold the sums of a layer.
        """
        fixed = run_passes(self.placed, [ToFixedPoint(self.ranges, activation_bits, weight_bits, self.margin)])
        name, largest = largest_sum(fixed)
        if largest.bit_length() > MOST_SUM_BITS:
            raise DoesNotFit(name, f"its sums need {largest.bit_length() + 1} bits")
        return fixed

    def _equal_bits(self, tolerance: float) -> int:
        bits = FEWEST_BITS
        while (error := SAFETY * self._error(bits, bits)) > tolerance:
            if bits >= MOST_BITS:
                raise CompileError(
                    f"a tolerance of {tolerance:.3g} cannot be met: with {bits} bits for weights and activations the "
                    f"outputs are off by {error / SAFETY:.3g} on the calibration data; ask for a larger tolerance"
                )
            missing = log2(error / tolerance) if error < inf else MOST_BITS
            bits = min(MOST_BITS, bits + max(1, ceil(missing) - 1))
        return bits

    def _lowered(self, bits: int, pair: Callable[[int], tuple[int, int]], tolerance: float) -> int:
        while bits > FEWEST_BITS and SAFETY * self._error(*pair(bits - 1)) <= tolerance:
            bits -= 1
        return bits

    def _error(self, activation_bits: int, weight_bits: int) -> float:
        return self._gap(self.fixed_graph(activation_bits, weight_bits), range(0, len(self.samples), 2))

    def _gap(self, fixed: Graph, numbers: Sequence[int]) -> float:
        gaps = [
            float(np.abs(result - self.references[number][name]).max(initial=0.0))
            for number in numbers
            for name, result in run(fixed, self.samples[number]).items()
        ]
        return max(gaps)

    def _bound(self, fixed: Graph) -> GapBound:
        """The proven bound where the graph is linear or the bound no larger than the calibrated one; else that one."""
        proven = error_bound(fixed)
        held_back = range(1, len(self.samples), 2) if len(self.samples) > 1 else range(1)
        calibrated = SAFETY * self._gap(fixed, held_back) + FLOAT32_NOISE * self.output_range()
        if proven < inf and (is_linear(fixed) or proven <= calibrated):
            return GapBound(proven, "proven")
        return GapBound(calibrated, "calibrated")

    def output_range(self) -> float:
        """The widest range of an output over the samples."""
        names = self.references[0].keys()
        return max(
            float(max(np.max(r[name]) for r in self.references) - min(np.min(r[name]) for r in self.references))
            for name in names
        )
