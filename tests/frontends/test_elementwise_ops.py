"""Arithmetic and activations against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from tests.frontends.onnx_models import agree, agree_model, model_of, normal, opsets, opsets_from, seeds

from enclair.frontends.families import TABLE

pairs = mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4)
triples = mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@given(shapes=pairs, constant=st.sampled_from([(), (0,), (1,)]), seed=seeds, opset=opsets)
def test_arithmetic(op: str, shapes: Any, constant: tuple[int, ...], seed: int, opset: int) -> None:
    args = [normal(seed + at, *shape) for at, shape in enumerate(shapes.input_shapes)]
    agree(op, args, constant=constant, opset=opset)


@given(shapes=pairs, constant=st.sampled_from([(), (1,)]), seed=seeds, opset=opsets)
def test_div(shapes: Any, constant: tuple[int, ...], seed: int, opset: int) -> None:
    left, right = (normal(seed + at, *shape) for at, shape in enumerate(shapes.input_shapes))
    agree(
        "Div", [left, np.asarray(np.copysign(np.abs(right) + np.float32(0.1), right))], constant=constant, opset=opset
    )


def test_division_by_a_constant_is_a_product() -> None:
    graph = agree("Div", [normal(0, 3), np.float32([2, 4, 8])], constant=(1,))
    assert [type(node.op).__name__ for node in graph.nodes] == ["Mul"]


@pytest.mark.parametrize("op", ["Min", "Max", "Sum", "Mean"])
@given(shapes=triples, seed=seeds, opset=opsets)
def test_any_number_of_arguments(op: str, shapes: Any, seed: int, opset: int) -> None:
    agree(op, [normal(seed + at, *shape) for at, shape in enumerate(shapes.input_shapes)], constant=(1,), opset=opset)


@pytest.mark.parametrize("op", ["Neg", "Abs", "Sign", "Exp", "Erf", "Sigmoid", "Tanh", "Relu", "Softplus", "Softsign"])
@given(seed=seeds, opset=opsets, spread=st.sampled_from([0.1, 1.0, 8.0]))
def test_functions_of_one_number(op: str, seed: int, opset: int, spread: float) -> None:
    agree(op, [normal(seed, 2, 5) * np.float32(spread)], opset=opset)


@pytest.mark.parametrize("op", ["Sqrt", "Log", "Reciprocal"])
@given(seed=seeds, opset=opsets)
def test_functions_of_a_positive_number(op: str, seed: int, opset: int) -> None:
    agree(op, [np.abs(normal(seed, 2, 5)) + np.float32(0.05)], opset=opset)


@pytest.mark.parametrize(
    ("op", "since", "attributes"),
    [
        ("LeakyRelu", 11, {"alpha": st.floats(0, 1)}),
        ("Elu", 11, {"alpha": st.floats(0.1, 2)}),
        ("Celu", 12, {"alpha": st.floats(0.1, 2)}),
        ("Selu", 11, {"alpha": st.floats(0.1, 2), "gamma": st.floats(1, 2)}),
        ("HardSigmoid", 11, {"alpha": st.floats(0.1, 1), "beta": st.floats(0, 1)}),
        ("ThresholdedRelu", 11, {"alpha": st.floats(0, 1)}),
        ("HardSwish", 14, {}),
        ("Mish", 18, {}),
        ("Gelu", 20, {"approximate": st.sampled_from(["none", "tanh"])}),
    ],
)
@given(data=st.data(), seed=seeds)
def test_activations(op: str, since: int, attributes: dict[str, Any], data: st.DataObject, seed: int) -> None:
    given_ = {name: data.draw(st.none() | values) for name, values in attributes.items()}
    agree(op, [3 * normal(seed, 2, 5)], opset=data.draw(opsets_from(since)), **given_)


@given(slope=st.sampled_from([(), (1,), (3, 1, 1), (2, 3, 4, 5)]), constant=st.booleans(), seed=seeds, opset=opsets)
def test_prelu(slope: tuple[int, ...], constant: bool, seed: int, opset: int) -> None:
    agree("PRelu", [normal(seed, 2, 3, 4, 5), normal(seed + 1, *slope)], constant=(1,) if constant else (), opset=opset)


@given(
    limits=st.tuples(*[st.none() | st.floats(-2, 2, width=32)] * 2), constant=st.booleans(), seed=seeds, opset=opsets
)
def test_clip(limits: tuple[float | None, float | None], constant: bool, seed: int, opset: int) -> None:
    ordered = sorted(limits) if None not in limits else limits
    args = [normal(seed, 3, 4), *(None if limit is None else np.float32(limit) for limit in ordered)]
    agree("Clip", [args[0], *map(_array, args[1:])], constant=(1, 2) if constant else (), opset=opset)


def _array(value: np.float32 | None) -> Any:
    return None if value is None else np.asarray(value)


@given(exponent=st.sampled_from([-2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 7, 0.3]), seed=seeds, opset=opsets)
def test_pow(exponent: float, seed: int, opset: int) -> None:
    agree("Pow", [np.abs(normal(seed, 3, 4)) + np.float32(0.1), np.float32([exponent])], constant=(1,), opset=opset)


@given(base=st.floats(0.125, 4, width=32), seed=seeds, opset=opsets)
def test_pow_of_a_constant_base(base: float, seed: int, opset: int) -> None:
    agree("Pow", [np.float32([base]), normal(seed, 3, 4)], constant=(0,), opset=opset)


@pytest.mark.parametrize("op", ["Greater", "Less", "GreaterOrEqual", "LessOrEqual"])
@given(shapes=pairs, seed=seeds, data=st.data())
def test_comparisons_and_where(op: str, shapes: Any, seed: int, data: st.DataObject) -> None:
    x, y = (np.asarray(np.round(normal(seed + at, *shape))) for at, shape in enumerate(shapes.input_shapes))
    nodes = [
        onnx.helper.make_node(op, ["x", "y"], ["truth"]),
        onnx.helper.make_node("Not", ["truth"], ["untruth"]),
        onnx.helper.make_node("And", ["truth", "untruth"], ["never"]),
        onnx.helper.make_node("Or", ["truth", "never"], ["again"]),
        onnx.helper.make_node("Where", ["again", "x", "y"], ["chosen"]),
        onnx.helper.make_node("Cast", ["untruth"], ["number"], to=onnx.TensorProto.FLOAT),
    ]
    opset = data.draw(opsets_from(TABLE[op].since))
    model = model_of(nodes, {"x": x.shape, "y": y.shape}, ["chosen", "number"], opset=opset)
    agree_model(model, {"x": x, "y": y})


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@given(axis=st.none() | st.integers(-3, 2), seed=seeds, opset=opsets, spread=st.sampled_from([1.0, 30.0]))
def test_softmax(op: str, axis: int | None, seed: int, opset: int, spread: float) -> None:
    agree(op, [normal(seed, 2, 3, 4) * np.float32(spread)], opset=opset, axis=axis)
