"""The claims about what a client can solve for, put to the test in the clear: least squares on what the client sees."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.golden.tiny import tiny_program
from tests.rounds import run_rounds

import enclair.compiler
from enclair.compiler import SplitOptions
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node, Value
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.pooling import SumPool
from enclair.compiler.ir.ops.reductions import ReduceSum
from enclair.compiler.ir.ops.shape import Reshape, Resize, Slice
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import TensorType
from enclair.compiler.packing.blocks import SlotBlocking
from enclair.compiler.program import Program
from enclair.compiler.report import inspect
from enclair.compiler.report.model import Exposure
from enclair.compiler.report.systems import System
from enclair.compiler.report.views import views

Matrix = NDArray[np.float64]
SAME = (1, 1, 1, 1)
ONES = (1, 1)


class Net:
    """A model that is written down op by op, with generic weights."""

    def __init__(self, *shape: int) -> None:
        self.builder, self.random = Builder("net"), np.random.default_rng(3)
        self.value = self.builder.input("x", TensorType(shape))

    def constant(self, name: str, *shape: int) -> Value:
        return self.builder.constant(name, self.random.uniform(-1, 1, shape))

    def conv(self, channels: int, kernel: tuple[int, int] = (3, 3), bias: bool = True, **attributes: object) -> "Net":
        fields = {"strides": ONES, "pads": SAME, "dilations": ONES, "groups": 1, **attributes}
        op = Conv(**fields)  # type: ignore[arg-type]
        self.value = self.builder.add(op, self.value, self.constant("w", channels, self.shape[1] // op.groups, *kernel))
        return self.biased(channels, 1, 1) if bias else self

    def gemm(self, outputs: int) -> "Net":
        self.value = self.builder.add(MatMul(), self.value, self.constant("w", self.shape[-1], outputs))
        return self.biased(outputs)

    def biased(self, *shape: int) -> "Net":
        self.value = self.builder.add(Add(), self.value, self.constant("b", *shape))
        return self

    def then(self, op: object) -> "Net":
        self.value = self.builder.add(op, self.value)  # type: ignore[arg-type]
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        assert isinstance(self.value.type, TensorType)
        return self.value.type.shape

    def program(self, bits: int = 14) -> Program:
        graph = self.builder.build([self.value])
        samples = [{"x": self.random.uniform(-1, 1, graph.inputs[0].type.shape)} for _ in range(2)]
        return enclair.compiler.compile(graph, samples, options=SplitOptions(activation_bits=bits, weight_bits=bits))


def queried(program: Program, count: int, seed: int = 5) -> Iterator[dict[str, Array]]:
    """What the client has after each of so many queries with random inputs, what it computed on the way too."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        inputs = {s.name: random.uniform(s.low, s.high, s.shape) for s in program.inputs}
        has = run_rounds(program, inputs)

        def note(node: Node, _: tuple[Array, ...], result: Array, has: dict[str, Array] = has) -> None:
            if node.place and (node.place.side == "client" or node.out.name in answered(program)):
                has[node.out.name] = result

        run(program.fixed, inputs, note)
        yield has


def answered(program: Program) -> set[str]:
    return {view.value.name for _, view in views(program)}


def solve(design: Matrix, seen: Matrix) -> tuple[NDArray[np.int64], bool]:
    """Least squares, rounded to integers, and whether it had only one solution."""
    solution, _, rank, _ = np.linalg.lstsq(design, seen, rcond=None)
    return np.rint(solution).astype(np.int64), bool(rank == design.shape[1])


