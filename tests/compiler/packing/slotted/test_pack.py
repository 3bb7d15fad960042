"""Packed for CKKS and run in the clear, a graph gives what it gives on tensors."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.packed_models import SHIFTED, Network, check_packed, mlp, shape

from enclair.compiler.errors import CompileError, PackingError
from enclair.compiler.ir.graph import Graph, Value
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.ckks import EvaluatePolynomial, LinearTransform
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.reductions import ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import (
    Concat,
    DepthToSpace,
    Gather,
    Pad,
    Reshape,
    Resize,
    Slice,
    SpaceToDepth,
    Transpose,
)
from enclair.compiler.ir.types import RealSlotsType
from enclair.compiler.packing.slotted import diagonals
from enclair.compiler.packing.slotted.pack import Packed, PackingOptions, pack
from enclair.compiler.packing.slotted.rotation_keys import rotation_uses

FEW = PackingOptions(width=3)


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    """CNNs with strides, groups, dilations, skips and joins."""
    net = Network("cnn", draw(st.integers(0, 9)))
    x = net.input(draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2, 3])), *draw(sizes()))
    for _ in range(draw(st.integers(1, 3))):
        x = draw(layers(net, x))
        if draw(st.booleans()):
            x = net.cubic(x)
    if draw(st.booleans()):
        x = net.dense(net.flat(x), draw(st.sampled_from([1, 5, 8])))
    return net.build(x)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    return draw(st.integers(3, 9)), draw(st.integers(3, 9))


@st.composite
def layers(draw: st.DrawFn, net: Network, x: Value) -> Value:
    channels = shape(x)[1]
    kinds = ["conv", "skip", "pool", "strided join"]
    kind = draw(st.sampled_from(kinds if min(shape(x)[2:]) >= 3 else ["pointwise"]))
    if kind == "conv":
        groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
        outputs = groups * draw(st.sampled_from([1, 2, 3]))
        stride, dilation = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2)]))
        pad = draw(st.sampled_from([dilation, 2]))
        return net.conv(x, outputs, stride=stride, pad=pad, dilation=dilation, groups=groups)
    if kind == "skip":
        return net.sum(net.conv(net.cubic(net.conv(x, 2)), channels), x)
    if kind == "pool":
        return net.pool(x)
    if kind == "strided join":
        return net.sum(net.conv(net.cubic(net.conv(x, 3, stride=2)), 4), net.conv(x, 4, kernel=1, stride=2, pad=0))
    return net.conv(x, 2, kernel=1, pad=0)


@settings(deadline=None, max_examples=30)
@given(graph=networks(), slots=st.sampled_from([64, 256, 1024]))
def test_packed_equals_tensors(graph: Graph, slots: int) -> None:
    check_packed(graph, partial(pack, slots=slots, options=FEW))


@pytest.mark.parametrize("widths", [(20, 16, 8, 3), (7, 5, 1), (100, 3)])
@pytest.mark.parametrize("slots", [16, 128, 512])
@pytest.mark.parametrize("batch", [1, 3])
def test_perceptrons(widths: tuple[int, ...], slots: int, batch: int) -> None:
    check_packed(mlp(*widths, batch=batch), partial(pack, slots=slots, options=FEW))


def test_channels_over_ciphertexts_and_images_over_ciphertexts() -> None:
    for slots in (32, 256):
        net = Network("cnn")
        x = net.cubic(net.conv(net.input(1, 2, 12, 12), 5))
        check_packed(net.build(net.conv(x, 3)), partial(pack, slots=slots, options=FEW))


@pytest.mark.parametrize("rank", [1, 3])
def test_signals_and_volumes(rank: int) -> None:
    net = Network("rank")
    x = net.cubic(net.input(1, 2, *(5,) * rank))
    op = Conv((2,) * rank, (1,) * 2 * rank, (1,) * rank, 1)
    x = net.builder.add(op, x, net.constant(3, 2, *(3,) * rank))
    check_packed(net.build(net.dense(net.flat(net.cubic(x)), 4)), partial(pack, slots=512, options=FEW))


def test_a_batch_shares_ciphertexts() -> None:
    one, many = (rotations_of(pack(mlp(60, 32, 10, batch=batch), 4096)) for batch in (1, 16))
    assert many <= one + 8
    net = Network("batch")
    x = net.square(net.conv(net.input(4, 1, 8, 8), 3, stride=2))
    packed = check_packed(net.build(net.dense(net.flat(x), 5)), partial(pack, slots=1024, options=FEW))
    assert packed.prologue.outputs[0].type == RealSlotsType(1, 1024)


OPS = {
    "transpose": lambda net, x: net.builder.add(Transpose((0, 1, 3, 2)), x),
    "slice": lambda net, x: net.builder.add(Slice((0, 1, 1, 0), (1, 4, 6, 6), (1, 2, 2, 1)), x),
    "gather": lambda net, x: net.builder.add(Gather(1, (3, 0, 0)), x),
    "pad": lambda net, x: net.builder.add(Pad((0, 0, 1, 2, 0, 0, 0, 1), value=0.5), x),
    "reflect": lambda net, x: net.builder.add(Pad((0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"), x),
    "resize": lambda net, x: net.builder.add(Resize((1, 1, 2, 2)), x),
    "shuffle": lambda net, x: net.builder.add(DepthToSpace(2, "CRD"), x),
    "depth to space": lambda net, x: net.builder.add(DepthToSpace(2, "DCR"), x),
    "space to depth": lambda net, x: net.builder.add(SpaceToDepth(2), x),
    "mean": lambda net, x: net.builder.add(ReduceMean((2, 3), True), x),
    "sum": lambda net, x: net.builder.add(ReduceSum((1,), False), x),
    "negative": lambda net, x: net.builder.add(Neg(), x),
    "per channel": lambda net, x: net.builder.add(Mul(), x, net.constant(4, 1, 1)),
    "per pixel": lambda net, x: net.builder.add(Mul(), x, net.constant(6, 6)),
    "constant minus": lambda net, x: net.builder.add(Sub(), net.constant(1), x),
    "transposed": lambda net, x: net.builder.add(
        ConvTranspose((2, 2), (1, 1, 0, 0), (1, 1), 2, (1, 0)), x, net.constant(4, 3, 3, 3)
    ),
    "matrix on the left": lambda net, x: net.builder.add(MatMul(), net.constant(3, 6), x),
    "stack of matrices": lambda net, x: net.builder.add(MatMul(), x, net.constant(4, 6, 2)),
    "concat": lambda net, x: net.builder.add(Concat(1), x, net.cubic(x), net.constant(1, 1, 6, 6)),
    "gate": lambda net, x: net.builder.add(Mul(), x, net.cubic(net.builder.add(ReduceMean((2, 3), True), x))),
    "pooled": lambda net, x: net.conv(net.pool(x), 3),
    "twice": lambda net, x: net.sum(net.conv(x, 4), net.conv(x, 4, kernel=1, pad=0)),
}


@pytest.mark.parametrize("slots", [64, 512])
@pytest.mark.parametrize("name", OPS)
def test_every_op_between_activations(name: str, slots: int) -> None:
    net = Network("one")
    x = net.cubic(net.conv(net.input(1, 3, 6, 6), 4))
    check_packed(net.build(net.cubic(OPS[name](net, x))), partial(pack, slots=slots, options=FEW))


@pytest.mark.parametrize("name", OPS)
def test_every_op_on_what_the_client_sends(name: str) -> None:
    net = Network("one")
    check_packed(net.build(OPS[name](net, net.input(1, 4, 6, 6))), partial(pack, slots=256, options=FEW))


def test_several_inputs_and_outputs() -> None:
    net = Network("two")
    x, y = net.input(1, 6, name="x"), net.input(1, 6, name="y")
    product = net.builder.add(Mul(), x, y)
    check_packed(net.build(net.dense(product, 3), net.builder.add(Add(), x, y)), partial(pack, slots=32, options=FEW))


def test_slots_without_an_element_stay_where_the_polynomial_is_small() -> None:
    net = Network("shifted")
    x = net.builder.add(SHIFTED, net.builder.add(Mul(), net.input(1, 5), net.builder.constant("c", np.array(0.1))))
    packed = check_packed(net.build(net.builder.add(SHIFTED, x)), partial(pack, slots=16, options=FEW))
    assert any(isinstance(node.op, EvaluatePolynomial) for node in packed.server.nodes)


def test_a_nonlinear_op_is_refused_by_name() -> None:
    net = Network("relu")
    x = net.builder.add(Relu(), net.input(1, 4))
    with pytest.raises(PackingError, match="Relu has no form on CKKS slots: approximate it by polynomials first"):
        pack(net.build(x), 16)


def test_names_of_ciphertexts_are_free() -> None:
    net = Network("names")
    x, y = net.input(1, 4), net.input(1, 4, name="x.up")
    with pytest.raises(CompileError, match=r"the model has values called x\.up, as ciphertexts of other values are"):
        pack(net.build(net.sum(x, y)), 16)
    net = Network("names")
    x = net.builder.add(Neg(), net.input(1, 4, name="select"), name="addciphers")
    check_packed(net.build(net.cubic(net.sum(x, net.square(x)))), partial(pack, slots=16))


def test_a_large_convolution_shares_its_masks() -> None:
    net = Network("large")
    packed = pack(net.build(net.conv(net.input(1, 16, 128, 128), 16)), 16384, options=FEW)
    (node,) = [node for node in packed.server.nodes if isinstance(node.op, LinearTransform)]
    vectors = packed.server.constant(node.args[6])
    assert vectors.shape == (9, 16384)
    assert rotations_of(packed) <= 8


def rotations_of(packed: Packed) -> int:
    return len(rotation_uses(packed.server))


@pytest.mark.parametrize("slots", [64, 512, 4096])
@pytest.mark.parametrize(
    ("left", "right"),
    [((1, 2, 4, 8), (1, 2, 8, 4)), ((3, 5), (5, 7)), ((2, 3, 6), (6, 4)), ((5,), (5, 3)), ((2, 4), (4,)), ((6,), (6,))],
)
def test_products_of_two_encrypted_matrices(left: tuple[int, ...], right: tuple[int, ...], slots: int) -> None:
    net = Network("product")
    x, y = net.cubic(net.input(*left, name="x")), net.cubic(net.input(*right, name="y"))
    product = net.builder.add(MatMul(), x, y)
    check_packed(net.build(net.builder.add(Mul(), product, product)), partial(pack, slots=slots, options=FEW))


def attention(tokens: int, heads: int, width: int) -> Graph:
    """One block: query, key and value of tokens, their products, a polynomial for the exponential, and the sums."""
    net = Network("attention")
    x = net.input(1, tokens, heads * width)
    parts = []
    for _ in range(3):
        split = net.builder.add(Reshape((1, tokens, heads, width)), net.dense(x, heads * width))
        parts.append(net.builder.add(Transpose((0, 2, 1, 3)), split))
    query, key, value = parts
    scores = net.builder.add(MatMul(), query, net.builder.add(Transpose((0, 1, 3, 2)), key))
    powers = net.cubic(net.builder.add(Mul(), scores, net.builder.constant("c", np.array(0.1))))
    total = net.cubic(net.builder.add(ReduceMean((3,), True), powers))
    mixed = net.builder.add(MatMul(), net.builder.add(Mul(), powers, total), value)
    joined = net.builder.add(Transpose((0, 2, 1, 3)), mixed)
    return net.build(net.dense(net.builder.add(Reshape((1, tokens, heads * width)), joined), heads * width))


@pytest.mark.parametrize(("tokens", "heads", "width", "slots"), [(4, 2, 4, 256), (3, 2, 5, 128), (8, 2, 8, 2048)])
def test_attention(tokens: int, heads: int, width: int, slots: int) -> None:
    check_packed(attention(tokens, heads, width), partial(pack, slots=slots, options=FEW))


def fused_attention(tokens: int, heads: int, width: int) -> Graph:
    """The same with query, key and value in one matrix, as exported models have them."""
    net = Network("fused")
    joint = net.dense(net.input(1, tokens, heads * width), 3 * heads * width)
    split = net.builder.add(Reshape((1, tokens, 3, heads, width)), joint)
    parts = net.builder.add(Transpose((2, 0, 3, 1, 4)), split)
    query, key, value = (
        net.builder.add(Reshape((1, heads, tokens, width)), net.builder.add(Gather(0, (k,)), parts)) for k in range(3)
    )
    scores = net.builder.add(MatMul(), query, net.builder.add(Transpose((0, 1, 3, 2)), key))
    mixed = net.builder.add(MatMul(), net.cubic(scores), value)
    joined = net.builder.add(Transpose((0, 2, 1, 3)), mixed)
    return net.build(net.dense(net.builder.add(Reshape((1, tokens, heads * width)), joined), heads * width))


def test_query_key_and_value_are_computed_in_one() -> None:
    packed = check_packed(fused_attention(4, 2, 4), partial(pack, slots=256, options=FEW))
    assert "transpose" in packed.layouts


def test_many_diagonals_are_written_as_masks_times_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network("masks")
    graph = net.build(net.conv(net.square(net.conv(net.input(1, 4, 8, 8), 8)), 8))
    whole = check_packed(graph, partial(pack, slots=256, options=FEW))
    monkeypatch.setattr(diagonals, "MOST_VECTOR_BYTES", 0)
    masked = check_packed(graph, partial(pack, slots=256, options=FEW))
    assert vectors_of(masked) < vectors_of(whole)
    assert rotation_uses(masked.server).keys() == rotation_uses(whole.server).keys()


def vectors_of(packed: Packed) -> int:
    transforms = [node for node in packed.server.nodes if isinstance(node.op, LinearTransform)]
    return sum(len(packed.server.constant(node.args[6])) for node in transforms)
