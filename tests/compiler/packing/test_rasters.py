"""Convolutions on coefficients: which images they take, how far apart rows lie, and what the packed op refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.compiler.packing.test_layouts_chosen import NARROW, WIDE, layouts, ops, packed
from tests.fixed import fixed_graph
from tests.models import Net
from tests.strategies import Draw

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.layouts import Raster, Tiles, Viewed
from enclair.compiler.ir.ops.ciphers import SubtractCiphers
from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose
from enclair.compiler.ir.ops.packed import AddPlain, HideUnheld, LinearCombination
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.slots import pack, unpack
from enclair.compiler.ir.types import CipherType, Encoding, TensorType
from enclair.compiler.packing.assemble import assemble, server_stage
from enclair.compiler.packing.candidates import candidates
from enclair.compiler.packing.packed_stage import Ring
from enclair.compiler.packing.polynomials import PolynomialBlocking
from enclair.compiler.packing.products import least_cost
from enclair.compiler.packing.rasters import RasterBlocking, raster_blockings
from enclair.compiler.packing.stage import split_parts
from enclair.compiler.planner.costs import StageCost, noise_growth, stage_cost

ONES = (1, 1)


@st.composite
def convolutions(draw: Draw) -> Graph:
    """A convolution, or the transpose of one with stride 1, of a small batch of images; integers at scale 1."""
    batch, inputs, outputs = (draw(st.integers(1, 2)) for _ in range(3))
    extents = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    kernel, dilations = (tuple(draw(st.integers(1, most)) for _ in extents) for most in (3, 2))
    pads, seed = tuple(draw(st.integers(0, 2)) for _ in range(4)), draw(st.integers(0, 99))
    builder, random = Builder("image"), np.random.default_rng(seed)
    x = builder.input("x", TensorType((batch, inputs, *extents), 0))
    if draw(st.booleans()):
        spans = [n + d * (k - 1) for n, d, k in zip(extents, dilations, kernel, strict=True)]
        assume(all(n > pads[axis] + pads[axis + 2] for axis, n in enumerate(spans)))
        extra = draw(st.integers(0, 1)), draw(st.integers(0, 1))
        op: Any = ConvTranspose(ONES, pads, dilations, 1, extra)
        shape: tuple[int, ...] = (inputs, outputs, *kernel)
    else:
        spans = [n + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) for i, n in enumerate(extents)]
        assume(min(spans) >= 1)
        op = Conv((draw(st.integers(1, 3)), draw(st.integers(1, 3))), pads, dilations, 1)
        shape = (outputs, inputs, *kernel)
    return builder.build([builder.add(op, x, builder.constant("w", random.integers(-9, 10, shape), 0))])


def in_coefficients(graph: Graph, blocking: RasterBlocking) -> tuple[Graph, Raster, Raster]:
    """The packed convolution, and where its argument and its result are."""
    (node,) = graph.nodes
    op = blocking.convolution(node)
    builder = Builder("packed")
    x = builder.input("x", CipherType(op.source.count, op.source.slots, 0, Encoding.COEFFICIENTS))
    y = builder.add(op, x, builder.constant("w", graph.arrays["w"], 0))
    return builder.build([builder.add(HideUnheld(op.target), y)]), op.source, op.target


@given(graph=convolutions(), ring_dim=st.sampled_from((64, 128, 256)), seed=st.integers(0, 99))
def test_a_product_is_the_convolution(graph: Graph, ring_dim: int, seed: int) -> None:
    for blocking in raster_blockings(graph, ring_dim):
        server, source, target = in_coefficients(graph, blocking)
        x = np.random.default_rng(seed).integers(-9, 10, source.shape)
        (wanted,) = run(graph, {"x": x}).values()
        (found,) = run(server, {"x": pack(source, x)}).values()
        np.testing.assert_array_equal(unpack(target, found), wanted)


@given(graph=convolutions())
def test_everything_fits_a_ring_that_is_large_enough(graph: Graph) -> None:
    assert len(list(raster_blockings(graph, 4096))) == 1


@given(graph=convolutions(), seed=st.integers(0, 99))
def test_noise_grows_by_the_weights_of_a_result(graph: Graph, seed: int) -> None:
    for blocking in raster_blockings(graph, 256):
        server, source, _ = in_coefficients(graph, blocking)
        convolved = replace(server, outputs=(server.nodes[0].out,), nodes=server.nodes[:1])
        noise = np.random.default_rng(seed).choice((-1, 1), (source.count, source.slots))
        (found,) = run(convolved, {"x": noise}).values()
        grown = noise_growth(convolved, 60.0, {})[server.nodes[0].out.name]
        assert np.abs(found).max() <= 2**grown * (1 + 1e-9)


def image(net: Net, *shape: int, **attributes: Any) -> Value:
    """A convolution of an input of this shape, 3x3 from all channels to two."""
    fields = {"strides": ONES, "pads": (0,) * 4, "dilations": ONES, "groups": 1, **attributes}
    channels = shape[1] // fields["groups"]
    return net.op(Conv(**fields), net.input(*shape), net.constant(2, channels, 3, 3))


def pitch_of(graph: Graph, ring_dim: int = 256) -> int:
    """Of the blocking that is found."""
    (blocking,) = raster_blockings(graph, ring_dim)
    return blocking.pitch


def test_rows_lie_close_where_nothing_outside_is_read() -> None:
    net = Net()
    assert pitch_of(net.graph(image(net, 1, 2, 6, 6)), 64) == 6


def test_rows_leave_room_for_padding_on_one_side() -> None:
    net = Net()
    assert pitch_of(net.graph(image(net, 1, 2, 6, 6, pads=(1,) * 4)), 64) == 7
    net = Net()
    assert pitch_of(net.graph(image(net, 1, 2, 6, 6, pads=(0, 2, 0, 1)))) == 8


def test_rows_are_as_long_as_what_a_transposed_convolution_makes() -> None:
    net = Net()
    op = ConvTranspose(ONES, (0,) * 4, ONES, 1, (0, 0))
    graph = net.graph(net.op(op, net.input(1, 2, 6, 6), net.constant(2, 3, 3, 3)))
    assert pitch_of(graph, 64) == 8
    assert list(raster_blockings(graph, 32)) == []


def test_convolutions_of_one_stage_share_a_pitch() -> None:
    net = Net()
    same = image(net, 1, 2, 6, 6, pads=(1,) * 4)
    wide = net.op(Conv(ONES, (2,) * 4, ONES, 1), net.input(1, 2, 6, 6, name="y"), net.constant(2, 2, 5, 5))
    graph = net.graph(net.op(Sub(), same, wide))
    assert pitch_of(graph) == 8


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((1, 2, 9, 9), {"pads": (1,) * 4}),
        ((1, 2, 6, 6), {"groups": 2}),
        ((1, 2, 70, 1), {"pads": (0, 1, 0, 1)}),
    ],
    ids=["too large", "in groups", "too high"],
)
def test_what_has_no_raster_stays_on_tiles(shape: tuple[int, ...], attributes: Any) -> None:
    net = Net()
    graph = net.graph(image(net, *shape, **attributes))
    assert list(raster_blockings(graph, 64)) == []
    assert {type(layout) for layout in layouts(packed(graph), "results")} == {Tiles}


def test_transposed_convolutions_that_spread_the_image_stay_on_tiles() -> None:
    net = Net()
    op = ConvTranspose((2, 1), (0,) * 4, ONES, 1, (0, 0))
    assert list(raster_blockings(net.graph(net.op(op, net.input(1, 1, 3, 3), net.constant(1, 1, 2, 2))), 256)) == []


def test_signals_stay_on_tiles() -> None:
    net = Net()
    assert list(raster_blockings(net.graph(net.conv(net.input(1, 1, 6), 2)), 256)) == []


def test_a_part_with_a_bias_and_a_stride() -> None:
    net = Net()
    biased = net.op(Add(), image(net, 2, 3, 7, 7, strides=(2, 2)), net.constant(2, 1, 1))
    assembled = packed(net.graph(biased), NARROW)
    (source,), (result,) = layouts(assembled, "uploads"), layouts(assembled, "results")
    assert (source, result) == (Raster((2, 3, 7, 7), 7, ONES, 64), Raster((2, 2, 3, 3), 7, (2, 2), 64))
    assert (source.count, result.count) == (6, 4)
    assert ops(assembled) == {PolynomialConvolution, AddPlain, HideUnheld}


def test_results_are_joined_scaled_and_reshaped_where_they_are() -> None:
    net = Net()
    x = image(net, 1, 3, 6, 6)
    y = net.op(Conv(ONES, (0,) * 4, ONES, 1), net.input(1, 1, 6, 6, name="y"), net.constant(2, 1, 3, 3))
    total = net.op(Neg(), net.op(Mul(), net.op(Sub(), x, y), net.constant()))
    flat = net.op(Add(), net.op(Reshape((2, 16)), total), net.constant(2, 16))
    assembled = packed(net.graph(flat), NARROW)
    assert ops(assembled) == {PolynomialConvolution, SubtractCiphers, LinearCombination, AddPlain, HideUnheld}
    assert layouts(assembled, "results") == [Viewed(Raster((1, 2, 4, 4), 6, ONES, 64), (2, 16))]


def test_results_that_are_not_equally_dense_are_joined_on_tiles() -> None:
    net = Net()
    fine = net.op(Conv(ONES, (0,) * 4, ONES, 1), net.input(1, 1, 3, 3), net.constant(1, 1, 1, 1))
    coarse = net.op(Conv((2, 2), (0,) * 4, ONES, 1), net.input(1, 1, 5, 5, name="y"), net.constant(1, 1, 1, 1))
    part = net.graph(net.op(Add(), fine, coarse))
    assert {type(layout) for layout in layouts(packed(part), "results")} == {Tiles}
    (stage,) = split_parts(server_stage(fixed_graph(part, 6), 1))
    first = next(candidates(stage, 1, Ring(64, 2, WIDE, NARROW), {}))
    with pytest.raises(PackingError, match=r"%add.*: adds values in different blocks"):
        first.pack()


def test_large_kernels_of_small_images_take_coefficients() -> None:
    """64x64, 5x5, without padding: a ciphertext a channel instead of 25."""
    net = Net()
    h = net.op(Conv(ONES, (0,) * 4, ONES, 1), net.input(1, 8, 64, 64), net.constant(8, 8, 5, 5))
    (stage,) = assemble(fixed_graph(net.graph(h), 6), Ring(4096, 2, NARROW, WIDE)).stages
    assert [held.layout for held in stage.uploads.values()] == [Raster((1, 8, 64, 64), 64, ONES, 4096)]
    assert [held.layout.count for held in stage.results.values()] == [8]


def test_large_images_take_tiles() -> None:
    net = Net()
    graph = net.graph(net.conv(net.input(1, 1, 512, 512), 2))
    (stage,) = assemble(fixed_graph(graph, 6), Ring(8192, 2, NARROW, WIDE)).stages
    assert [type(held.layout) for held in stage.uploads.values()] == [Tiles]


def test_a_convolution_costs_a_transform_and_a_product_for_each_pair_of_channels() -> None:
    net = Net()
    graph = net.graph(image(net, 2, 3, 6, 6))
    (blocking,) = raster_blockings(graph, 64)
    cost = StageCost(6, 4, polynomial_products=12, transforms=6)
    assert least_cost(graph, blocking) == cost
    server = Builder("server")
    op = blocking.convolution(graph.nodes[0])
    x = server.input("x", CipherType(6, 64, 0, Encoding.COEFFICIENTS))
    y = server.add(op, x, server.constant("w", np.ones((2, 3, 3, 3)), 0))
    assert stage_cost(server.build([y]), 6, 4) == cost


def test_matrices_of_few_rows_cost_transforms_too() -> None:
    net = Net()
    few, many = (net.graph(net.gemm(net.input(rows, 8, name=f"x{rows}"), 4)) for rows in (1, 16))
    assert least_cost(few, PolynomialBlocking(1, 8, 2, 256)).transforms == 2
    assert least_cost(many, PolynomialBlocking(16, 8, 2, 256)).transforms == 0


def test_a_blocking_of_images_packs_convolutions_only() -> None:
    net = Net()
    (node, _) = net.graph(net.gemm(net.input(1, 8), 4)).nodes
    with pytest.raises(PackingError, match="%matmul: MatMul is no convolution"):
        RasterBlocking(8, 64).convolution(node)


SOURCE, TARGET = Raster((1, 2, 6, 6), 6, ONES, 64), Raster((1, 3, 4, 4), 6, ONES, 64)
VALID = PolynomialConvolution(SOURCE, TARGET, (0, 0), ONES, False)
CIPHERS, WEIGHTS = CipherType(2, 64, 5, Encoding.COEFFICIENTS), TensorType((3, 2, 3, 3), 4)


def test_the_scales_of_a_convolution_add() -> None:
    assert VALID.result_type(CIPHERS, WEIGHTS) == CipherType(3, 64, 9, Encoding.COEFFICIENTS)


@pytest.mark.parametrize(
    ("op", "x", "weights", "message"),
    [
        (VALID, TensorType((1,), 0), WEIGHTS, r"PolynomialConvolution needs ciphertexts, got fixed<1, 2\^0>"),
        (VALID, replace(CIPHERS, encoding=Encoding.SLOTS), WEIGHTS, r"needs 2 ciphertexts in coefficients, got cipher"),
        (VALID, replace(CIPHERS, count=3), WEIGHTS, r"needs 2 ciphertexts in coefficients, got cipher<3x64"),
        (VALID, CIPHERS, TensorType((2, 3, 3, 3), 4), r"fixed<2x3x3x3, 2\^-4> do not take 2 channels to 3"),
        (VALID, CIPHERS, TensorType((3, 2, 3), 4), r"fixed<3x2x3, 2\^-4> do not take 2 channels to 3"),
        (replace(VALID, target=replace(TARGET, pitch=7)), CIPHERS, WEIGHTS, "need one batch, one pitch and as many"),
        (replace(VALID, source=replace(SOURCE, step=(2, 1))), CIPHERS, WEIGHTS, "pixels must lie side by side in"),
        (replace(VALID, pads=(1, 1)), CIPHERS, WEIGHTS, r"a pitch of 6 leads taps of a 3x3 kernel on .* to other"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(
    op: PolynomialConvolution, x: Any, weights: TensorType, message: str
) -> None:
    with pytest.raises(TypeRuleError, match=message):
        op.result_type(x, weights)


def test_the_result_of_a_transposed_convolution_lies_side_by_side() -> None:
    source, target = Raster((1, 2, 3, 3), 6, ONES, 64), Raster((1, 3, 3, 3), 6, (1, 2), 64)
    with pytest.raises(TypeRuleError, match="and in the result of a transposed one"):
        PolynomialConvolution(source, target, (0, 0), ONES, True).result_type(CIPHERS, TensorType((2, 3, 1, 1), 4))


def test_taps_that_share_a_power_add_up() -> None:
    """Both read nothing but padding, one to the left of a row and one at the end of the row before."""
    source, target = Raster((1, 1, 1, 1), 2, ONES, 16), Raster((1, 1, 1, 1), 2, ONES, 16)
    op = PolynomialConvolution(source, target, (1, 2), ONES, False)
    weights: Array = np.arange(1, 9).reshape(1, 1, 2, 4)
    coefficients, powers = op.polynomials(weights)
    assert np.unique(powers).size == powers.size < weights.size
    assert np.abs(coefficients).sum() <= weights.sum()
    assert op.result_type(replace(CIPHERS, count=1, slots=16), TensorType((1, 1, 2, 4), 4)).count == 1
    x = pack(source, np.full((1, 1, 1, 1), 5))
    assert unpack(target, op.evaluate(x, weights)).item() == 5 * weights[0, 0, 1, 2]
