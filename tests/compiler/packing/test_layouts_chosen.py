"""Each layout where it is the one to take, and values that stay on the server, go up again, or come back as well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.fixed import fixed_graph
from tests.models import Net, classifier, convolutions, residual_block
from tests.rounds import run_rounds
from tests.strategies import samples_of

from enclair.compiler.approx.intervals import largest_sum
from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.layouts import BlockSums, Coefficients, MaskedCopies, Replicated, SlotSums, Tiles, summands
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import SubtractCiphers
from enclair.compiler.ir.ops.elementwise import Add, Mul, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.packed import (
    AddPlain,
    HideUnheld,
    LinearCombination,
    MaskSlots,
    PolynomialCombination,
    SlotCombination,
)
from enclair.compiler.ir.ops.pooling import AveragePool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import Concat, Expand, Reshape, Slice, Transpose
from enclair.compiler.ir.reference import run
from enclair.compiler.packing.assemble import Assembled, assemble
from enclair.compiler.packing.packed_stage import Ring
from enclair.compiler.planner.costs import OpCosts

WIDE, NARROW = 200.0, 30.0
"""Room for noise: enough for products with plaintext vectors, and not enough."""


def packed(graph: Graph, room: float = WIDE, ring_dim: int = 64, **costs: float) -> Assembled:
    """The rounds on a small ring, known to give the reference."""
    fixed = fixed_graph(graph, 6)
    assembled = assemble(fixed, Ring(ring_dim, 2, room, 50.0, costs=OpCosts(**costs)))
    modulus = 2 * largest_sum(fixed)[1] + 1
    for inputs in samples_of(graph, 2, seed=7):
        wanted, found = run(fixed, inputs), run_rounds(assembled, inputs, modulus)
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name])
    return assembled


def layouts(assembled: Assembled, kind: str) -> list[Any]:
    return [held.layout for stage in assembled.stages for held in getattr(stage, kind).values()]


def ops(assembled: Assembled) -> set[type]:
    return {type(node.op) for round_ in assembled.rounds for node in round_.server.nodes}


@pytest.fixture
def on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """No convolutions on coefficients."""
    monkeypatch.setattr("enclair.compiler.packing.candidates.raster_blockings", lambda *_: [])


@pytest.mark.usefixtures("on_tiles")
def test_a_convolution_takes_plain_tiles() -> None:
    assembled = packed(convolutions(1))
    assert [type(layout) for layout in layouts(assembled, "uploads")] == [Tiles]
    assert SlotCombination not in ops(assembled)


@pytest.mark.usefixtures("on_tiles")
def test_a_small_ring_takes_larger_tiles() -> None:
    (large,), (small,) = (layouts(packed(convolutions(1), ring_dim=dim), "results") for dim in (64, 8))
    assert np.prod(small.tile) > np.prod(large.tile)


def test_the_second_of_two_convolutions_needs_a_mask() -> None:
    assembled = packed(convolutions(2), encrypt=1000.0)
    assert MaskSlots in ops(assembled)


def test_a_value_is_masked_once_for_all_its_readers() -> None:
    net = Net()
    h = net.conv(net.input(1, 1, 6, 6), 2)
    assembled = packed(net.graph(net.conv(h, 1), net.conv(h, 2)), encrypt=1000.0)
    masks = [node for node in assembled.rounds[0].server.nodes if isinstance(node.op, MaskSlots)]
    assert len(masks) == 1


def test_without_room_for_masks_the_client_sends_masked_copies() -> None:
    assembled = packed(convolutions(3), NARROW)
    assert ops(assembled) & {MaskSlots, SlotCombination} == set()
    (copies,) = layouts(assembled, "uploads")
    assert isinstance(copies, MaskedCopies)
    assert len({number for number, *_ in copies.copies}) < copies.count


def test_copies_of_a_stage_with_groups_strides_and_a_skip() -> None:
    net = Net()
    h = net.conv(net.input(1, 2, 5, 5), 2)
    depthwise = net.op(Conv((2, 1), (1, 1, 1, 1), (1, 1), 2), h, net.constant(4, 1, 3, 3))
    up = net.op(ConvTranspose((2, 1), (1, 1, 0, 1), (1, 1), 1, (0, 0)), depthwise, net.constant(4, 2, 2, 3))
    both = net.op(Concat(1), net.op(Add(), up, h), net.op(Sub(), up, net.op(Mul(), h, net.constant(2, 1, 1))))
    assembled = packed(net.graph(net.conv(both, 1)), NARROW)
    assert isinstance(layouts(assembled, "uploads")[0], MaskedCopies)


def test_an_image_without_a_border_inside_the_stage_needs_no_mask() -> None:
    net = Net()
    graph = net.graph(net.conv(net.conv(net.input(1, 1, 6, 6), 2, pad=0), 1, pad=0))
    assert ops(packed(graph)) & {MaskSlots, SlotCombination} == set()


def test_a_position_that_reads_padding_alone_is_blank() -> None:
    """The only row of the result lies in the padding: the copies would all be blank, a mask does it."""
    net = Net()
    first = net.op(Conv((1, 1), (0,) * 4, (1, 1), 1), net.input(1, 1, 2, 2), net.constant(1, 1, 2, 1))
    graph = net.graph(net.op(Conv((2, 1), (1, 0, 0, 0), (1, 1), 1), first, net.constant(1, 1, 1, 1)))
    assert MaskSlots in ops(packed(graph))
    with pytest.raises(PackingError, match=r"is blank throughout|noise room"):
        packed(graph, NARROW)


def test_copies_of_a_concatenation_whose_halo_is_blank() -> None:
    """The parts are inputs: outside of the image there is nothing to select."""
    net = Net()
    both = net.op(Concat(1), x := net.input(1, 1, 2), x)
    assembled = packed(net.graph(net.conv(net.conv(both, 2), 2)), NARROW)
    assert isinstance(layouts(assembled, "uploads")[0], MaskedCopies)


@pytest.mark.parametrize("op", [Add(), Sub()])
def test_copies_of_a_sum_with_one_side_blank_in_the_halo(op: Op) -> None:
    """A skip around a convolution: outside of the image the input is blank and the convolution's result is not."""
    net = Net()
    x = net.input(1, 1, 4, 4)
    both = net.op(op, net.conv(x, 1), x)
    assembled = packed(net.graph(net.conv(net.op(op, x, both), 1)), NARROW)
    assert isinstance(layouts(assembled, "uploads")[0], MaskedCopies)