def patches(image: Array) -> Matrix:
    """3x3 windows with zeros around, and a one for the bias, (pixels, unknowns)."""
    padded = np.pad(image[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    columns = windows.transpose(1, 2, 0, 3, 4).reshape(image.shape[2] * image.shape[3], -1)
    return np.hstack([columns, np.ones((len(columns), 1))]).astype(np.float64)


def exposure_of(program: Program, value: str) -> Exposure:
    (found,) = [exposure for exposure in inspect(program).exposures if exposure.value == value]
    return found


def test_least_squares_gives_a_convolution_after_the_stated_queries() -> None:
    program = tiny_program()
    claim = exposure_of(program, "s1")
    assert (claim.queries, claim.systems) == (1, (System(10, 36, 1, 2),))
    clients = list(queried(program, 1))
    design = np.vstack([patches(client["x.q"]) for client in clients])
    seen = np.vstack([client["s1"][0].reshape(2, -1).T for client in clients]).astype(np.float64)
    solution, unique = solve(design, seen)
    fixed = program.fixed.arrays
    assert unique
    np.testing.assert_array_equal(solution[:-1].T.reshape(2, 1, 3, 3), fixed["w1"])
    np.testing.assert_array_equal(solution[-1], fixed["b1"].reshape(-1))


def test_least_squares_gives_a_convolution_behind_an_activation() -> None:
    program = tiny_program()
    claim = exposure_of(program, "c2")
    assert (claim.queries, claim.systems) == (1, (System(18, 36, 1, 2),))
    (client,) = queried(program, 1)
    solution, unique = solve(patches(client["a1.q"])[:, :-1], client["c2"][0].reshape(2, -1).T.astype(np.float64))
    assert unique
    np.testing.assert_array_equal(solution.T.reshape(2, 2, 3, 3), program.fixed.arrays["w2"])


@pytest.fixture
def in_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """No products on coefficients."""
    monkeypatch.setattr("enclair.compiler.packing.candidates.polynomial_blockings", lambda *_: [])


@pytest.fixture(params=["slots", "coefficients"])
def whole_sums(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Products of which the client sees whole sums only."""

    def blockings(graph: Graph, slots: int) -> list[SlotBlocking]:
        return [SlotBlocking(1, max(node.out.type.shape[-1] for node in graph.nodes), slots)]

    monkeypatch.setattr("enclair.compiler.packing.candidates.slot_blockings", blockings)
    if request.param == "slots":
        request.getfixturevalue("in_slots")


@pytest.mark.usefixtures("whole_sums")
def test_a_product_takes_one_query_more_than_it_has_features() -> None:
    program = Net(1, 7).gemm(3).program()
    claim = exposure_of(program, "add.fixed")
    assert (claim.queries, claim.systems, claim.summands) == (8, (System(8, 1, 8, 3),), 1)
    clients = list(queried(program, 8))
    design = np.vstack([np.append(client["x.q"], 1.0) for client in clients])
    seen = np.vstack([client["add.fixed"] for client in clients]).astype(np.float64)
    truth = np.vstack([program.fixed.arrays["w"], program.fixed.arrays["b"]])
    solution, unique = solve(design, seen)
    assert unique
    np.testing.assert_array_equal(solution, truth)
    too_early, unique = solve(design[:-1], seen[:-1])
    assert not unique
    assert not np.array_equal(too_early, truth)


@pytest.mark.usefixtures("whole_sums")
def test_rows_that_share_a_product_share_the_queries() -> None:
    claim = exposure_of(Net(1, 4, 7).gemm(3).program(), "add.fixed")
    assert (claim.queries, claim.systems) == (2, (System(8, 4, 2, 3),))


@pytest.mark.usefixtures("in_slots")
def test_summands_give_a_product_away_sooner() -> None:
    """Left to the client's finishing sum, every summand is an equation of its own: here one weight times one input."""
    program = Net(1, 70).gemm(3).program()
    claim = exposure_of(program, "add.fixed")
    assert (claim.queries, claim.summands) == (2, 128)
    assert claim.systems == (System(2, 1, 2, 3), System(1, 1, 1, 207))
    first, second = queried(program, 2)
    (answer,) = program.rounds[0].exchange.answers
    (upload,) = program.rounds[0].exchange.uploads
    x, y = first[upload[0]][0], first[answer[0]][0]
    weights = np.rint(
        (y - second[answer[0]][0]) / np.where(x == second[upload[0]][0], np.nan, x - second[upload[0]][0])
    )
    index = np.array([[o * 128 + f for o in range(3)] for f in range(70)])
    np.testing.assert_array_equal(weights[index], program.fixed.arrays["w"])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("extents", [(12, 12), (7, 7), (5, 5), (4, 7), (3, 3), (2, 9)], ids=str)
def test_two_convolutions_are_solved_as_the_map_they_make(extents: tuple[int, int], bias: bool) -> None:
    """Every coefficient of the map from pixels to pixels that the border changes is another unknown."""
    program = Net(1, 1, *extents).conv(2, bias=bias).conv(1).program(12)
    (claim,) = inspect(program).exposures
    assert claim.composed
    assert claim.queries is not None
    true_map, constants = affine_map(program)
    unknowns = np.unique(true_map[true_map != 0]).size + np.unique(constants).size
    assert sum(system.unknowns * system.copies for system in claim.systems) == unknowns
    measured = [rank_of(program, true_map, constants, count) for count in range(1, claim.queries + 1)]
    assert measured[-1] == unknowns
    assert claim.queries == 1 or measured[-2] < unknowns


def affine_map(program: Program) -> tuple[Matrix, Matrix]:
    """How each output depends on each input, (outputs, inputs), by giving one after the other; and on nothing."""
    step, zero = 2.0 ** -scale_bits_of(program.fixed.nodes[0].out), np.zeros(program.inputs[0].shape)

    def outputs(flat: Array) -> Matrix:
        return run(program.fixed, {"x": flat.reshape(zero.shape)})[program.outputs[0]].reshape(-1)

    constants = outputs(zero)
    columns = [outputs(row) - constants for row in np.eye(zero.size) * step]
    return np.stack(columns, axis=1), constants


def scale_bits_of(value: Value) -> int:
    assert isinstance(value.type, TensorType)
    assert value.type.scale_bits is not None
    return value.type.scale_bits


def rank_of(program: Program, true_map: Matrix, constants: Matrix, queries: int) -> int:
    """Rank of the equations for the different coefficients and constants."""
    values = np.unique(true_map[true_map != 0])
    same = (constants[:, None] == np.unique(constants)).astype(np.float64)
    rows = [
        np.hstack([np.stack([((true_map == value) @ client["x.q"].reshape(-1)) for value in values], axis=1), same])
        for client in queried(program, queries)
    ]
    return int(np.linalg.matrix_rank(np.vstack(rows)))


def test_the_commonest_part_of_a_composed_map_is_told_where_it_is_solved_sooner() -> None:
    """Away from the border two convolutions are one 5x5 kernel: 75 unknowns and a constant in 100 pixels.

    At a corner one pixel has three coefficients that no other has.
    """
    program = Net(1, 3, 14, 14).conv(2, bias=False).conv(1).program(10)
    (claim,) = inspect(program).exposures
    assert (claim.inner, claim.queries) == (System(76, 100, 1, 1), 3)
    (client,) = queried(program, 1)
    assert np.linalg.matrix_rank(inner_patches(client["x.q"])) == 76


def inner_patches(image: Array) -> Matrix:
    """The 5x5 windows that lie inside, and a one."""
    windows = np.lib.stride_tricks.sliding_window_view(image[0], (5, 5), axis=(1, 2)).transpose(1, 2, 0, 3, 4)
    flat = windows.reshape(-1, image.shape[1] * 25)
    return np.hstack([flat, np.ones((len(flat), 1))]).astype(np.float64)


def test_a_convolution_and_a_product_are_solved_slot_by_slot() -> None:
    program = Net(1, 1, 4, 4).conv(2).then(Reshape((1, 32))).gemm(3).program(8)
    claim = exposure_of(program, "add.1.fixed")
    assert claim.composed
    clients = list(queried(program, claim.queries or 0))
    (upload,), (answer,) = program.rounds[0].exchange.uploads, program.rounds[0].exchange.answers
    sent, seen = (np.stack([client[name] for client in clients]) for name in (upload[0], answer[0]))
    used = np.flatnonzero((seen != 0).any(axis=(0, 1)))
    ranks = [np.linalg.matrix_rank(np.hstack([sent[:, :, slot], np.ones((len(sent), 1))])) for slot in used]
    assert claim.queries == max(ranks) == 10
    assert sum(s.copies for s in claim.systems) == 3 * used.size


def one_hot(graph: Graph, name: str, number: int, secret: frozenset[str]) -> Graph:
    arrays = {key: np.zeros_like(array) if key in secret else array for key, array in graph.arrays.items()}
    arrays[name].reshape(-1)[number] = 1
    return replace(graph, arrays=arrays)


def jacobian(program: Program, client: Mapping[str, Array]) -> Matrix:
    """Every slot the client sees in round 1 by every secret number: one set to one, all others to zero."""
    ((_, view),) = views(program)
    graph = program.rounds[0].server
    columns = [
        run(one_hot(graph, name, number, view.secret), client)[view.answer.name].reshape(-1)
        for name in sorted(view.secret)
        for number in np.flatnonzero(graph.arrays[name])
    ]
    found = np.stack(columns, axis=1).astype(np.float64)
    return found[(found != 0).any(axis=1)]


def ranks(program: Program, most: int) -> list[int]:
    """How many of the unknown numbers are determined after 1, 2, ... queries."""
    seen = [jacobian(program, client) for client in queried(program, most)]
    return [int(np.linalg.matrix_rank(np.vstack(seen[: count + 1]))) for count in range(most)]


def holds(program: Program) -> None:
    """The claim: all that can be known is known after the stated queries, and not before."""
    (claim,) = inspect(program).exposures
    queries = claim.queries
    assert not claim.composed
    assert queries is not None
    measured = ranks(program, queries + 1)
    unknowns = sum(system.unknowns * system.copies for system in claim.systems)
    assert measured[queries - 1] == measured[queries] == unknowns
    assert queries == 1 or measured[queries - 2] < unknowns
    assert claim.unreached == sum(layer.count for layer in claim.layers) - unknowns


CASES: dict[str, Callable[[], Net]] = {
    "more unknowns than pixels": lambda: Net(1, 2, 2, 2).conv(1),
    "corner taps seen by one pixel each": lambda: Net(1, 3, 5, 5).conv(1, pads=(4, 4, 4, 4), dilations=(4, 4)),
    "taps that only see padding": lambda: Net(1, 2, 1, 5).conv(2),
    "grouped": lambda: Net(1, 2, 5, 4).conv(2, (2, 2), strides=(2, 2), pads=(0, 0, 0, 0), groups=2),
    "depthwise": lambda: Net(1, 3, 4, 4).conv(3, groups=3),
    "batch": lambda: Net(2, 2, 2, 2).conv(1),
    "summed over the image": lambda: Net(1, 2, 5, 5).conv(2).then(ReduceSum((2, 3), False)),
    "pooled": lambda: Net(1, 2, 6, 6).conv(2, bias=False).then(SumPool((2, 2), (2, 2), (0, 0, 0, 0))),
    "cropped": lambda: Net(1, 2, 6, 6).conv(2).then(Slice((0, 0, 0, 0), (1, 2, 1, 3), (1, 1, 1, 1))),
    "repeated pixels": lambda: Net(1, 2, 4, 4).conv(2).then(Resize((1, 1, 2, 2))),
    "repeated inputs": lambda: Net(1, 2, 4, 4).then(Resize((1, 1, 2, 2))).conv(2),
    "flattened": lambda: Net(1, 2, 4, 4).then(Reshape((1, 32))).gemm(3),
    "sums over the image, then a product": lambda: Net(1, 3, 4, 4).then(ReduceSum((2, 3), False)).gemm(4),
    "scaled by channel": lambda: Net(1, 3, 4, 4).then(ReduceSum((2, 3), False)).gemm(4),
}


@pytest.mark.parametrize("net", CASES.values(), ids=CASES)
def test_claims_hold(net: Callable[[], Net]) -> None:
    holds(net().program())


def test_claims_hold_for_scaling_by_channel() -> None:
    net = Net(1, 3, 4, 4)
    net.value = net.builder.add(Mul(), net.value, net.constant("scale", 3, 1, 1))
    holds(net.biased(3, 1, 1).program())


@settings(max_examples=25)
@given(
    image=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(2, 5), st.integers(2, 5)),
    channels=st.integers(1, 2),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    transposed=st.booleans(),
)
def test_claims_hold_for_random_convolutions(
    image: tuple[int, ...],
    channels: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, ...],
    transposed: bool,
) -> None:
    net = Net(*image)
    try:
        if transposed:
            op = ConvTranspose(strides, (0, 0, 0, 0), ONES, 1, (0, 0))
            net.value = net.builder.add(op, net.value, net.constant("w", image[1], channels, *kernel))
            net.biased(channels, 1, 1)
        else:
            net.conv(channels, kernel, strides=strides, pads=pads)
        program = net.program(12)
    except (CompileError, enclair.compiler.CompileError):
        return
    holds(program)


def test_a_value_seen_before_is_known() -> None:
    """What a later layer reads and the client has decrypted is no unknown: one layer each, not two composed."""
    net = Net(1, 1, 6, 6).conv(2)
    first = net.value
    net.conv(2).then(Relu())
    bent = net.builder.add(Relu(), first)
    net.value = net.builder.add(Add(), net.value, bent)
    claims = inspect(net.program(8)).exposures
    assert [claim.value for claim in claims] == ["add", "add.1"]
    assert [(claim.composed, claim.queries) for claim in claims] == [(False, 1), (False, 1)]
    assert [len(claim.layers) for claim in claims] == [2, 2]


def test_an_answer_that_meets_padding_alone_shows_nothing() -> None:
    net = Net(2, 2, 3, 2).conv(2, (2, 2), bias=False, strides=(2, 2), pads=(2, 1, 0, 0), groups=2)
    report = inspect(net.then(Slice((0, 0, 0, 0), (2, 2, 2, 1), (1, 1, 2, 2))).program(8))
    (claim,) = report.exposures
    assert (claim.queries, claim.systems, claim.unreached) == (None, (), 8)
    assert f"{claim.value}: depends on none of them." in report.to_text()


def test_a_crop_on_tiles_shows_what_was_cut_off() -> None:
    """The client decrypts whole ciphertexts: slots that hold nothing of the answer still hold sums of its layer."""
    (claim,) = inspect(CASES["cropped"]().program()).exposures
    assert claim.shape == (1, 2, 1, 3)
    assert claim.systems == (System(19, 36, 1, 2),)


@pytest.fixture
def on_tiles(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it for programs without convolutions on coefficients."""
    return lambda: monkeypatch.setattr("enclair.compiler.packing.candidates.raster_blockings", lambda *_: [])


def joined() -> Net:
    """The difference of two convolutions of one image with other kernels, negated and flattened."""
    net = Net(1, 2, 6, 6)
    x = net.value
    wide = net.conv(2, (5, 5), pads=(2,) * 4).value
    net.value = x
    narrow = net.conv(2, (1, 3), pads=(0, 1, 0, 1)).value
    net.value = net.builder.add(Neg(), net.builder.add(Sub(), wide, narrow))
    return net.then(Reshape((2, 36))).biased(2, 1)


def transposed() -> Net:
    """A transposed convolution of a batch."""
    net = Net(2, 2, 4, 5)
    op = ConvTranspose(ONES, (1, 0, 0, 1), ONES, 1, (0, 0))
    net.value = net.builder.add(op, net.value, net.constant("w", 2, 3, 3, 3))
    return net.biased(3, 1, 1)


IMAGES: dict[str, Callable[[], Net]] = {
    "same": lambda: Net(1, 2, 6, 6).conv(3),
    "same, no bias": lambda: Net(1, 1, 5, 5).conv(2, bias=False),
    "batch": lambda: Net(2, 2, 4, 4).conv(2),
    "strides": lambda: Net(1, 2, 7, 7).conv(2, (3, 3), strides=(2, 3)),
    "dilations": lambda: Net(1, 1, 7, 7).conv(2, (3, 2), dilations=(2, 3), pads=(2, 1, 2, 2)),
    "transposed": transposed,
    "joined": joined,
    "two rounds": lambda: Net(1, 1, 6, 6).conv(2).then(Relu()).conv(2),
}


@pytest.mark.parametrize("net", IMAGES.values(), ids=list(IMAGES))
def test_a_convolution_on_coefficients_shows_what_it_shows_on_tiles(
    net: Callable[[], Net], on_tiles: Callable[[], None]
) -> None:
    rasters = net().program(9)
    layouts = [round_.layout for round_ in inspect(rasters).rounds]
    on_tiles()
    tiles = net().program(9)
    assert all(layout.startswith("coefficients, rows of") for layout in layouts)
    assert all(round_.layout.startswith("tiles") for round_ in inspect(tiles).rounds)
    assert inspect(rasters).exposures == inspect(tiles).exposures


def test_a_result_smaller_than_its_image_shows_no_more_on_coefficients() -> None:
    """Tiles beyond the result hold sums over what is left of a window; between coefficients nothing is left to see."""
    program = Net(1, 2, 6, 6).conv(3, pads=(0,) * 4).program(9)
    claim = exposure_of(program, "add.fixed")
    assert (claim.queries, claim.systems) == (2, (System(19, 16, 2, 3),))
    clients = list(queried(program, 2))
    designs = [np.hstack([windows(client["x.q"]), np.ones((16, 1))]) for client in clients]
    seen = [client["add.fixed"][0].reshape(3, -1).T.astype(np.float64) for client in clients]
    truth = np.vstack([program.fixed.arrays["w"].reshape(3, -1).T, program.fixed.arrays["b"].reshape(1, 3)])
    assert not solve(designs[0], seen[0])[1]
    solution, unique = solve(np.vstack(designs), np.vstack(seen))
    assert unique
    np.testing.assert_array_equal(solution, truth)


def windows(image: Array) -> Matrix:
    """3x3 windows inside an image of two channels, (pixels, weights)."""
    found = np.lib.stride_tricks.sliding_window_view(image[0], (3, 3), axis=(1, 2))
    return found.transpose(1, 2, 0, 3, 4).reshape(-1, 18).astype(np.float64)


def test_a_value_that_was_seen_before_tells_nothing_new() -> None:
    """Two answers of one convolution: before its bias and after."""
    net = Net(1, 2, 5, 5).conv(2, bias=False)
    plain = net.value
    graph = net.biased(2, 1, 1).builder.build([plain, net.value])
    samples = [{"x": net.random.uniform(-1, 1, (1, 2, 5, 5))} for _ in range(2)]
    program = enclair.compiler.compile(graph, samples, options=SplitOptions(activation_bits=9, weight_bits=9))
    assert {exposure.queries for exposure in inspect(program).exposures} == {1}
