"""Parameters by tolerance: large enough for values and noise, no larger; errors say what is missing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import inf, prod
from typing import Any

import numpy as np
import pytest
from tests.ckks_graphs import ckks, convolution, linear_layer

from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.ops.ckks import EvaluatePolynomial, LinearTransform, MultiplyCiphers
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.verify import verify
from enclair.compiler.parameters import ParameterError
from enclair.compiler.planner.ckks_candidates import Candidate
from enclair.compiler.planner.ckks_choice import (
    FREE,
    NEARLY,
    ROOMY,
    WIDE_SCALE,
    CkksChoice,
    Demands,
    _quieter,
    choose_for,
    cost_at,
)
from enclair.compiler.planner.ckks_costs import UnitCosts, graph_cost
from enclair.compiler.planner.ckks_prime_bits import LEAST_REACH, PrimeBits

SQUARE = EvaluatePolynomial((0.5, 0.0, 0.5), -1.0, 1.0)


def network(ring_dim: int, layers: int = 2, size: float = 1.0) -> Candidate:
    slots, rng = ring_dim // 2, np.random.default_rng(0)
    b = Builder("network")
    x = b.input("x", CkksType(1, slots))
    h = linear_layer(b, x, 8, rng)
    for _ in range(layers - 1):
        h = linear_layer(b, b.add(SQUARE, h), 8, rng)
    return Candidate(b.build([h]), [{"x": size * rng.uniform(-1, 1, size=(1, slots))} for _ in range(2)])


def choose(candidate: Candidate, tolerance: float) -> CkksChoice:
    return choose_for(candidate, Demands(tolerance, 0.25), UnitCosts())


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_the_bound_keeps_the_tolerance_without_waste(tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclair.compiler.planner.ckks_choice.FREE", 0.0)
    choice = choose(network(16384), tolerance)
    verify(choice.graph, Stage.LEVELED)
    assert choice.parameters.secure
    assert choice.parameters.levels == 3
    assert tolerance / 4 < choice.error_bound <= tolerance


def test_a_wider_scale_is_taken_where_it_costs_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = choose(network(16384), 1e-4)
    monkeypatch.setattr("enclair.compiler.planner.ckks_choice.FREE", 0.0)
    narrow = choose(network(16384), 1e-4)
    assert narrow.parameters.scale_bits < wide.parameters.scale_bits == WIDE_SCALE
    assert wide.error_bound < narrow.error_bound
    assert wide.cost.total <= FREE * narrow.cost.total


def test_smaller_tolerances_take_larger_scales_and_rings() -> None:
    coarse, fine = choose(network(8192, 3), 1e-2), choose(network(16384, 3), 1e-6)
    with pytest.raises(CompileError, match="ring dimension 8192 is too small"):
        choose(network(8192, 3), 1e-6)
    assert coarse.parameters.scale_bits < fine.parameters.scale_bits


def test_every_value_fits_its_modulus_with_room() -> None:
    choice = choose(network(16384, size=30.0), 1e-2)
    for value in choice.graph.values():
        if isinstance(value.type, CkksType):
            modulus = prod(choice.parameters.primes[: (ckks(value).level or 0) + 1])
            largest = choice.prediction.values[value.name].magnitude
            assert 2 * largest * (ckks(value).scale or 0.0) * 1.25 < modulus
    small = choose(network(16384), 1e-2).parameters
    room = choice.parameters.first_bits - choice.parameters.scale_bits
    assert room > small.first_bits - small.scale_bits


def test_the_fewest_digits_that_are_nearly_cheapest_are_chosen() -> None:
    costs = UnitCosts()
    choice = choose_for(network(16384, 4), Demands(1e-4, 0.25), costs)
    totals = {}
    for digits in range(1, choice.parameters.levels + 2):
        with suppress(ParameterError):
            totals[digits] = graph_cost(choice.graph, replace(choice.parameters, digits=digits), costs).total
    assert len(totals) > 1
    assert choice.parameters.digits == min(
        digits for digits in totals if totals[digits] <= NEARLY * min(totals.values())
    )


def convolutions(channels: int) -> Candidate:
    slots, rng = 8192, np.random.default_rng(0)
    b = Builder("convolutions")
    x = b.input("x", CkksType(channels, slots))
    h = convolution(b, b.add(SQUARE, convolution(b, x, channels, 5, rng)), channels, 5, rng)
    return Candidate(b.build([h]), [{"x": rng.uniform(-1, 1, size=(channels, slots))}])


def test_many_channels_have_weights_apart_where_the_tolerance_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = convolutions(8)
    coarse, fine = choose(candidate, 1e-2), choose(candidate, 1e-6)
    assert (has_divided(coarse), has_divided(fine)) == (True, False)
    assert coarse.error_bound <= 1e-2
    verify(coarse.graph, Stage.LEVELED)
    monkeypatch.setattr("enclair.compiler.planner.ckks_choice._Chooser._divided", lambda *_: None)
    together = choose(candidate, 1e-2)
    assert not has_divided(together)
    assert coarse.cost.total < together.cost.total


def test_the_largest_scale_is_divided_before_none_is() -> None:
    """Scales of 44 bits leave too much noise; with 45 the last prime has the 50 that it can have."""
    choice = choose(convolutions(8), 4.45e-5)
    assert has_divided(choice)
    assert (choice.parameters.scale_bits, choice.parameters.first_bits) == (45, 50)


def test_scales_are_tried_by_how_much_noise_they_left() -> None:
    scales = [PrimeBits(scale, (scale,)) for scale in range(38, 44)]
    assert [bits.scale for bits in _quieter(scales, 1.01)] == [39, 40, 41, 42, 43]
    assert [bits.scale for bits in _quieter(scales, 2.0)] == [40, 41, 42, 43]
    assert [bits.scale for bits in _quieter(scales, 30.0)] == [43]
    assert _quieter(scales, 33.0) == []
    assert _quieter(scales[:1], 1.01) == []


def test_no_noise_of_a_divided_graph_is_predicted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference, and the divided graph: what costs more is not predicted."""
    divided = []
    predicted = Candidate.predicted

    def noted(self: Candidate, leveled: Graph, *rest: Any, **more: Any) -> Any:
        divided.append(is_divided(leveled))
        return predicted(self, leveled, *rest, **more)

    monkeypatch.setattr(Candidate, "predicted", noted)
    choose(convolutions(8), 1e-2)
    assert divided == [False, True]


