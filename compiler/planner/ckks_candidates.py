"""A packed graph for which parameters are chosen: its values, the noise on them, and the room that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, log2

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.passes.divide_scales import DivideScales
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.fold_polynomial_ranges import FoldPolynomialRanges
from enclair.compiler.passes.pipeline import Pass, run_passes
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.passes.sink_rescales import SinkRescales
from enclair.compiler.planner.ckks_noise import Prediction, Reals, noise_model, predict
from enclair.compiler.planner.levels import LevelPlan

TO_PRODUCTS = (FoldPolynomialRanges(), ExpandPolynomials())
SAMPLES = 4
PREDICTED_INPUTS = 2
"""Errors depend on the values: so many calibration samples are looked at."""


def leveling(parameters: CkksParameters, *, divide: bool = False) -> tuple[Pass, ...]:
    """The passes from PACKED to LEVELED; with weights apart from vectors where that pays. Only the primes count."""
    passes = (PlaceLevels(parameters), SinkRescales())
    return (*passes, DivideScales()) if divide else passes


@dataclass(frozen=True)
class Candidate:
    """A graph packed for one number of slots.

    Args:
        graph: at stage PACKED; its ciphertexts have N / 2 slots.
        inputs: (count, slots) for every input of it, from each calibration sample.
        client: what the client does with the answers; None looks at every slot of them.
    """

    graph: Graph
    inputs: Sequence[Mapping[str, Reals]]
    client: Graph | None = None

    @property
    def ring_dim(self) -> int:
        """N."""
        (slots,) = {value.type.slots for value in self.graph.inputs if isinstance(value.type, CkksType)}
        return 2 * slots

    @cached_property
    def products(self) -> Graph:
        """The graph with its polynomials as products and sums."""
        return run_passes(self.graph, TO_PRODUCTS)

    @cached_property
    def levels(self) -> int:
        """That it takes, one at least: parameters have no fewer."""
        return max(LevelPlan(self.products).depth, 1)

    def leveled(self, parameters: CkksParameters, *, divide: bool = False, dumped: bool = False) -> Graph:
        """The graph with the levels and scales of parameters, whatever their digits."""
        return run_passes(self.products, leveling(parameters, divide=divide), dumped=dumped)

    def predicted(
        self, leveled: Graph, parameters: CkksParameters, inputs: int = PREDICTED_INPUTS, limit: float = inf
    ) -> tuple[Prediction, float]:
        """On the first sample, and the largest bound of the error on the client's outputs for the first few; those
        after one with a bound above the limit are left out.
        """
        model, client = noise_model(parameters), self.client
        predictions, worst = [], 0.0
        for sample in self.inputs[:inputs]:
            predictions.append(predict(leveled, sample, model, SAMPLES))
            found = predictions[-1]
            worst = max(worst, found.bound if client is None else found.bound_after(client))
            if worst > limit:
                break
        return predictions[0], worst

    def room_bits(self, leveled: Graph, reference: CkksParameters) -> float:
        """log2 of twice the largest value at level 0; values of higher levels count as so much less as they have room.

        The graph is leveled for the reference.
        """
        largest: dict[str, float] = {}
        for inputs in self.inputs:
            run(leveled, inputs, lambda node, _, result: _note(largest, node.out.name, result))
            for value in leveled.inputs:
                _note(largest, value.name, inputs[value.name])
        types = {value.name: value.type for value in leveled.values()}
        return max((_needed_bits(types[name], size, reference) for name, size in largest.items()), default=-inf)


def _note(largest: dict[str, float], name: str, result: Reals) -> None:
    largest[name] = max(largest.get(name, 0.0), float(np.abs(result).max(initial=0.0)))


def _needed_bits(type_: object, size: float, reference: CkksParameters) -> float:
    """By how many bits the first prime must exceed a scale so that a value fits."""
    if not isinstance(type_, CkksType) or type_.scale is None or type_.level is None or size == 0:
        return -inf
    return log2(2 * size * type_.scale) - (type_.level + 1) * reference.scale_bits
