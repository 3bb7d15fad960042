"""The search for bits, and the bound it states."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.models import Net, convolutions
from tests.strategies import samples_of

from enclair.compiler.approx.ranges import calibrate
from enclair.compiler.errors import CompileError, DoesNotFit
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.ops.activations import Relu, Sigmoid, Sqrt
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.reference import run
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.passes.place_ops import PlaceOps
from enclair.compiler.planner.precision import FLOAT32_NOISE, PrecisionSearch
from enclair.compiler.split import PREPARE


def search_of(graph: Graph, samples: list[dict[str, Array]] | None = None) -> PrecisionSearch:
    samples = samples or samples_of(graph, 6)
    placed = run_passes(graph, [*PREPARE, PlaceOps()])
    references = [run(graph, sample) for sample in samples]
    return PrecisionSearch(placed, calibrate(placed, samples), samples, references, 0.25)


def gap(search: PrecisionSearch, fixed: Graph, numbers: range) -> float:
    return max(
        float(np.abs(result - search.references[number][name]).max())
        for number in numbers
        for name, result in run(fixed, search.samples[number]).items()
    )


TWO = convolutions(2, activation=Relu())


@pytest.mark.parametrize("graph", [TWO, convolutions(2), convolutions(3, activation=Sigmoid())])
@pytest.mark.parametrize("tolerance", [0.3, 0.01, 1e-4])
def test_a_tolerance_is_met_on_the_search_and_the_held_back_samples(graph: Graph, tolerance: float) -> None:
    search = search_of(graph)
    found = search.by_tolerance(tolerance)
    assert found.bound.value <= tolerance
    assert gap(search, found.fixed, range(6)) <= tolerance


def almost_zero() -> Graph:
    """A square root whose argument is 0.002 x, and negative where weights are rounded to 6 bits; 4 y beside it."""
    net = Net()
    x = net.input(1, 3)
    weights = net.builder.constant("w", np.array([[0.451], [0.451], [-0.9]]))
    root = net.op(Sqrt(), net.op(MatMul(), x, weights), name="root")
    return net.builder.build([root, net.op(MatMul(), root, net.constant(1, 1))])


def test_bits_that_give_no_number_are_not_enough() -> None:
    graph = almost_zero()
    samples = [{"x": np.full((1, 3), share)} for share in (0.25, 0.5, 0.75, 1.0)]
    search = search_of(graph, samples)
    with np.errstate(invalid="ignore"):
        assert any(np.isnan(array).any() for array in run(search.fixed_graph(6, 6), samples[3]).values())
        assert search.given(6, 6, 0.01).bound.value == np.inf
        found = search.by_tolerance(0.01)
    assert found.weight_bits > 6
    assert found.bound.value <= 0.01
    assert gap(search, found.fixed, range(4)) <= 0.01


@dataclass(frozen=True)
class Cramped(PrecisionSearch):
    """A search in which more bits than ``most`` have no room."""

    most: int = 30

    def fixed_graph(self, activation_bits: int, weight_bits: int) -> Graph:
        if max(activation_bits, weight_bits) > self.most:
            raise DoesNotFit("conv", "its sums need 61 bits")
        return PrecisionSearch.fixed_graph(self, activation_bits, weight_bits)


def test_where_held_back_samples_take_bits_that_do_not_fit_the_layer_is_named() -> None:
    """So that the stage is cut; the tolerance is not to blame."""
    samples = [{"x": sample["x"] * share} for sample, share in zip(samples_of(TWO, 6), [0.0, 1.0] * 3, strict=True)]
    search = search_of(TWO, samples)
    fields = (search.placed, search.ranges, search.samples, search.references, search.margin)
    found = search.by_tolerance(0.01)
    most = max(found.activation_bits, found.weight_bits)
    enough_for_the_search = search._equal_bits(0.01)
    assert enough_for_the_search < most
    assert Cramped(*fields, most).by_tolerance(0.01) == found
    with pytest.raises(DoesNotFit, match="its sums need 61 bits"):
        Cramped(*fields, enough_for_the_search).by_tolerance(0.01)


def test_a_smaller_tolerance_takes_more_bits() -> None:
    search = search_of(TWO)
    bits = [(p.activation_bits, p.weight_bits) for p in map(search.by_tolerance, (0.1, 0.01, 0.001, 1e-4))]
    assert bits == sorted(bits)
    assert len(set(bits)) == 4


def test_a_linear_model_gets_a_proven_bound_and_another_a_calibrated_one() -> None:
    assert search_of(convolutions(2)).by_tolerance(0.05).bound.kind == "proven"
    assert search_of(TWO).by_tolerance(0.05).bound.kind == "calibrated"


def test_a_calibrated_bound_is_twice_the_gap_on_held_back_samples() -> None:
    search = search_of(TWO)
    found = search.given(8, 8, 0.1)
    noise = FLOAT32_NOISE * search.output_range()
    assert found.bound.value == pytest.approx(2 * gap(search, found.fixed, range(1, 6, 2)) + noise)


def test_one_sample_is_search_and_held_back_in_one() -> None:
    search = search_of(TWO, samples_of(TWO, 1))
    assert search.given(8, 8, 0.1).bound.value >= 2 * gap(search, search.given(8, 8, 0.1).fixed, range(1))


def test_a_tolerance_below_the_noise_of_float32_is_refused() -> None:
    search = search_of(TWO)
    tolerance = 0.9 * FLOAT32_NOISE * search.output_range()
    with pytest.raises(CompileError, match=r"cannot be met: the float32 model itself may be off by .*; ask"):
        search.by_tolerance(tolerance)


def test_sums_that_leave_int64_do_not_fit() -> None:
    with pytest.raises(DoesNotFit, match=r"%add\.2\.fixed: its sums need \d\d bits"):
        search_of(convolutions(3)).given(15, 15, 0.1)
    with pytest.raises(DoesNotFit, match=r"%add\.2: its constant %.* needs more than 61 bits at 2\^-67"):
        search_of(convolutions(3)).given(18, 18, 0.1)


def test_constant_outputs_have_a_range() -> None:
    search = search_of(TWO)
    flat = [{name: np.full_like(array, 3.0) for name, array in reference.items()} for reference in search.references]
    assert replace(search, references=flat).output_range() == 3.0
    zero = [{name: np.zeros_like(array) for name, array in reference.items()} for reference in search.references]
    assert replace(search, references=zero).output_range() == 1.0
