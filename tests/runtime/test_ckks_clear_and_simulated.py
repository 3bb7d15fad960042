"""The backends for CKKS without encryption: the same values, and in ``simulated`` errors and room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from tests.ckks_graphs import SLOTS, ckks, inputs_of, linear_layer, packed_graphs, parameters_for

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Array, Builder, Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.planner.ckks_noise import noise_model, predict
from enclair.runtime.backends.ckks_clear import CkksClearEvaluator, CkksClearKeyHolder
from enclair.runtime.backends.ckks_simulated import CkksSimulatedEvaluator, CkksSimulatedKeyHolder
from enclair.runtime.dataflow import run_dataflow
from enclair.runtime.errors import PayloadError, ValueRangeError

PARAMETERS = CkksParameters(2 * SLOTS, 2, 35, 45, 3, INSECURE)
TYPE = CkksType(2, SLOTS, 2, 2.0**35)


def answers(graph: Graph, inputs: dict[str, Array], holder: Any, evaluator: Any) -> dict[str, Array]:
    """Encrypted, sent, run, sent back, decrypted."""
    uploads = {
        v.name: evaluator.load(holder.encrypt(inputs[v.name], ckks(v)), ckks(v))
        for v in graph.inputs
    }  # fmt: skip
    results = run_dataflow(graph, uploads, evaluator, threads=1)
    return {v.name: holder.decrypt(evaluator.answer(results[v.name]), ckks(v)) for v in graph.outputs}


@given(packed_graphs(most=8))
def test_both_give_what_the_graph_means(graph: Graph) -> None:
    expanded = ExpandPolynomials()(graph)
    parameters = parameters_for(expanded)
    leveled, inputs = PlaceLevels(parameters)(expanded), inputs_of(graph)
    pairs = [
        (CkksClearKeyHolder(parameters), CkksClearEvaluator(parameters)),
        (CkksSimulatedKeyHolder(parameters), CkksSimulatedEvaluator(parameters)),
    ]
    for holder, evaluator in pairs:
        assert holder.key_id == evaluator.key_id
        got = answers(leveled, inputs, holder, evaluator)
        assert all(np.array_equal(got[name], want) for name, want in run(leveled, inputs).items())


def test_the_key_holder_bounds_the_error_as_the_compiler_does() -> None:
    b = Builder("layer")
    graph = b.build([linear_layer(b, b.input("x", CkksType(1, SLOTS)), 8, np.random.default_rng(0))])
    leveled, inputs = PlaceLevels(PARAMETERS)(graph), inputs_of(graph)
    holder = CkksSimulatedKeyHolder(PARAMETERS, samples=32)
    answers(leveled, inputs, holder, CkksSimulatedEvaluator(PARAMETERS, samples=32))
    bound = predict(leveled, inputs, noise_model(PARAMETERS), 32).bound
    assert bound / 2 < holder.error_bound < 2 * bound


def test_a_value_that_may_outgrow_its_modulus_is_refused() -> None:
    holder, evaluator = CkksSimulatedKeyHolder(PARAMETERS), CkksSimulatedEvaluator(PARAMETERS)
    x = evaluator.load(holder.encrypt(np.full((2, SLOTS), 2000.0), TYPE), TYPE)
    low = evaluator.drop(x, 1)
    with pytest.raises(ValueRangeError, match=r"a value of 2000 at level 0 and scale 2\^35.0 may outgrow its modulus"):
        evaluator.drop(low, 0)
    with pytest.raises(ValueRangeError, match="compile with a larger first prime"):
        holder.encrypt(np.full((2, SLOTS), 2.0**80), TYPE)


@pytest.mark.parametrize("make", [CkksClearKeyHolder, CkksSimulatedKeyHolder])
def test_values_that_cannot_be_encrypted(make: Any) -> None:
    with pytest.raises(ValueRangeError, match=r"must be float64 \(2, 16\), got int64 \(2, 16\)"):
        make(PARAMETERS).encrypt(np.ones((2, SLOTS), dtype=np.int64), TYPE)
    with pytest.raises(ValueRangeError, match=r"must be float64 \(2, 16\), got float64 \(1, 16\)"):
        make(PARAMETERS).encrypt(np.ones((1, SLOTS)), TYPE)
    with pytest.raises(ValueRangeError, match="must be finite, got infinities or NaN"):
        make(PARAMETERS).encrypt(np.full((2, SLOTS), np.nan), TYPE)


@pytest.mark.parametrize(
    ("evaluator", "needed"), [(CkksClearEvaluator(PARAMETERS), 256), (CkksSimulatedEvaluator(PARAMETERS), 2304)]
)
def test_payloads_of_another_length(evaluator: Any, needed: int) -> None:
    with pytest.raises(PayloadError, match=f"2 rows of 16 reals need {needed} bytes, got 7"):
        evaluator.load(b"1234567", TYPE)


@pytest.mark.parametrize("backend", ["clear", "simulated"])
def test_batches(backend: str) -> None:
    clear = backend == "clear"
    evaluator: Any = CkksClearEvaluator(PARAMETERS) if clear else CkksSimulatedEvaluator(PARAMETERS)
    holder: Any = CkksClearKeyHolder(PARAMETERS) if clear else CkksSimulatedKeyHolder(PARAMETERS)
    values = np.random.default_rng(0).uniform(-1, 1, (2, SLOTS))
    x = evaluator.load(holder.encrypt(values, TYPE), TYPE)
    assert holder.public_key() == b""
    assert bytes(evaluator.dump(evaluator.load(evaluator.dump(x), TYPE))) == bytes(evaluator.dump(x))
    assert evaluator.count(evaluator.concat([x, x])) == 4
    one = evaluator.select(x, np.array([1]))
    got = holder.decrypt(evaluator.answer(one), CkksType(1, SLOTS, 2, 2.0**35))
    np.testing.assert_array_equal(got, values[1:])
    assert evaluator.count(evaluator.rotate(x, SLOTS)) == 2
