"""Ops that move elements, and ops computed at conversion, against onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.frontends.onnx_models import agree, agree_model, model_of, normal, opsets, opsets_from, seeds

SHAPE = (2, 3, 4, 6)


def ints(*values: int) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)


@given(
    target=st.sampled_from([(6, 24), (-1,), (0, 0, -1), (2, -1, 3), (0, 3, 2, 12), (1, 144)]),
    seed=seeds,
    opset=opsets,
)
def test_reshape(target: tuple[int, ...], seed: int, opset: int) -> None:
    agree("Reshape", [normal(seed, *SHAPE), ints(*target)], constant=(1,), opset=opset)


@given(axis=st.none() | st.integers(-4, 4), seed=seeds, opset=opsets)
def test_flatten(axis: int | None, seed: int, opset: int) -> None:
    agree("Flatten", [normal(seed, *SHAPE)], opset=opset, axis=axis)


@given(axes=st.none() | st.lists(st.sampled_from([0, 2, -1]), min_size=1, unique=True), opset=opsets)
def test_squeeze(axes: list[int] | None, opset: int) -> None:
    x = normal(0, 1, 3, 1, 4, 1)
    if opset < 13:
        agree("Squeeze", [x], opset=opset, axes=axes)
    else:
        agree("Squeeze", [x] if axes is None else [x, ints(*axes)], constant=(1,), opset=opset)


@given(axes=st.lists(st.integers(-4, 3), min_size=1, max_size=2, unique_by=lambda axis: axis % 4), opset=opsets)
def test_unsqueeze(axes: list[int], opset: int) -> None:
    x = normal(0, *range(2, 6 - len(axes)))
    if opset < 13:
        agree("Unsqueeze", [x], opset=opset, axes=axes)
    else:
        agree("Unsqueeze", [x, ints(*axes)], constant=(1,), opset=opset)


@given(perm=st.none() | st.permutations(range(4)), seed=seeds, opset=opsets)
def test_transpose(perm: list[int] | None, seed: int, opset: int) -> None:
    agree("Transpose", [normal(seed, *SHAPE)], opset=opset, perm=perm)


@given(axis=st.integers(-3, 2), count=st.integers(1, 3), constant=st.booleans(), seed=seeds, opset=opsets)
def test_concat(axis: int, count: int, constant: bool, seed: int, opset: int) -> None:
    shapes = [[2, 3, 4] for _ in range(count)]
    for number, shape in enumerate(shapes):
        shape[axis] = number + 1
    args = [normal(seed + at, *shape) for at, shape in enumerate(shapes)]
    agree("Concat", args, constant=(0,) if constant and count > 1 else (), opset=opset, axis=axis)


@given(
    data=st.data(), axes=st.none() | st.lists(st.integers(-2, 1), min_size=1, unique_by=lambda a: a % 2), opset=opsets
)
def test_slice(data: st.DataObject, axes: list[int] | None, opset: int) -> None:
    x = normal(0, 5, 6)
    count = 2 if axes is None else len(axes)
    bound = st.lists(st.integers(-8, 8) | st.just(-(2**63)) | st.just(2**63 - 1), min_size=count, max_size=count)
    starts, stops = data.draw(bound), data.draw(bound)
    steps = data.draw(st.lists(st.sampled_from([1, 2, 3, -1, -2]), min_size=count, max_size=count))
    where = range(2) if axes is None else axes
    parts = [onnx_slice(x.shape[at], *bounds) for at, *bounds in zip(where, starts, stops, steps, strict=True)]
    assume(all(parts))
    optional = [None if axes is None else ints(*axes), ints(*steps)]
    agree("Slice", [x, ints(*starts), ints(*stops), *optional], constant=(1, 2, 3, 4), opset=opset)


def onnx_slice(extent: int, start: int, stop: int, step: int) -> range:
    """The positions that ONNX takes, by its own words: bounds are clamped, negative ones count from the end."""
    low, high = (0, extent) if step > 0 else (-1, extent - 1)
    first = min(max(start + extent if start < 0 else start, 0), extent if step > 0 else extent - 1)
    last = min(max(stop + extent if stop < 0 else stop, low), high)
    return range(first, last, step)


@given(
    case=st.sampled_from([(0, [1, 1]), (1, [1, 2]), (2, [2, 1, 1]), (-1, [3, 3]), (3, [6])]),
    even=st.booleans(),
    seed=seeds,
    opset=opsets,
)
def test_split(case: tuple[int, list[int]], even: bool, seed: int, opset: int) -> None:
    axis, sizes = case
    x = normal(seed, *SHAPE)
    if even:
        assume(len(set(sizes)) == 1)
        agree("Split", [x], opset=opset, outputs=len(sizes), axis=axis, num_outputs=len(sizes) if opset >= 18 else None)
    elif opset < 13:
        agree("Split", [x], opset=opset, outputs=len(sizes), axis=axis, split=sizes)
    else:
        agree("Split", [x, ints(*sizes)], constant=(1,), opset=opset, outputs=len(sizes), axis=axis)


@given(extent=st.integers(3, 9), count=st.integers(2, 3), opset=opsets_from(18))
def test_split_into_uneven_parts(extent: int, count: int, opset: int) -> None:
    assume(-(-extent // count) * (count - 1) < extent)
    agree("Split", [normal(0, 2, extent)], opset=opset, outputs=count, axis=1, num_outputs=count)


@given(
    mode=st.sampled_from(["constant", "reflect", "edge"]),
    begins=st.lists(st.integers(0, 2), min_size=3, max_size=3),
    ends=st.lists(st.integers(0, 2), min_size=3, max_size=3),
    value=st.none() | st.floats(-2, 2, width=32),
    opset=opsets,
)
def test_pad(mode: str, begins: list[int], ends: list[int], value: float | None, opset: int) -> None:
    args = [normal(0, 3, 4, 5), ints(*begins, *ends), *[np.asarray(value, dtype=np.float32)] * (value is not None)]
    agree("Pad", args, constant=(1, 2), opset=opset, mode=mode)


@given(pads=st.lists(st.integers(0, 2), min_size=6, max_size=6), opset=opsets_from(19))
def test_pad_from_the_other_end(pads: list[int], opset: int) -> None:
    agree("Pad", [normal(0, 3, 4, 5), ints(*pads)], constant=(1,), opset=opset, mode="wrap")


@given(pads=st.lists(st.integers(-1, 2), min_size=4, max_size=4), opset=opsets_from(18))
def test_pad_some_axes_and_crop(pads: list[int], opset: int) -> None:
    agree("Pad", [normal(0, 3, 4, 5), ints(*pads), None, ints(2, 0)], constant=(1, 3), opset=opset)


@pytest.mark.parametrize("op", ["DepthToSpace", "SpaceToDepth"])
@given(block=st.integers(1, 3), mode=st.sampled_from(["CRD", "DCR", None]), seed=seeds, opset=opsets)
def test_depth_and_space(op: str, block: int, mode: str | None, seed: int, opset: int) -> None:
    shape = (2, 2 * block**2, 2, 3) if op == "DepthToSpace" else (2, 3, 2 * block, 3 * block)
    agree(op, [normal(seed, *shape)], opset=opset, blocksize=block, mode=mode if op == "DepthToSpace" else None)


@given(
    axis=st.integers(-3, 2),
    indices=st.sampled_from([0, -1, [0], [1, 0], [0, 1], [-1, 0, -1], [[0, 1], [1, 1]]]),
    seed=seeds,
    opset=opsets,
)
def test_gather(axis: int, indices: int | list[int], seed: int, opset: int) -> None:
    agree("Gather", [normal(seed, 2, 3, 4), np.int64(indices)], constant=(1,), opset=opset, axis=axis)


def test_evenly_spaced_indices_are_a_slice() -> None:
    graph = agree("Gather", [normal(0, 2, 9), ints(1, 4, 7)], constant=(1,), axis=1)
    assert [repr(node.op) for node in graph.nodes] == ["Slice(starts=(0, 1), stops=(2, 8), steps=(1, 3))"]


@given(shape=st.sampled_from([(2, 3, 4), (3, 1), (1,), (5, 2, 3, 1)]), opset=opsets)
def test_expand(shape: tuple[int, ...], opset: int) -> None:
    agree(
        "Expand", [normal(0, 3, 1) if len(shape) < 3 else normal(0, 1, 3, 1), ints(*shape)], constant=(1,), opset=opset
    )


@given(repeats=st.lists(st.sampled_from([1, 2, 3, 9]), min_size=3, max_size=3), opset=opsets)
def test_tile(repeats: list[int], opset: int) -> None:
    agree("Tile", [normal(0, 2, 1, 3), ints(*repeats)], constant=(1,), opset=opset)


COORDINATES = st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
ROUNDING = st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])


@given(
    factors=st.tuples(st.integers(1, 3), st.integers(1, 3)), by_size=st.booleans(), coordinates=COORDINATES,
    rounding=ROUNDING, opset=opsets,
)  # fmt: skip
def test_resize_by_integers(
    factors: tuple[int, int], by_size: bool, coordinates: str, rounding: str, opset: int
) -> None:
    x, roi = normal(0, 1, 2, 3, 4), np.float32([])
    scales = np.float32([1, 1, *factors])
    sizes = np.int64(np.array(x.shape) * scales)
    args = [x, roi, np.float32([]), sizes] if by_size else [x, roi, scales]
    attributes = {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    agree("Resize", args, constant=(1, 2, 3), opset=opset, **attributes)


@given(sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)), rounding=ROUNDING, opset=opsets)
def test_resize_to_any_size(sizes: tuple[int, int], rounding: str, opset: int) -> None:
    args = [normal(0, 1, 2, 5, 4), np.float32([]), np.float32([]), ints(1, 2, *sizes)]
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": rounding}
    agree("Resize", args, constant=(1, 2, 3), opset=opset, **attributes)


def test_torch_upsample_is_a_resize() -> None:
    args = [normal(0, 1, 2, 3, 4), None, np.float32([1, 1, 2, 2])]
    graph = agree("Resize", args, constant=(2,), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    assert [repr(node.op) for node in graph.nodes] == ["Resize(factors=(1, 1, 2, 2))"]


def test_a_shape_computation_is_folded() -> None:
    """x.view(x.shape[0], -1) as older exporters write it."""
    one = onnx.numpy_helper.from_array(np.float32([1]))
    nodes = [
        onnx.helper.make_node("Shape", ["x"], ["shape"]),
        onnx.helper.make_node("Gather", ["shape", "zero"], ["rows"], axis=0),
        onnx.helper.make_node("Unsqueeze", ["rows", "axes"], ["row_list"]),
        onnx.helper.make_node("Concat", ["row_list", "rest"], ["target"], axis=0),
        onnx.helper.make_node("Reshape", ["x", "target"], ["flat"]),
        onnx.helper.make_node("Size", ["x"], ["size"]),
        onnx.helper.make_node("Cast", ["size"], ["count"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ConstantOfShape", ["target_2"], ["ones"], value=one),
        onnx.helper.make_node("Mul", ["ones", "count"], ["factor"]),
        onnx.helper.make_node("Mul", ["flat", "factor"], ["y"]),
    ]
    constants = {"zero": np.int64(0), "axes": ints(0), "rest": ints(-1), "target_2": ints(1, 12)}
    graph = agree_model(model_of(nodes, {"x": (2, 3, 4)}, ["y"], constants), {"x": normal(0, 2, 3, 4)})
    assert [type(node.op).__name__ for node in graph.nodes] == ["Reshape", "Mul"]


@pytest.mark.parametrize("ratio", [None, np.float32(0.5)])
def test_dropout_does_nothing(ratio: np.float32 | None) -> None:
    args = [normal(0, 3, 4)] if ratio is None else [normal(0, 3, 4), np.asarray(ratio)]
    agree("Dropout", args, constant=(1,))


def test_outputs_that_are_inputs_constants_and_copies_keep_their_names() -> None:
    nodes = [
        onnx.helper.make_node("Identity", ["x"], ["same"]),
        onnx.helper.make_node("Relu", ["x"], ["y 1/raw".replace(" ", "_")]),
        onnx.helper.make_node("Identity", ["y_1/raw"], ["copy"]),
        onnx.helper.make_node("Identity", ["c"], ["fixed"]),
    ]
    outputs = ["same", "y_1/raw", "copy", "fixed"]
    graph = agree_model(model_of(nodes, {"x": (2,)}, outputs, {"c": np.float32([1, 2])}), {"x": normal(0, 2)})
    assert [value.name for value in graph.outputs] == outputs


def test_names_are_sanitised_and_unique() -> None:
    nodes = [
        onnx.helper.make_node("Add", ["x", "a b"], ["m:1"]),
        onnx.helper.make_node("Add", ["m:1", "a:b"], ["m 1"]),
        onnx.helper.make_node("Add", ["m 1", "a_b"], ["m_1"]),
    ]
    constants = {"a b": np.float32([1]), "a:b": np.float32([2]), "a_b": np.float32([3])}
    graph = agree_model(model_of(nodes, {"x": (2,)}, ["m_1"], constants), {"x": normal(0, 2)})
    assert [value.name for value in graph.constants] == ["a_b", "a_b.1", "a_b.2"]
    assert [node.out.name for node in graph.nodes] == ["m_1.1", "m_1.2", "m_1"]
