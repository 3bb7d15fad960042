"""Pools, reductions and normalisations against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.frontends.onnx_models import agree, normal, opsets, opsets_from, seeds, single_node

from enclair.compiler.ir.reference import run
from enclair.frontends.onnx_convert import convert
from enclair.frontends.onnx_load import load


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Attributes of a pool, and the extents it fits."""
    rank = draw(st.integers(1, 3))
    each = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    kernel = draw(each)
    auto_pad = draw(st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    pads = [draw(st.integers(0, k - 1)) for k in kernel * 2] if auto_pad == "NOTSET" else None
    return {
        "kernel_shape": kernel,
        "strides": draw(st.none() | each),
        "pads": pads,
        "auto_pad": auto_pad,
        "ceil_mode": draw(st.integers(0, 1)) if auto_pad == "NOTSET" else 0,
        "extents": draw(st.lists(st.integers(5, 8), min_size=rank, max_size=rank)),
    }


@given(window=windows(), dilated=st.booleans(), seed=seeds, opset=opsets)
def test_max_pool(window: dict[str, Any], dilated: bool, seed: int, opset: int) -> None:
    extents = window.pop("extents")
    if dilated and window["auto_pad"] == "NOTSET":
        window["dilations"] = [2] * len(extents)
    agree("MaxPool", [normal(seed, 2, 3, *extents)], opset=opset, **window)


@given(window=windows(), counted=st.integers(0, 1), seed=seeds, opset=opsets)
def test_average_pool(window: dict[str, Any], counted: int, seed: int, opset: int) -> None:
    extents = window.pop("extents")
    agree("AveragePool", [normal(seed, 2, 3, *extents)], opset=opset, count_include_pad=counted, **window)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@given(extents=st.lists(st.integers(1, 5), min_size=1, max_size=3), seed=seeds, opset=opsets)
def test_global_pools(op: str, extents: list[int], seed: int, opset: int) -> None:
    agree(op, [normal(seed, 2, 3, *extents)], opset=opset)


REDUCTIONS = [
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp",
]  # fmt: skip


@pytest.mark.parametrize("op", REDUCTIONS)
@given(
    axes=st.none() | st.lists(st.integers(-3, 2), min_size=1, max_size=3, unique_by=lambda axis: axis % 3),
    keepdims=st.none() | st.integers(0, 1),
    seed=seeds,
    opset=opsets,
)
def test_reductions(op: str, axes: list[int] | None, keepdims: int | None, seed: int, opset: int) -> None:
    x = normal(seed, 2, 3, 4)
    if opset < (13 if op == "ReduceSum" else 18):
        agree(op, [x], opset=opset, axes=axes, keepdims=keepdims)
        return
    args = [x] if axes is None else [x, np.int64(axes)]
    agree(op, args, constant=(1,), opset=opset, keepdims=keepdims, noop_with_empty_axes=axes and 1)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceLogSumExp"])
def test_no_axes_can_mean_no_reduction(op: str) -> None:
    x = normal(0, 2, 3)
    model, _ = single_node(op, [x], (), 18, 1, noop_with_empty_axes=1)
    graph = convert(load(model))
    np.testing.assert_array_equal(run(graph, {"x0": x})["y0"], x)


@given(seed=seeds, opset=opsets, rank=st.integers(2, 5), epsilon=st.none() | st.floats(1e-6, 0.1))
def test_batch_normalization(seed: int, opset: int, rank: int, epsilon: float | None) -> None:
    scale, bias, mean, var = (normal(seed + at, 3) for at in range(4))
    args = [normal(seed + 4, 2, 3, 4, 5, 2)[(..., *[0] * (5 - rank))], scale, bias, mean, np.abs(var) + np.float32(0.1)]
    agree("BatchNormalization", args, constant=(1, 2, 3, 4), opset=opset, epsilon=epsilon)


@given(axis=st.none() | st.integers(-3, 2), bias=st.booleans(), seed=seeds, opset=opsets_from(17))
def test_layer_normalization(axis: int | None, bias: bool, seed: int, opset: int) -> None:
    x = normal(seed, 2, 3, 4)
    shape = x.shape[-1 if axis is None else axis :]
    args = [x, normal(seed + 1, *shape), *[normal(seed + 2, *shape)] * bias]
    agree("LayerNormalization", args, constant=(1, 2), opset=opset, axis=axis, epsilon=1e-3)


@given(seed=seeds, opset=opsets, extents=st.lists(st.integers(2, 4), min_size=1, max_size=3))
def test_instance_normalization(seed: int, opset: int, extents: list[int]) -> None:
    args = [normal(seed, 2, 3, *extents), normal(seed + 1, 3), normal(seed + 2, 3)]
    agree("InstanceNormalization", args, constant=(1, 2), opset=opset, epsilon=1e-3)


@given(seed=seeds, groups=st.sampled_from([1, 2, 3, 6]), opset=opsets_from(21))
def test_group_normalization(seed: int, groups: int, opset: int) -> None:
    args = [normal(seed, 2, 6, 4, 3), normal(seed + 1, 6), normal(seed + 2, 6)]
    agree(
        "GroupNormalization", args, constant=(1, 2), opset=opset, shape=args[0].shape, num_groups=groups, epsilon=1e-3
    )