def test_weights_apart_leave_the_room_that_outputs_are_proven_to_take() -> None:
    """With room for the margin alone, 50 bits for the first prime, a scale of 47 bits could be divided."""
    wide = convolutions(8)
    candidate = replace(wide, inputs=[{name: 0.7 * values for name, values in wide.inputs[0].items()}])
    choice = choose_for(candidate, Demands(2.0**-16, margin=0.25, reach=1.0), UnitCosts())
    for value in choice.graph.outputs:
        largest = choice.prediction.values[value.name].magnitude
        assert 2 * largest * (ckks(value).scale or 0.0) * (1 + 1.0) < choice.parameters.primes[0]


def test_few_channels_have_weights_and_vectors_together() -> None:
    assert not has_divided(choose(convolutions(1), 1e-2))


def has_divided(choice: CkksChoice) -> bool:
    return is_divided(choice.graph)


def is_divided(graph: Graph) -> bool:
    ops = [node.op for node in graph.nodes]
    return any(isinstance(op, LinearTransform) and op.weight_scale is not None for op in ops)


def test_less_room_where_that_saves_many_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    def squares(reach: float) -> CkksChoice:
        b = Builder("squares")
        x = b.input("x", CkksType(1, 8192))
        for _ in range(9):
            x = b.add(MultiplyCiphers(), x, x)
        candidate = Candidate(b.build([x]), [{"x": np.linspace(-1, 1, 8192)[None]}])
        return choose_for(candidate, Demands(2e-3, 0.0, reach), UnitCosts())

    def room(choice: CkksChoice) -> int:
        return choice.parameters.first_bits - choice.parameters.scale_bits

    monkeypatch.setattr("enclair.compiler.planner.ckks_choice.FREE", 0.0)
    least, less = squares(LEAST_REACH), squares(63.0)
    monkeypatch.setattr("enclair.compiler.planner.ckks_choice.ROOMY", inf)
    more = squares(63.0)
    assert room(less) == room(least) == room(more) - 4
    assert less.parameters.digits < more.parameters.digits
    assert less.cost.total * ROOMY < more.cost.total


def test_a_graph_that_costs_more_than_it_may() -> None:
    candidate = network(16384)
    least = choose(candidate, 1e-2).cost.total
    assert choose_for(candidate, Demands(1e-2, 0.25), UnitCosts(), 1.1 * least).cost.total == least
    with pytest.raises(
        CompileError, match=r"at ring dimension 16384 the server takes 0\.0\d+ s or more, not 0\.0\d+ s"
    ):
        choose_for(candidate, Demands(1e-2, 0.25), UnitCosts(), 0.5 * least)


def test_what_another_ring_would_cost() -> None:
    choice = choose(network(16384, 4), 1e-2)
    assert cost_at(choice, 16384, UnitCosts()) == pytest.approx(choice.cost.total, rel=NEARLY - 1)
    assert cost_at(choice, 32768, UnitCosts()) > 1.5 * choice.cost.total
    assert cost_at(choice, 4096, UnitCosts()) == inf


def test_a_ring_that_is_too_small() -> None:
    with pytest.raises(CompileError, match=r"ring dimension 8192 is too small for 9 levels with scales of .* bits"):
        choose(network(8192, 5), 1e-4)


def test_a_tolerance_that_is_too_small() -> None:
    with pytest.raises(CompileError, match=r"a tolerance of 1e-14 cannot be met at ring dimension 16384"):
        choose(network(16384), 1e-14)


def test_values_that_are_too_large() -> None:
    with pytest.raises(CompileError, match=r"the last prime would need .* bits, .* for the tolerance of 1e-05 and"):
        choose(network(16384, 1, size=1e5), 1e-5)