def test_copies_of_a_constant_where_its_value_is_blank() -> None:
    """A row of weights above an image: there is nothing to add them to."""
    net = Net()
    h = net.op(Conv((1, 2), (0,) * 4, (1, 1), 1), net.input(1, 1, 2, 2), net.constant(1, 1, 1, 1))
    both = net.op(Concat(2), net.constant(1, 1, 1, 1), h)
    assembled = packed(net.graph(net.conv(net.conv(both, 1), 1)), NARROW)
    assert isinstance(layouts(assembled, "uploads")[0], MaskedCopies)


def test_positions_between_those_a_transposed_convolution_reaches() -> None:
    """A kernel of one, two apart, read at the gaps only: nothing of the image is needed."""
    net = Net()
    h = net.op(Conv((1, 1), (0,) * 4, (1, 1), 1), net.input(1, 1, 2, 2), net.constant(1, 1, 1, 1))
    up = net.op(ConvTranspose((2, 1), (0,) * 4, (1, 1), 1, (0, 0)), h, net.constant(1, 1, 1, 1))
    gaps = net.op(Conv((2, 1), (1, 0, 0, 0), (1, 1), 1), up, net.constant(1, 1, 1, 1))
    assert len(packed(net.graph(gaps)).rounds) == 1


def test_an_average_that_does_not_count_padding_multiplies_slot_by_slot() -> None:
    net = Net()
    graph = net.graph(net.op(AveragePool((3, 3), (1, 1), (1, 1, 1, 1), False), net.conv(net.input(1, 1, 4, 4), 1)))
    fixed = fixed_graph(graph, 6)
    assert any(node.place and node.place.side == "client" and isinstance(node.op, Mul) for node in fixed.nodes)
    weighted = net.graph(net.op(Mul(), net.conv(net.input(1, 1, 4, 4, name="y"), 1), net.constant(4, 4)))
    assert SlotCombination in ops(packed(weighted))


