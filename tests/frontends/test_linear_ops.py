"""Convolutions and matrix products against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.frontends.onnx_models import agree, normal, opsets, seeds

from enclair.compiler.ir.ops.linear import Conv, ConvTranspose

AUTO_PADS = st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, object]:
    """Shapes and attributes of a convolution that has at least one window."""
    rank, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    each = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    kernel, strides = draw(each), draw(each)
    auto_pad = draw(AUTO_PADS)
    # onnxruntime computes SAME_* for undilated kernels only
    dilations = (
        [1] * rank if auto_pad.startswith("SAME") else draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank))
    )
    pads = draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank)) if auto_pad == "NOTSET" else None
    extents = draw(st.lists(st.integers(5, 7), min_size=rank, max_size=rank))
    attributes = {
        "strides": strides, "dilations": dilations, "pads": pads, "group": groups, "auto_pad": auto_pad,
        "kernel_shape": draw(st.sampled_from([kernel, None])),
    }  # fmt: skip
    channels, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return {
        "x": (draw(st.integers(1, 2)), channels * groups, *extents),
        "w": (outputs * groups, channels, *kernel),
        "attributes": attributes,
    }


@given(convolution=convolutions(), bias=st.booleans(), seed=seeds, opset=opsets)
def test_conv(convolution: dict[str, object], bias: bool, seed: int, opset: int) -> None:
    w = normal(seed, *convolution["w"])
    args = [normal(seed + 1, *convolution["x"]), w, *[normal(seed + 2, len(w))] * bias]
    agree("Conv", args, constant=(1, 2), opset=opset, **convolution["attributes"])


@given(convolution=convolutions(), bias=st.booleans(), seed=seeds, opset=opsets, data=st.data())
def test_conv_transpose(convolution: dict[str, object], bias: bool, seed: int, opset: int, data: st.DataObject) -> None:
    attributes = dict(convolution["attributes"])
    channels = convolution["x"][1]
    kernel = convolution["w"][2:]
    spans = [d * (k - 1) + 1 for d, k in zip(attributes["dilations"], kernel, strict=True)]
    if attributes["pads"] is not None:  # crop less than what is there
        attributes["pads"] = [min(p, s - 1) for p, s in zip(attributes["pads"], spans * 2, strict=True)]
    if attributes["auto_pad"].startswith("SAME"):  # defined as long as the kernel covers the stride
        attributes["strides"] = [min(s, k) for s, k in zip(attributes["strides"], kernel, strict=True)]
    extra = [data.draw(st.integers(0, s - 1)) for s in attributes["strides"]]
    attributes["output_padding"] = extra if attributes["auto_pad"] == "NOTSET" else None
    outputs = data.draw(st.integers(1, 2))
    w = normal(seed, channels, outputs, *kernel)
    args = [normal(seed + 1, *convolution["x"]), w, *[normal(seed + 2, outputs * attributes["group"])] * bias]
    agree("ConvTranspose", args, constant=(1, 2), opset=opset, **attributes)


def test_conv_transpose_with_output_shape() -> None:
    args = [normal(0, 1, 2, 5, 5), normal(1, 2, 3, 4, 4)]
    graph = agree("ConvTranspose", args, constant=(1,), strides=[2, 2], output_shape=[11, 10])
    assert graph.outputs[0].type.shape == (1, 3, 11, 10)


def test_bias_is_an_addition_of_a_constant() -> None:
    graph = agree("Conv", [normal(0, 1, 2, 5, 5), normal(1, 3, 2, 3, 3), normal(2, 3)], constant=(1, 2))
    assert [type(node.op).__name__ for node in graph.nodes] == ["Conv", "Add"]
    assert graph.nodes[1].args[1].type.shape == (3, 1, 1)


@given(
    left=st.sampled_from([(4,), (3, 4), (2, 3, 4), (5, 1, 3, 4)]),
    right=st.sampled_from([(4,), (4, 6), (2, 4, 6), (5, 2, 4, 6)]),
    constant=st.sampled_from([(), (0,), (1,)]),
    seed=seeds,
    opset=opsets,
)
def test_matmul(
    left: tuple[int, ...], right: tuple[int, ...], constant: tuple[int, ...], seed: int, opset: int
) -> None:
    agree("MatMul", [normal(seed, *left), normal(seed + 1, *right)], constant=constant, opset=opset)


@given(
    transposed=st.tuples(st.booleans(), st.booleans()),
    factors=st.tuples(st.sampled_from([1.0, 0.5, -2.0]), st.sampled_from([1.0, 0.25, 0.0])),
    bias=st.sampled_from([None, (), (5,), (1, 5), (3, 1), (3, 5)]),
    constant=st.sampled_from([(1, 2), (2,), ()]),
    seed=seeds,
    opset=opsets,
)
def test_gemm(transposed, factors, bias, constant, seed: int, opset: int) -> None:
    a = normal(seed, *((4, 3) if transposed[0] else (3, 4)))
    b = normal(seed + 1, *((5, 4) if transposed[1] else (4, 5)))
    args = [a, b] if bias is None else [a, b, normal(seed + 2, *bias)]
    attributes = {"transA": int(transposed[0]), "transB": int(transposed[1]), "alpha": factors[0], "beta": factors[1]}
    kept = [index for index in constant if index < len(args)]
    if bias is None or 2 in kept:
        agree("Gemm", args, constant=kept, opset=opset, **attributes)
    else:
        agree("Gemm", [a, b, normal(seed + 2, 3, 5)], constant=kept, opset=opset, **attributes)


def test_gemm_with_constants_is_one_product_and_one_sum() -> None:
    args = [normal(0, 3, 4), normal(1, 5, 4), normal(2, 5)]
    graph = agree("Gemm", args, constant=(1, 2), transB=1, alpha=0.5, beta=2.0)
    assert [type(node.op).__name__ for node in graph.nodes] == ["MatMul", "Add"]


@pytest.mark.parametrize(("op", "cls"), [("Conv", Conv), ("ConvTranspose", ConvTranspose)])
def test_half_precision_weights_are_read(op: str, cls: type) -> None:
    import onnx
    from tests.frontends.onnx_models import model_of

    from enclair.frontends.onnx_convert import convert

    weights = normal(0, 2, 2, 3, 3)
    cast = onnx.helper.make_node("Cast", ["w"], ["w32"], to=onnx.TensorProto.FLOAT)
    node = onnx.helper.make_node(op, ["x", "w32"], ["y"])
    graph = convert(model_of([cast, node], {"x": (1, 2, 5, 5)}, ["y"], {"w": weights.astype(np.float16)}))
    assert [type(node.op) for node in graph.nodes] == [cls]
    np.testing.assert_array_equal(graph.constant(graph.constants[0]), weights.astype(np.float16))
