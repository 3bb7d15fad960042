"""Domains, sensitivities, and how a tolerance is shared."""

from __future__ import annotations

from itertools import product
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.approx.budget import Place, share_out, smallest_tolerance
from enclair.compiler.approx.domains import Domain, Seen, domain_of
from enclair.compiler.approx.fitting import best_at
from enclair.compiler.approx.functions import FACTS
from enclair.compiler.approx.ranges import Range
from enclair.compiler.approx.sensitivity import sensitivities
from enclair.compiler.ir.graph import Builder
from enclair.compiler.ir.ops import activations as a
from enclair.compiler.ir.ops.elementwise import Mul, Reciprocal
from enclair.compiler.ir.types import TensorType

UNKNOWN = Range(-inf, inf)


def seen(low: float, high: float, count: int = 4) -> Seen:
    """Samples that all reach the same."""
    return Seen.of([Range(low, high)] * count)


def test_calibrated_ranges_are_widened_by_the_margin() -> None:
    domain = domain_of(FACTS[a.Relu], UNKNOWN, seen(-1.0, 3.0), 0.25)
    assert (domain.low, domain.high, domain.kind) == (-1.5, 3.5, "calibrated")
    assert domain.seen == Range(-1.0, 3.0)


def test_samples_that_differ_widen_more() -> None:
    each = Seen.of([Range(-1.0, 1.0), Range(-1.0, 2.0), Range(-1.0, 3.0)])
    domain = domain_of(FACTS[a.Relu], UNKNOWN, each, 0.0)
    assert domain.low == -1.0
    assert 4.0 < domain.high <= 5.0


def test_positive_values_stay_positive() -> None:
    domain = domain_of(FACTS[Reciprocal], UNKNOWN, seen(0.1, 10.0), 0.25)
    assert (domain.low, domain.high) == (pytest.approx(0.08), pytest.approx(12.5))
    mirrored = domain_of(FACTS[Reciprocal], UNKNOWN, seen(-10.0, -0.1), 0.25)
    assert (mirrored.low, mirrored.high) == (pytest.approx(-12.5), pytest.approx(-0.08))


def test_proven_ranges_are_taken_when_not_much_wider() -> None:
    assert domain_of(FACTS[a.Relu], Range(-1.7, 3.7), seen(-1.0, 3.0), 0.25).kind == "proven"
    assert domain_of(FACTS[a.Relu], Range(-9.0, 9.0), seen(-1.0, 3.0), 0.25).kind == "calibrated"
    narrower = domain_of(FACTS[a.Relu], Range(-1.1, 30.0), seen(-1.0, 3.0), 0.25)
    assert (narrower.low, narrower.high, narrower.kind) == (-1.1, 3.5, "calibrated")


def test_constant_values_get_an_interval() -> None:
    domain = domain_of(FACTS[a.Sigmoid], UNKNOWN, seen(2.0, 2.0), 0.25)
    assert domain.low < 2.0 < domain.high


def test_sensitivity_of_a_known_graph() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((4,)))
    y = builder.add(a.Relu(), x, name="r")
    out = builder.add(Mul(), y, builder.constant("c", np.array([1.0, -3.0, 2.0, 0.5])))
    inverse = builder.add(Reciprocal(), builder.add(a.Exp(), x, name="e"), name="i")
    graph = builder.build([out, builder.add(Mul(), inverse, builder.constant("d", np.array(5.0)))])
    samples = [{"x": np.array([0.0, 1.0, 2.0, -1.0])}]
    found = sensitivities(graph, ["r", "i"], samples)
    assert found["r"] == pytest.approx(3.0)
    assert found["i"] == pytest.approx(5.0 * np.e, rel=1e-3), "relative to the largest 1 / exp(x)"


def place(name: str, sensitivity: float, high: float = 3.0) -> Place:
    return Place(name, a.Silu(), Domain(-high, high, "calibrated", Range(-high, high)), sensitivity)


@given(
    weights=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=3),
    tolerance=st.floats(1e-4, 0.5),
    high=st.floats(1, 8),
)
def test_shares_stay_within_and_levels_are_fewest(weights: list[float], tolerance: float, high: float) -> None:
    places = [place(f"p{n}", weight, high) for n, weight in enumerate(weights)]
    fits = share_out(places, tolerance)
    assert fits is not None
    assert sum(p.sensitivity * fit.error for p, fit in zip(places, fits, strict=True)) <= tolerance * (1 + 1e-9)
    errors = [[best_at(p.op, -high, high, levels) for levels in range(1, 8)] for p in places]
    good = [
        sum(fit.levels for fit in choice if fit)
        for choice in product(*errors)
        if sum(p.sensitivity * fit.error for p, fit in zip(places, choice, strict=True) if fit) <= tolerance
    ]
    assert sum(fit.levels for fit in fits) <= min(good)


def test_cheap_places_get_the_smaller_share() -> None:
    """An error is cheap to make small on a narrow interval: most of the tolerance is for the wide one."""
    fits = share_out([place("narrow", 1.0, 0.5), place("wide", 1.0, 8.0)], 0.003)
    assert fits is not None
    assert fits[0].error < fits[1].error
    assert fits[0].levels < fits[1].levels


def test_out_of_reach() -> None:
    places = [Place("r", a.HardSwish(), Domain(-4.0, 4.0, "calibrated", Range(-4, 4)), 1.0)]
    assert share_out(places, 1e-7) is None
    reached, name = smallest_tolerance(places)
    assert name == "r"
    assert 1e-7 < reached < 1e-2
