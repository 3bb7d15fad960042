"""Domains, sensitivities, and how a tolerance is shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from math import hypot, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.approx.budget import SAFETY, Place, share_out, smallest_tolerance
from enclair.compiler.approx.domains import Domain, Seen, domain_of
from enclair.compiler.approx.fits import Fit, Method
from enclair.compiler.approx.fitting import best_at
from enclair.compiler.approx.functions import FACTS
from enclair.compiler.approx.ranges import Range
from enclair.compiler.approx.sensitivity import Sensitivity, sensitivities
from enclair.compiler.ir.graph import Builder
from enclair.compiler.ir.ops import activations as a
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Mul, Reciprocal
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.types import TensorType

UNKNOWN = Range(-inf, inf)
SILU = a.Silu()


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
    assert found["r"].same == found["r"].random == pytest.approx(3.0)
    assert found["r"].arguments.tolist() == [0.0, 1.0, 2.0, -1.0]
    assert found["i"].largest == pytest.approx(5.0 * np.e, rel=1e-3), "relative to the largest 1 / exp(x)"


def test_errors_of_random_signs_average_out() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 400)))
    y = builder.add(a.Relu(), x, name="r")
    graph = builder.build([builder.add(MatMul(), y, builder.constant("w", np.ones((400, 1))))])
    found = sensitivities(graph, ["r"], [{"x": np.linspace(-1, 1, 400)[None]}])["r"]
    assert found.largest == found.same == pytest.approx(400.0)
    assert found.random < 4 * np.sqrt(400)


def place(name: str, sensitivity: float, high: float = 3.0, op: Op = SILU) -> Place:
    moved = Sensitivity(sensitivity, sensitivity, np.linspace(-high, high, 101))
    return Place(name, op, Domain(-high, high, "calibrated", Range(-high, high)), moved)


def total(places: Sequence[Place], fits: Iterable[Fit | None]) -> float:
    return hypot(*(place.share(fit) for place, fit in zip(places, fits, strict=True) if fit))


def test_a_share_is_what_typical_errors_do() -> None:
    """A minimax error is nearly everywhere as large as the certified one, a composed sign's only beside the corner."""
    even, rare = (best_at(a.Relu(), -3.0, 3.0, levels) for levels in (8, 14))
    assert even is not None
    assert rare is not None
    assert (even.method, rare.method) == (Method.MINIMAX, Method.COMPOSITE)
    here = place("r", 1.0, op=a.Relu())
    assert 0.5 < here.share(even) / (SAFETY * here.worst(even)) < 1.0
    assert here.share(rare) < 0.2 * SAFETY * here.worst(rare)


def test_a_share_counts_values_that_are_not_seen_but_near() -> None:
    one = Sensitivity(1.0, 1.0, np.zeros(1))
    here = Place("r", a.Relu(), Domain(-3.0, 3.0, "calibrated", Range(-3, 3)), one)
    fit = best_at(a.Relu(), -3.0, 3.0, 6)
    assert fit is not None
    assert here.share(fit) > 0.5 * SAFETY * fit.error


@given(
    weights=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=3),
    tolerance=st.floats(1e-4, 0.5),
    high=st.floats(1, 8),
)
def test_shares_stay_within_and_levels_are_fewest(weights: list[float], tolerance: float, high: float) -> None:
    places = [place(f"p{n}", weight, high) for n, weight in enumerate(weights)]
    fits = share_out(places, tolerance, inf)
    assert fits is not None
    assert total(places, fits) <= tolerance * (1 + 1e-9)
    errors = [[best_at(p.op, -high, high, levels) for levels in range(1, 8)] for p in places]
    good = [
        sum(fit.levels for fit in choice if fit) for choice in product(*errors) if total(places, choice) <= tolerance
    ]
    assert sum(fit.levels for fit in fits) <= min(good)


@given(worst=st.floats(1e-4, 1e-2), spent=st.sampled_from([0.0, 1.0]))
def test_certified_errors_stay_within(worst: float, spent: float) -> None:
    places = [place("silu", 1.0), place("relu", 0.2, op=a.Relu())]
    fits = share_out(places, 1.0, worst, spent)
    assert fits is not None
    assert all(p.worst(fit) <= worst * (1 + 1e-9) for p, fit in zip(places, fits, strict=True))


def test_cheap_places_get_the_smaller_share() -> None:
    """An error is cheap to make small on a narrow interval: most of the tolerance is for the wide one."""
    fits = share_out([place("narrow", 1.0, 0.5), place("wide", 1.0, 8.0)], 0.003, inf)
    assert fits is not None
    assert fits[0].error < fits[1].error
    assert fits[0].levels < fits[1].levels


def test_out_of_reach() -> None:
    places = [place("r", 1.0, 4.0, a.HardSwish())]
    assert share_out(places, 1e-7, inf) is None
    assert share_out(places, 1.0, 1e-7) is None
    reached, name = smallest_tolerance(places)
    assert name == "r"
    assert 1e-7 < reached < 1e-2
