"""Random programs, encrypted: errors within the predicted bounds, and the bounds tight."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from tests.ckks_graphs import ckks, convolution, inputs_of, packed_graphs

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.ops.ckks import MultiplyCiphers
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.passes.divide_scales import DivideScales
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.fold_polynomial_ranges import FoldPolynomialRanges
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.planner.ckks_noise import noise_model, predict
from enclair.compiler.planner.levels import LevelPlan
from enclair.runtime.backends.ckks.answers import AnsweringEvaluator
from enclair.runtime.backends.ckks.secret import make_keys
from enclair.runtime.dataflow import run_dataflow

SLOTS, SCALE_BITS, MOST_LEVELS = 512, 35, 5
PROGRAMS = 200
TIGHT_BITS = 3.0


def test_errors_stay_within_their_bounds_and_bounds_are_tight() -> None:
    ratios: list[float] = []

    @settings(
        max_examples=PROGRAMS, phases=[Phase.generate], derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(packed_graphs(most=6, slots=SLOTS))
    def collect(graph: Graph) -> None:
        expanded = ExpandPolynomials()(FoldPolynomialRanges()(graph))
        levels = max(LevelPlan(expanded).depth, 1)
        assume(levels <= MOST_LEVELS)
        parameters = CkksParameters(2 * SLOTS, levels, SCALE_BITS, 50, levels + 1, INSECURE)
        ratios.extend(ratios_of(graph, PlaceLevels(parameters)(expanded), parameters))

    collect()
    assert len(ratios) >= PROGRAMS
    assert sum(ratio < 0 for ratio in ratios) <= 0.01 * len(ratios)
    assert min(ratios) >= -1.0
    assert max(ratios) <= TIGHT_BITS


@pytest.mark.parametrize("baby_steps", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_weights_apart_from_vectors_stay_within_their_bound(baby_steps: int, seed: int) -> None:
    """A convolution of 4 to 8 channels, and a square of it: its noise is mostly that of the rounded weights."""
    b, rng = Builder("convolution"), np.random.default_rng(seed)
    h = convolution(b, b.input("x", CkksType(4, SLOTS)), 8, 5, rng, baby_steps=baby_steps)
    graph = b.build([h, b.add(MultiplyCiphers(), h, h)])
    parameters = CkksParameters(2 * SLOTS, 2, 40, 50, 3, INSECURE)
    together = PlaceLevels(parameters)(graph)
    divided = DivideScales()(together)
    assert divided != together
    inputs, model = inputs_of(together), noise_model(parameters)
    assert predict(divided, inputs, model).bound > 16 * predict(together, inputs, model).bound
    ratios = ratios_of(graph, divided, parameters)
    assert min(ratios) >= 0
    assert max(ratios) <= TIGHT_BITS


def ratios_of(graph: Graph, leveled: Graph, parameters: CkksParameters) -> list[float]:
    """log2 of bound over largest error, for each output."""
    needs, inputs = key_needs([leveled]), inputs_of(leveled)
    keys = make_keys(parameters, needs)
    evaluator = AnsweringEvaluator(parameters, needs, keys.public_key())
    uploads = {
        v.name: evaluator.load(keys.encrypt(inputs[v.name], ckks(v)), ckks(v))
        for v in leveled.inputs
    }  # fmt: skip
    got, want = run_dataflow(leveled, uploads, evaluator), run(graph, inputs)
    answers = predict(leveled, inputs, noise_model(parameters)).answers
    errors = {
        v.name: np.abs(keys.decrypt(evaluator.answer(got[v.name]), ckks(v)) - want[v.name]).max()
        for v in leveled.outputs
    }
    return [log2(answers[name].bound / error) for name, error in errors.items()]
