"""Choose ring, scale and digits for a packed graph: the cheapest that are secure and quiet enough.

Noise is predicted once, at the largest scale that fits the ring, and halves with every bit of the scale. Of the scales
that are quiet enough the one with the fewest digits of key switching is taken, then the largest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log2

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ckks_parameters import MAX_PRIME_BITS, MIN_SCALE_BITS, CkksParameters, is_even_cut
from enclair.compiler.ir.graph import Graph
from enclair.compiler.parameters import ParameterError
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.passes.sink_rescales import SinkRescales
from enclair.compiler.planner.ckks_noise import Prediction, noise_model, predict
from enclair.compiler.planner.levels import LevelPlan

Inputs = Mapping[str, NDArray[np.float64]]

HEADROOM_BITS = 1
"""Values may be twice as large as those seen before they wrap around the modulus."""
LEAST_SCALE_BITS = max(MIN_SCALE_BITS, 24)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Parameters, the LEVELED graph, and the noise that is predicted on the calibration data."""

    parameters: CkksParameters
    graph: Graph
    prediction: Prediction


def largest_scale(ring_dim: int, levels: int, headroom_bits: int) -> CkksParameters | None:
    """The parameters of a ring with the largest scale for so many levels; None where none is secure."""
    for bits in range(MAX_PRIME_BITS - 1, LEAST_SCALE_BITS - 1, -1):
        if (found := _fewest_digits(ring_dim, levels, bits, headroom_bits)) is not None:
            return found
    return None


def choose(
    packed: Graph, ring_dim: int, inputs: Sequence[Inputs], magnitude: float, room: float
) -> Chosen | None:
    """The cheapest parameters of a ring whose predicted noise is within ``room``; None where there are none.

    Args:
        packed: PACKED, without polynomials.
        ring_dim: N, twice the slots of the graph.
        inputs: what the client encrypts for calibration samples.
        magnitude: the largest value in the graph.
        room: largest error of an answer.
    """
    levels = max(LevelPlan(packed).depth, 1)
    headroom = HEADROOM_BITS + 1 + max(0, ceil(log2(max(magnitude, 1e-9))))
    loudest = largest_scale(ring_dim, levels, headroom)
    if loudest is None:
        return None
    found = _placed(packed, loudest, inputs)
    if not found.prediction.bound <= room:
        return None
    spare = floor(log2(room / max(found.prediction.bound, 1e-300)))
    least = max(LEAST_SCALE_BITS, loudest.scale_bits - max(spare, 0))
    for parameters in _by_digits(ring_dim, levels, least, loudest.scale_bits, headroom):
        if parameters == loudest:
            return found
        quieter = _placed(packed, parameters, inputs)
        if quieter.prediction.bound <= room:
            return quieter
    return found


def _by_digits(ring_dim: int, levels: int, least: int, most: int, headroom_bits: int) -> list[CkksParameters]:
    """The largest scale for each number of digits, fewest digits first."""
    fits = [_fewest_digits(ring_dim, levels, bits, headroom_bits) for bits in range(most, least - 1, -1)]
    first: dict[int, CkksParameters] = {}
    for parameters in fits:
        if parameters is not None:
            first.setdefault(parameters.digits, parameters)
    return [first[digits] for digits in sorted(first)]


def _fewest_digits(ring_dim: int, levels: int, scale_bits: int, headroom_bits: int) -> CkksParameters | None:
    first_bits = scale_bits + headroom_bits
    if first_bits > MAX_PRIME_BITS:
        return None
    for digits in range(1, levels + 2):
        if is_even_cut(levels + 1, digits):
            try:
                return CkksParameters(ring_dim, levels, scale_bits, first_bits, digits)
            except ParameterError:
                continue
    return None


def _placed(packed: Graph, parameters: CkksParameters, inputs: Sequence[Inputs]) -> Chosen:
    graph = run_passes(packed, (PlaceLevels(parameters), SinkRescales()), dumped=False)
    predictions = [predict(graph, given, noise_model(parameters)) for given in inputs]
    return Chosen(parameters, graph, max(predictions, key=lambda prediction: prediction.bound))


