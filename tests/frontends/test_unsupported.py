"""A model that cannot be converted gets one error that lists every offending node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from tests.frontends.onnx_models import FLOAT, model_of, normal, single_node

from enclair.frontends.errors import UnsupportedModel
from enclair.frontends.families import TABLE
from enclair.frontends.onnx_convert import convert
from enclair.frontends.onnx_load import load
from enclair.frontends.rewrites import rewrite_of

TRACE = """File "/home/me/net.py", line 12, in forward
    y = torch.sin(self.conv(x))
  File "/venv/lib/python3.10/site-packages/torch/nn/modules/module.py", line 99, in _call
    return fn(*args)"""


def with_metadata(
    node: onnx.NodeProto, trace: str = TRACE, scopes: str = "['', 'body', 'body.0', 'sin']"
) -> onnx.NodeProto:
    node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=trace)
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    return node


def refused(model: onnx.ModelProto) -> UnsupportedModel:
    with pytest.raises(UnsupportedModel) as raised:
        convert(load(model))
    return raised.value


def test_one_error_lists_all_nodes_with_their_places_and_rewrites() -> None:
    nodes = [
        with_metadata(onnx.helper.make_node("Sin", ["x"], ["s"], name="sin_1")),
        onnx.helper.make_node("Relu", ["s"], ["r"], name="fine"),
        onnx.helper.make_node("CumSum", ["r", "axis"], ["c"], name="cumsum_1", reverse=1),
        onnx.helper.make_node("Conv", ["r", "w"], ["v"], name="fine_too"),
        onnx.helper.make_node("ArgMax", ["v"], ["a"], name="argmax_1", axis=1),
        onnx.helper.make_node("Cast", ["a"], ["y"], name="fine_as_well", to=FLOAT),
    ]
    constants = {"axis": np.int64(1), "w": normal(0, 2, 3, 1, 1)}
    error = refused(model_of(nodes, {"x": (1, 3, 4, 4)}, ["y", "c"], constants))
    assert [node.op_type for node in error.nodes] == ["Sin", "CumSum", "ArgMax"]
    assert str(error) == (
        "the model has 3 nodes that enclair cannot convert\n"
        "1. sin_1: Sin()\n"
        "    in module body.0\n"
        "    at /home/me/net.py:12: y = torch.sin(self.conv(x))\n"
        "    why: there is no conversion for Sin\n"
        "    instead: approximate it by Relu, Clip or a polynomial in its place\n"
        "2. cumsum_1: CumSum(reverse=1)\n"
        "    why: there is no conversion for CumSum\n"
        "    instead: multiply by a constant triangular matrix\n"
        "3. argmax_1: ArgMax(axis=1)\n"
        "    why: there is no conversion for ArgMax\n"
        "    instead: return the scores from the model and apply it after decryption"
    )


CASES: list[tuple[str, list[Any], tuple[int, ...], dict[str, Any], str, str]] = [
    (
        "Conv",
        [normal(0, 1, 1, 4), normal(1, 2, 1, 3), normal(2, 1)],
        (1, 2),
        {},
        "a bias of shape (1,) for 2 outputs",
        "give each output a bias",
    ),
    (
        "AveragePool",
        [normal(0, 1, 1, 8)],
        (),
        {"kernel_shape": [2], "dilations": [2]},
        "an average over dilated",
        "depthwise",
    ),
    (
        "MaxPool",
        [normal(0, 1, 1, 2)],
        (),
        {"kernel_shape": [3]},
        "MaxPool has windows of 3",
        "larger input or more padding",
    ),
    (
        "Pow",
        [normal(0, 2), normal(1, 2)],
        (),
        {},
        "neither exponent nor base is one constant number",
        "exp(y * log(x))",
    ),
    (
        "Pad",
        [normal(0, 4), np.int64([1, 1])],
        (1,),
        {"mode": "mirror"},
        "padding mode 'mirror'",
        "pad by 'constant', 'reflect', 'edge' or 'wrap'",
    ),
    (
        "Resize",
        [normal(0, 1, 1, 4), None, np.float32([1, 1, 2])],
        (2,),
        {"mode": "linear"},
        "interpolation of mode 'linear'",
        "use mode='nearest', or a ConvTranspose",
    ),
    (
        "Resize",
        [normal(0, 1, 1, 4), None, np.float32([1, 1, 2])],
        (2,),
        {"coordinate_transformation_mode": "half_pixel_symmetric"},
        "coordinates 'half_pixel_symmetric'",
        "use 'asymmetric'",
    ),
    (
        "BatchNormalization",
        [normal(0, 2, 3), *[np.ones(3, np.float32)] * 4],
        (1, 2, 3, 4),
        {"training_mode": 1},
        "batch statistics of the training mode",
        "call model.eval()",
    ),
    (
        "Slice",
        [normal(0, 4), np.int64([3]), np.int64([1])],
        (1, 2),
        {},
        "an empty part of axis 0 of extent 4",
        "leave the",
    ),
    ("Tile", [normal(0, 4), np.int64([0])], (1,), {}, "0 copies along axis 0", "leave the empty tensor out"),
    (
        "Tile",
        [normal(0, 4), np.int64([2**40])],
        (1,),
        {},
        "4398046511104 elements is over",
        "raise Limits.elements",
    ),
    (
        "Expand",
        [normal(0, 1), np.int64([2**40])],
        (1,),
        {},
        "1099511627776 elements is over",
        "raise Limits.elements",
    ),
    (
        "Resize",
        [normal(0, 1, 1, 4), None, np.float32([1, 1, 2**30])],
        (2,),
        {},
        "4294967296 elements is over the limit",
        "raise Limits.elements",
    ),
    ("Cast", [normal(0, 4)], (), {"to": onnx.TensorProto.INT64}, "to int64", "keep it in floating point"),
    (
        "Reshape",
        [normal(0, 4), np.int64([5])],
        (1,),
        {},
        "Reshape to 5 needs 5 elements, got 4 in real<4>",
        "correct the shapes",
    ),
    ("GlobalLpPool", [normal(0, 1, 1, 4)], (), {}, "there is no conversion for GlobalLpPool", "docs/operators.md"),
]


@pytest.mark.parametrize(
    ("op", "args", "constant", "attributes", "why", "instead"), CASES, ids=[case[4] for case in CASES]
)
def test_attributes_without_conversion(
    op: str, args: list[Any], constant: tuple[int, ...], attributes: dict[str, Any], why: str, instead: str
) -> None:
    outputs = 3 if "training_mode" in attributes else 1
    model, _ = single_node(op, args, constant, 20, outputs, ["n"] * args[0].ndim, **attributes)
    del model.graph.output[1:]
    model.graph.output[0].type.tensor_type.elem_type = attributes.get("to", FLOAT)
    (node,) = refused(model).nodes
    assert why in node.reason
    assert instead in node.rewrite


def test_arguments_that_depend_on_the_input() -> None:
    nodes = [
        onnx.helper.make_node("Cast", ["x"], ["n"], to=onnx.TensorProto.INT64, name="to_int"),
        onnx.helper.make_node("ConstantOfShape", ["n"], ["y"], name="fill"),
    ]
    model = model_of(nodes, {"x": (2,)}, {"y": ("a", "b")})
    error = refused(onnx.shape_inference.infer_shapes(model))  # as exporters do: it tells the type of n
    assert [node.name for node in error.nodes] == ["to_int", "fill"]
    assert error.nodes[1].reason == "ConstantOfShape depends on the input"


def test_second_outputs_that_are_used() -> None:
    node = onnx.helper.make_node("MaxPool", ["x"], ["y", "where"], kernel_shape=[2], name="pool")
    model = model_of([node, onnx.helper.make_node("Cast", ["where"], ["z"], to=FLOAT)], {"x": (1, 1, 4)}, ["y", "z"])
    (offender,) = refused(model).nodes
    assert offender.reason == "output 'where' of MaxPool is used, only the first is converted"


def test_second_outputs_that_are_not_used() -> None:
    node = onnx.helper.make_node("MaxPool", ["x"], ["y", "where"], kernel_shape=[2])
    assert len(convert(load(model_of([node], {"x": (1, 1, 4)}, ["y"]))).nodes) == 1


def test_other_operator_sets() -> None:
    model = model_of(
        [onnx.helper.make_node("Relu", ["x"], ["y"], domain="com.example", name="n")], {"x": (3,)}, {"y": (3,)}
    )
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    (node,) = refused(model).nodes
    assert node.reason == "there is no conversion for Relu of the operator set 'com.example'"


def test_noise_is_not_computed_at_conversion() -> None:
    nodes = [
        onnx.helper.make_node("RandomNormal", [], ["r"], shape=[3], name="noise"),
        onnx.helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    (node,) = refused(model_of(nodes, {"x": (3,)}, ["y"])).nodes
    assert node.rewrite == "draw the noise before encryption and feed it as an input"


def test_constants_that_are_not_computed() -> None:
    nodes = [
        onnx.helper.make_node("NonZero", ["c"], ["n"], name="nonzero"),
        onnx.helper.make_node("Cast", ["n"], ["f"], to=FLOAT),
        onnx.helper.make_node("ReduceSum", ["f"], ["s"], keepdims=0),
        onnx.helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    offenders = refused(model_of(nodes, {"x": (3,)}, ["y"], {"c": np.float32([1, 0])})).nodes
    assert offenders[0].reason == "there is no conversion for NonZero"


@pytest.mark.parametrize("op_type", ["LSTM", "If", "QuantizeLinear", "Floor", "GridSample", "Einsum", "Foo"])
def test_every_op_has_a_rewrite(op_type: str) -> None:
    assert op_type not in TABLE
    assert len(rewrite_of(op_type)) > 20


def test_a_similar_op_is_named() -> None:
    assert rewrite_of("Softsigns") == "write it with the operators in docs/operators.md, Softsign for example"


@pytest.mark.parametrize(
    ("trace", "scopes", "origin"),
    [
        (TRACE, "['', 'body', 'body.0', 'sin']", "body.0 (net.py:12)"),
        (TRACE, "['', 'sin']", "(net.py:12)"),
        ("", "['', 'body', 'sin']", "body"),
        ("", "[", "relu_1"),
        ("garbage", "7", "relu_1"),
        ('File "C:\\x # y\\net.py", line 3, in f', "[]", "(net.py:3)"),
    ],
)
def test_nodes_remember_where_they_come_from(trace: str, scopes: str, origin: str) -> None:
    node = with_metadata(onnx.helper.make_node("Relu", ["x"], ["y"], name="relu_1"), trace, scopes)
    assert convert(load(model_of([node], {"x": (3,)}, ["y"]))).nodes[0].origin == origin