@pytest.fixture
def in_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """No products on coefficients."""
    monkeypatch.setattr("enclair.compiler.packing.candidates.polynomial_blockings", lambda *_: [])


@pytest.mark.usefixtures("in_slots")
def test_a_matrix_takes_blocks_with_summands_left_to_the_client() -> None:
    net = Net()
    assembled = packed(net.graph(net.gemm(net.input(1, 30), 8)))
    (source,), (result,) = layouts(assembled, "uploads"), layouts(assembled, "results")
    assert isinstance(source, Replicated)
    assert isinstance(result, BlockSums)
    assert result.partials > 1


def products_joined() -> Graph:
    net = Net()
    x, y = net.input(2, 6), net.input(2, 6, name="y")
    total = net.op(Sub(), net.gemm(x, 3), net.gemm(y, 3))
    return net.graph(net.op(Mul(), net.op(Reshape((1, 2, 3)), total), net.constant()))


@pytest.mark.usefixtures("in_slots")
def test_blocks_of_several_products_joined() -> None:
    assert isinstance(layouts(packed(products_joined(), ring_dim=16), "results")[0], BlockSums)


@pytest.mark.usefixtures("in_slots")
def test_a_matrix_without_room_for_vectors_takes_tiles() -> None:
    net = Net()
    assembled = packed(net.graph(net.gemm(net.input(3, 6), 4)), NARROW)
    assert ops(assembled) & {SlotCombination} == set()
    assert isinstance(layouts(assembled, "results")[0], Tiles)


def test_a_matrix_takes_polynomials_that_leave_nothing_to_sum() -> None:
    net = Net()
    assembled = packed(net.graph(net.gemm(net.input(4, 24), 12)), NARROW)
    (source,), (result,) = layouts(assembled, "uploads"), layouts(assembled, "results")
    assert (source, result) == (Coefficients((4, 24), 4, 4, 1, 64), Coefficients((4, 12), 4, 4, 4, 64))
    assert (source.count, result.count, summands(result)) == (6, 3, 1)
    assert ops(assembled) == {PolynomialCombination, AddPlain, HideUnheld}


def test_products_on_coefficients_joined() -> None:
    assembled = packed(products_joined(), ring_dim=16)
    assert {PolynomialCombination, SubtractCiphers, LinearCombination, HideUnheld} <= ops(assembled)


def test_more_rows_than_coefficients_take_ciphertexts_of_their_own() -> None:
    net = Net()
    assembled = packed(net.graph(net.gemm(net.input(40, 3), 5)), NARROW, 16)
    (result,) = layouts(assembled, "results")
    assert (result.chunks, result.groups, result.count) == (3, 5, 15)
    assert HideUnheld not in ops(assembled)


def test_outputs_share_a_ciphertext_while_the_noise_has_room() -> None:
    net = Net()
    graph = net.graph(net.gemm(net.input(1, 8), 8))
    together = layouts(packed(graph, NARROW), "results")[0]
    apart = layouts(packed(graph, 8.0), "results")[0]
    assert together.features > apart.features


def test_flatten_and_gemm_leave_a_sum_over_slots() -> None:
    assembled = packed(classifier(activation=False))
    (result,) = layouts(assembled, "results")
    assert isinstance(result, SlotSums)
    assert (result.rows, result.shape) == (1, (1, 3))


