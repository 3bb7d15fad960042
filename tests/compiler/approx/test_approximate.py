"""A tolerance on the outputs is met, by what is declared, and errors say what to do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import feature_graphs, graphs, samples_of

from enclair.compiler.approx.approximate import Approximated, approximate
from enclair.compiler.errors import CalibrationError, CompileError
from enclair.compiler.ir.graph import Array, Builder, Graph
from enclair.compiler.ir.ops import activations as a
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Greater, Mul, Pow, Reciprocal
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.normalisation import LayerNormalization
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.ops.pooling import MaxPool
from enclair.compiler.ir.ops.shape import Reshape, Transpose
from enclair.compiler.ir.public import public_constant
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import TensorType

Sample = dict[str, Array]


def uniform(shape: tuple[int, ...], count: int, seed: int) -> list[Sample]:
    rng = np.random.default_rng(seed)
    return [{"x": rng.uniform(-1, 1, shape)} for _ in range(count)]


def gap(graph: Graph, found: Approximated, samples: list[Sample]) -> float:
    """The largest difference of the outputs."""
    pairs = [(run(graph, sample), run(found.graph, sample)) for sample in samples]
    return max(float(np.abs(one[v.name] - two[v.name]).max()) for one, two in pairs for v in graph.outputs)


def perceptron(op: Op, layers: int = 2) -> Graph:
    builder, rng = Builder("mlp"), np.random.default_rng(3)
    x = builder.input("x", TensorType((1, 12)))
    for number in range(layers):
        x = builder.add(MatMul(), x, builder.constant("w", rng.normal(size=(12, 12)) / 2.5))
        x = builder.add(Add(), x, builder.constant("b", rng.normal(size=12) / 4))
        x = builder.add(op, x, name=f"act{number}", origin=f"model.py:{number}")
    return builder.build([builder.add(MatMul(), x, builder.constant("w", rng.normal(size=(12, 3)) / 3), name="y")])


def attention() -> Graph:
    builder, rng = Builder("attention"), np.random.default_rng(4)
    x = builder.input("x", TensorType((1, 4, 16)))
    gamma, beta = (builder.constant(name, rng.normal(1, 0.2, 16)) for name in ("gamma", "beta"))
    normal = builder.add(LayerNormalization(2, 1e-5), x, gamma, beta)
    q, k, v = (
        builder.add(MatMul(), normal, builder.constant(name, rng.normal(size=(16, 16)) / 4)) for name in ("q", "k", "v")
    )
    scores = builder.add(MatMul(), q, builder.add(Transpose((0, 2, 1)), k))
    scaled = builder.add(Mul(), scores, public_constant(builder, "scale", np.array(0.25)))
    out = builder.add(MatMul(), builder.add(a.Softmax(2), scaled), v)
    return builder.build([builder.add(Add(), out, x, name="y")])


def pooled() -> Graph:
    builder, rng = Builder("cnn"), np.random.default_rng(5)
    x = builder.input("x", TensorType((1, 1, 8, 8)))
    x = builder.add(Conv((1, 1), (1, 1, 1, 1), (1, 1), 1), x, builder.constant("w", rng.normal(size=(3, 1, 3, 3)) / 3))
    x = builder.add(MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), builder.add(a.Relu(), x))
    x = builder.add(Reshape((1, 48)), x)
    return builder.build([builder.add(MatMul(), x, builder.constant("w", rng.normal(size=(48, 4)) / 7), name="y")])


@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("op", [a.Relu(), a.LeakyRelu(0.1), a.Gelu(), a.Sigmoid(), a.Tanh(), a.Silu(), a.HardSwish()])
def test_tolerance_is_met_on_other_inputs(op: Op, tolerance: float) -> None:
    graph = perceptron(op)
    found = approximate(graph, uniform((1, 12), 24, 0), None, tolerance)
    assert found.bound <= tolerance
    assert gap(graph, found, uniform((1, 12), 40, 1)) <= tolerance
    assert not any(isinstance(node.op, type(op)) for node in found.graph.nodes)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize(("make", "shape"), [(attention, (1, 4, 16)), (pooled, (1, 1, 8, 8))])
def test_compound_ops(make: type, shape: tuple[int, ...], tolerance: float) -> None:
    graph = make()
    found = approximate(graph, uniform(shape, 24, 0), None, tolerance)
    assert found.bound <= tolerance
    assert gap(graph, found, uniform(shape, 30, 1)) <= tolerance


@settings(max_examples=12)
@given(graph=st.one_of(graphs(), feature_graphs()), tolerance=st.sampled_from([0.3, 0.05]))
def test_random_graphs_stay_within_on_their_samples(graph: Graph, tolerance: float) -> None:
    samples = samples_of(graph, 6)
    try:
        found = approximate(graph, samples, None, tolerance)
    except CompileError as error:
        assert "cannot be met" in str(error)  # noqa: PT017
    else:
        assert found.bound <= tolerance
        assert 2 * gap(graph, found, samples) <= tolerance * (1 + 1e-9)


def test_a_smaller_tolerance_takes_more_levels() -> None:
    graph, samples = perceptron(a.Gelu()), uniform((1, 12), 12, 0)
    levels = [approximate(graph, samples, None, tolerance).levels for tolerance in (1e-1, 1e-2, 1e-4)]
    assert levels == sorted(levels)
    assert levels[0] < levels[-1]


def test_references_of_another_precision_count() -> None:
    graph, samples = perceptron(a.Gelu()), uniform((1, 12), 12, 0)
    references = [{"y": run(graph, sample)["y"] + 0.01} for sample in samples]
    assert 0.02 <= approximate(graph, samples, references, 0.05).bound <= 0.05
    with pytest.raises(CompileError, match=r"a tolerance of 0\.01 cannot be met: 0\.02"):
        approximate(graph, samples, references, 0.01)


def test_every_activation_is_declared() -> None:
    graph = perceptron(a.Relu())
    found = approximate(graph, uniform((1, 12), 12, 0), None, 0.01, input_ranges={"x": (-1.0, 1.0)})
    assert [activation.name for activation in found.activations] == ["act0", "act1"]
    first, second = found.activations
    assert (first.origin, second.origin) == ("model.py:0", "model.py:1")
    assert first.domain.low <= first.domain.seen.low < first.domain.seen.high <= first.domain.high
    assert found.bound_kind == "calibrated"
    facts = json.loads(json.dumps(first.facts()))
    assert facts["method"] in ("minimax polynomial", "composite minimax sign")
    assert facts["op"] == "Relu()"
    assert facts["error_kind"] == "absolute"
    assert 0 < facts["share"] <= 8
    assert facts["growth"] > 100
    assert facts["levels"] == first.fit.levels


def test_ranges_are_proven_near_declared_inputs() -> None:
    """A matrix of one entry per column: intervals lose nothing."""
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 4)))
    y = builder.add(a.Gelu(), builder.add(MatMul(), x, builder.constant("w", 2 * np.eye(4))), name="act")
    graph = builder.build([builder.add(MatMul(), y, builder.constant("v", np.ones((4, 2))))])
    found = approximate(graph, uniform((1, 4), 30, 0), None, 0.01, input_ranges={"x": (-1.0, 1.0)})
    (activation,) = found.activations
    assert activation.domain.kind == "proven"
    assert (activation.domain.low, activation.domain.high) == (pytest.approx(-2), pytest.approx(2))
    assert approximate(graph, uniform((1, 4), 30, 0), None, 0.01, margin=0.0).activations[0].domain.kind == "proven"


def test_polynomials_of_the_user_stay() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 4)))
    product = builder.add(MatMul(), x, builder.constant("w", np.eye(4)))
    square = builder.add(Mul(), product, product)
    graph = builder.build([builder.add(Add(), builder.add(Pow(2.0), square), product)])
    found = approximate(graph, uniform((1, 4), 4, 0), None, 1e-6)
    assert found.activations == ()
    assert found.levels == 0
    assert {type(node.op) for node in found.graph.nodes} == {MatMul, Mul, Add}


def test_prescales_are_folded() -> None:
    found = approximate(perceptron(a.Gelu()), uniform((1, 12), 8, 0), None, 0.01)
    intervals = {(node.op.low, node.op.high) for node in found.graph.nodes if isinstance(node.op, Polynomial)}
    assert intervals == {(-1.0, 1.0)}


def test_clips_that_one_polynomial_does_not_reach_become_rectifiers() -> None:
    graph = perceptron(a.HardSigmoid(0.6, 0.5), 1)
    found = approximate(graph, uniform((1, 12), 12, 0), None, 2e-4)
    assert {type(activation.fit.op) for activation in found.activations} == {a.Relu}
    assert found.bound <= 2e-4


def test_tolerance_out_of_reach() -> None:
    with pytest.raises(
        CompileError, match=r"a tolerance of 1e-09 cannot be met: .* leave about .*%act.* larger tolerance"
    ):
        approximate(perceptron(a.Relu()), uniform((1, 12), 6, 0), None, 1e-9)


def test_tolerance_must_be_positive() -> None:
    with pytest.raises(CompileError, match="tolerance must be positive, got 0"):
        approximate(perceptron(a.Relu()), uniform((1, 12), 1, 0), None, 0.0)


def test_reciprocals_around_zero_name_the_node() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 12)))
    graph = builder.build([builder.add(Reciprocal(), x, name="inverse", origin="model.py:7")])
    with pytest.raises(CompileError, match=r"%inverse at model\.py:7: Reciprocal\(\) needs values on one side of 0"):
        approximate(graph, uniform((1, 12), 4, 0), None, 0.1)


def test_ops_without_a_polynomial_are_listed() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 12)))
    y = builder.add(Greater(), x, builder.constant("c", np.zeros(12)), name="flag", origin="model.py:3")
    graph = builder.build([builder.add(a.Sign(), y, name="sign")])
    message = r"no polynomial for\n  %flag = Greater\(\) at model\.py:3\n  %sign = Sign\(\)\nrewrite these layers"
    with pytest.raises(CompileError, match=message):
        approximate(graph, uniform((1, 12), 4, 0), None, 0.1)


def test_samples_are_needed() -> None:
    with pytest.raises(CalibrationError, match="at least one sample"):
        approximate(perceptron(a.Relu()), [], None, 0.1)
