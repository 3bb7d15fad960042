"""Choose how many bits weights and activations get, by the error that is allowed on the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
STRIDE = 3
"""So many more bits must at least halve an error that comes from rounding."""
MOST_SUM_BITS = 60
"""Magnitudes below 2^60 are exact in int64, and two plaintext moduli hold them."""
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
        """The fewest bits, first equal for both kinds, then each alone; more until the bound holds too.

        Raises:
            CompileError: even the most bits leave a larger error.
            DoesNotFit: there is no room for the bits that it takes.
        """
        if tolerance <= (noise := FLOAT32_NOISE * self.output_range()):
            raise CompileError(
                f"a tolerance of {tolerance:.3g} cannot be met: the float32 model itself may be off by {noise:.3g}; "
                f"ask for a larger tolerance"
            )
        bits = self._equal_bits(tolerance)
        weight_bits = self._lowered(bits, lambda w: (bits, w), tolerance)
        activation_bits = self._lowered(bits, lambda a: (a, weight_bits), tolerance)
        return _at_tolerance(self._within(self.given(activation_bits, weight_bits, tolerance)))

    def _within(self, fewest: Precision) -> Precision:
        """The first with these bits or more whose bound holds; else the first whose calibrated bound does.

        Raises:
            CompileError: more bits do not help.
            DoesNotFit: they would, but the sums of a layer leave no room for them.
        """
        seen: list[Precision] = []
        try:
            for chosen in self._with_more_bits(fewest):
                if chosen.bound.value <= fewest.tolerance:
                    return chosen
                if not seen or seen[-1].bound.value > fewest.tolerance:
                    seen.append(replace(chosen, bound=self._calibrated(chosen.fixed)))
        except DoesNotFit:
            if seen[-1].bound.value > fewest.tolerance and (
                len(seen) == 1 or seen[-1].bound.value < seen[0].bound.value
            ):
                raise
        if seen[-1].bound.value <= fewest.tolerance:
            return seen[-1]
        raise CompileError(
            f"a tolerance of {fewest.tolerance:.3g} cannot be met: the outputs may be off by"
            f" {seen[0].bound.value:.3g}, judging by held-back calibration data; ask for a larger tolerance"
        )

    def _with_more_bits(self, fewest: Precision) -> Iterator[Precision]:
        """These bits, then more for both kinds, one by one."""
        yield fewest
        for extra in range(1, MOST_BITS + 1 - max(fewest.activation_bits, fewest.weight_bits)):
            yield self.given(fewest.activation_bits + extra, fewest.weight_bits + extra, fewest.tolerance)

    def given(self, activation_bits: int, weight_bits: int, tolerance: float) -> Precision:
        """The graph with these bits, whatever its error."""
        fixed = self.fixed_graph(activation_bits, weight_bits)
        return Precision(activation_bits, weight_bits, fixed, tolerance, self._bound(fixed))

    def fixed_graph(self, activation_bits: int, weight_bits: int) -> Graph:
        """The fixed-point graph with these bits.

        Raises:
            DoesNotFit: int64 arithmetic cannot hold the sums of a layer.
        """
        to_fixed = ToFixedPoint(self.ranges, activation_bits, weight_bits, self.margin)
        fixed = run_passes(self.placed, [to_fixed], dumped=False)
        name, largest = largest_sum(fixed)
        if largest.bit_length() > MOST_SUM_BITS:
            raise DoesNotFit(name, f"its sums need {largest.bit_length() + 1} bits")
        return fixed

    def _equal_bits(self, tolerance: float) -> int:
        """The fewest bits for both kinds. Errors halve with each bit; where they do not, no bits will do."""
        bits, last, error = FEWEST_BITS, 0, inf
        while (found := SAFETY * self._error(bits, bits)) > tolerance:
            stuck = bits - last >= STRIDE and found > error / 2
            if bits >= MOST_BITS or stuck:
                raise CompileError(
                    f"a tolerance of {tolerance:.3g} cannot be met: with {bits} bits for weights and activations the "
                    f"outputs are off by {found / SAFETY:.3g} on the calibration data; ask for a larger tolerance"
                )
            missing = log2(found / tolerance) if found < inf else STRIDE
            last, error = bits, found
            bits = min(MOST_BITS, bits + max(1, ceil(missing) - 1))
        return bits

    def _lowered(self, bits: int, pair: Callable[[int], tuple[int, int]], tolerance: float) -> int:
        while bits > FEWEST_BITS and self._meets(tolerance / SAFETY, *pair(bits - 1)):
            bits -= 1
        return bits

    def _meets(self, error: float, activation_bits: int, weight_bits: int) -> bool:
        """Whether the error stays below a limit: the first sample on which it does not decides."""
        fixed = self.fixed_graph(activation_bits, weight_bits)
        return all(self._gap(fixed, [number]) <= error for number in self._searched())

    def _error(self, activation_bits: int, weight_bits: int) -> float:
        return self._gap(self.fixed_graph(activation_bits, weight_bits), self._searched())

    def _searched(self) -> range:
        """Numbers of the samples that the search looks at."""
        return range(0, len(self.samples), 2)

    def _gap(self, fixed: Graph, numbers: Sequence[int]) -> float:
        """The largest difference to the float model on some samples; infinite where fixed point gives no number."""
        gaps = [
            np.abs(result - self.references[number][name]).max(initial=0.0)
            for number in numbers
            for name, result in run(fixed, self.samples[number]).items()
        ]
        return float(np.nan_to_num(gaps, nan=inf, posinf=inf).max())

    def _bound(self, fixed: Graph) -> GapBound:
        """The proven bound where the graph is linear or the bound no larger than the calibrated one; else that one."""
        proven, calibrated = error_bound(fixed), self._calibrated(fixed)
        if proven < inf and (is_linear(fixed) or proven <= calibrated.value):
            return GapBound(proven, "proven")
        return calibrated

    def _calibrated(self, fixed: Graph) -> GapBound:
        held_back = range(1, len(self.samples), 2) if len(self.samples) > 1 else range(1)
        value = SAFETY * self._gap(fixed, held_back) + FLOAT32_NOISE * self.output_range()
        return GapBound(value, "calibrated")

    def output_range(self) -> float:
        """The widest range of an output over the samples; of constant outputs the magnitude, or 1 if they are 0."""
        outputs = [np.stack([reference[name] for reference in self.references]) for name in self.references[0]]
        widest = max(float(np.max(output) - np.min(output)) for output in outputs)
        return widest or max(float(np.abs(output).max()) for output in outputs) or 1.0


def _at_tolerance(chosen: Precision) -> Precision:
    """A calibrated bound below the tolerance says little more than it: a few samples may come close by luck."""
    if chosen.bound.kind == "proven":
        return chosen
    return replace(chosen, bound=replace(chosen.bound, value=max(chosen.bound.value, chosen.tolerance)))