def test_a_global_mean_commutes_with_the_matrix_after_it() -> None:
    assembled = packed(classifier(activation=False, pooled=True), NARROW)
    assert isinstance(layouts(assembled, "results")[0], SlotSums)
    assert len(assembled.rounds) == 1


def test_rows_of_a_batch_stay_apart_in_sums_over_slots() -> None:
    net = Net()
    h = net.conv(net.input(3, 1, 4, 4), 2)
    graph = net.graph(net.gemm(net.flatten(h), 2), net.gemm(net.op(ReduceMean((2, 3), False), h), 2))
    assert {layout.rows for layout in layouts(packed(graph), "results")} == {3}


def test_a_value_read_with_and_without_its_halo_is_summed_once() -> None:
    """One reader needs the neighbours, the others sum or flatten the value: halos are copies, not summands."""
    net = Net()
    h = net.conv(net.input(1, 2, 4, 4), 2)
    sums = net.op(ReduceSum((2, 3), False), h)
    channels = net.op(ReduceSum((1,), True), h)
    rows = net.op(MatMul(), net.flatten(h), net.constant(32, 2))
    packed(net.graph(net.conv(h, 2), net.gemm(sums, 2), net.conv(channels, 1), rows))


def test_tokens_read_with_and_without_their_neighbours() -> None:
    """A product of rows reads the core of what a convolution reads with a halo."""
    net = Net()
    x = net.input(1, 4, 5)
    turned = net.op(Transpose((0, 2, 1)), x)
    packed(net.graph(net.conv(x, 3), net.gemm(turned, 2)), NARROW)


def test_a_channel_repeated_by_a_constant_stays_on_tiles() -> None:
    net = Net()
    h = net.op(Expand((1, 3, 4, 4)), net.conv(net.input(1, 1, 4, 4), 1))
    assembled = packed(net.graph(net.conv(h, 1)))
    assert len(assembled.rounds) == 1


def test_axes_of_extent_one_come_and_go() -> None:
    net = Net()
    h = net.op(Reshape((1, 2, 4, 1)), net.conv(net.input(1, 1, 4), 2))
    h = net.conv(h, 1, kernel=1)
    assert len(packed(net.graph(net.conv(net.op(Reshape((1, 1, 4)), h), 1))).rounds) == 1


def test_what_does_not_fit_together_names_the_join() -> None:
    """A strided convolution whose padding restores the shape: its pixels are half as dense as those it is added to."""
    net = Net()
    x = net.input(1, 1, 2, 2)
    half = net.op(Conv((1, 2), (0, 0, 0, 1), (1, 1), 1), x, net.constant(1, 1, 1, 1))
    joined = net.op(Sub(), half, x, name="joined")
    with pytest.raises(PackingError, match="%joined: joins values whose pixels are not equally dense"):
        packed(net.graph(net.conv(joined, 1)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda n, x: n.op(MatMul(), x, n.constant(2, 4, 3)), "by a constant of shape .*: only matrices are packed"),
        (lambda n, x: n.op(Add(), n.gemm(x, 4), n.op(ReduceSum((1,), True), n.gemm(x, 4))), "of different shapes"),
        (lambda n, x: n.op(ReduceSum((0,), True), n.gemm(x, 4)), r"sums over axes \(0,\): the server sums over all"),
        (lambda n, x: n.op(Slice((1, 0, 0), (2, 3, 4), (1, 1, 1)), n.gemm(x, 4)), "Slice has no form on tiles"),
        (lambda n, x: n.op(Concat(1), n.gemm(x, 4), n.gemm(x, 4)), "along an axis that is not the channels'"),
        (lambda n, x: n.conv(n.gemm(x, 4), 2), "needs its channels on another axis than they are"),
    ],
)  # fmt: skip
def test_what_has_no_packed_form_is_named(build: Any, message: str) -> None:
    net = Net()
    out = net.op(MatMul(), build(net, net.input(2, 3, 4)), net.constant(*_square(net)), name="out")
    with pytest.raises(PackingError, match=message):
        packed(net.graph(out))


def _square(net: Net) -> tuple[int, int]:
    """The shape of a matrix that fits the last value."""
    width = net.builder.nodes[-1].out.type.shape[-1]  # type: ignore[union-attr]
    return width, width


def test_a_skip_from_an_earlier_stage_stays_on_the_server() -> None:
    first, second = packed(residual_block()).stages
    assert list(second.kept) == ["add"]
    assert set(first.results) == {"add", "add.1"}


def test_a_kept_value_is_not_sent_back() -> None:
    first, second = packed(residual_block()).rounds
    assert [name for name, _ in first.exchange.answers] == ["add.1.ct"]
    assert [name for name, _ in second.exchange.uploads] == ["relu.q.up2"]
    assert "add.ct" in {value.name for value in first.server.outputs}


def test_a_skip_whose_tiles_do_not_match_goes_up_again() -> None:
    """Expensive uploads make the first stage take large tiles; its value comes back as one answer more."""
    assembled = packed(residual_block(), NARROW, 16, encrypt=1000.0)
    first, second = assembled.rounds
    assert list(assembled.stages[1].kept) == []
    assert [name for name, _ in first.exchange.answers] == ["add.ct", "add.1.ct"]
    assert [name for name, _ in second.exchange.uploads] == ["relu.q.up2", "add.up2"]


@pytest.mark.usefixtures("on_tiles")
def test_an_upload_that_a_later_stage_reads_is_kept() -> None:
    net = Net()
    x = net.input(1, 1, 6, 6)
    both = net.op(Concat(1), net.relu(net.conv(x, 1, kernel=1)), x)
    assembled = packed(net.graph(net.conv(both, 1, kernel=1)))
    assert list(assembled.stages[1].kept) == ["x.q"]
    assert [name for name, _ in assembled.rounds[1].exchange.uploads] == ["relu.q.up2"]


def test_an_output_of_an_early_round_is_an_answer_of_it() -> None:
    net = Net()
    h = net.conv(net.input(1, 1, 4, 4), 2)
    assembled = packed(net.graph(h, net.conv(net.relu(h), 1)))
    assert [len(round_.exchange.answers) for round_ in assembled.rounds] == [1, 1]
    assert "add" in {value.name for value in assembled.rounds[0].client.outputs}


def test_an_input_that_only_the_client_reads_waits_for_its_round() -> None:
    net = Net()
    x, late = net.input(1, 1, 4, 4), net.input(1, 1, 4, 4, name="late")
    h = net.relu(net.conv(net.relu(net.conv(x, 1)), 1))
    assembled = packed(net.graph(net.op(Mul(), h, late)))
    assert "late" in {value.name for value in assembled.rounds[-1].client.inputs}


@pytest.mark.usefixtures("on_tiles")
def test_parts_that_do_not_meet_are_packed_apart() -> None:
    net = Net()
    image, row = net.input(1, 1, 6, 6), net.input(1, 20, name="row")
    assembled = packed(net.graph(net.conv(image, 1), net.gemm(row, 3)), ring_dim=64)
    assert assembled.stages[0].layout_name.count("tiles") == 1
    assert assembled.stages[0].layout_name.count("coefficients") == 1


def test_a_sum_pool_is_a_convolution_with_ones() -> None:
    net = Net()
    graph = net.graph(net.conv(net.op(SumPool((2, 2), (2, 1), (0, 1, 1, 0)), net.conv(net.input(1, 1, 5, 5), 2)), 1))
    assert LinearCombination in ops(packed(graph, NARROW))


def test_an_activation_ends_the_stage() -> None:
    assert len(packed(convolutions(3, activation=Relu())).rounds) == 3
