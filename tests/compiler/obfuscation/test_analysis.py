"""Which split points can be permuted and scaled, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.models import MAX_POOL, Net, classifier, convolutions, denoiser, transformer_block
from tests.runtime.programs import tiny_program
from tests.strategies import samples_of

from enclair import compiler
from enclair.compiler import Program, SplitOptions
from enclair.compiler.approx.intervals import intervals
from enclair.compiler.ir.graph import Graph, Value
from enclair.compiler.ir.ops.activations import LeakyRelu, PRelu, Sigmoid, Softmax
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.pooling import AveragePool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceMean
from enclair.compiler.ir.ops.shape import Concat, DepthToSpace, Pad, Reshape, Resize, Slice, Transpose
from enclair.compiler.ir.public import public_constant
from enclair.compiler.obfuscation import SplitPoint, analyse
from enclair.compiler.parameters import choose_plaintext_moduli, slot_vector_bits, sum_room_bits
from enclair.compiler.planner.costs import noise_growth
from enclair.compiler.program import LARGEST_FACTOR

Layers = Callable[[Net, Value], Value]
EXTENT = 4


def compiled(graph: Graph, bits: int = 8) -> Program:
    return compiler.compile(graph, samples_of(graph), options=SplitOptions(activation_bits=bits, weight_bits=bits))


def between(layers: Layers, channels: int = 4) -> Graph:
    """A convolution to so many channels, the layers, a ReLU that keeps them on the client, another convolution."""
    net = Net()
    first = net.conv(net.input(1, 1, EXTENT, EXTENT), channels)
    return net.graph(net.conv(net.relu(layers(net, first)), 1))


def first_point(graph: Graph) -> SplitPoint:
    return analyse(compiled(graph)).points[0]


def slopes(net: Net, *shape: int, value: float | None = None) -> Value:
    return net.constant(*shape) if value is None else net.builder.constant("slope", np.full(shape, value))


ALIKE: dict[str, Layers] = {
    "relu": lambda _, x: x,
    "leaky relu": lambda net, x: net.op(LeakyRelu(0.1), x),
    "sigmoid": lambda net, x: net.op(Sigmoid(), x),
    "max pool": lambda net, x: net.op(MAX_POOL, x),
    "average pool": lambda net, x: net.op(AveragePool((2, 2), (2, 2), (0,) * 4, False), net.relu(x)),
    "one slope": lambda net, x: net.op(PRelu(), x, slopes(net, 1)),
    "equal slopes": lambda net, x: net.op(PRelu(), x, slopes(net, 4, 1, 1, value=0.25)),
    "padding of the image": lambda net, x: net.op(Pad((0, 0, 1, 1, 0, 0, 1, 1), "edge"), net.relu(x)),
    "resize": lambda net, x: net.op(Resize((1, 1, 2, 2)), net.relu(x)),
    "crop": lambda net, x: net.op(Slice((0, 0, 1, 1), (1, 4, 4, 4), (1, 1, 1, 1)), net.relu(x)),
    "softmax over rows": lambda net, x: net.op(Softmax(2), x),
    "sum with itself": lambda net, x: net.op(Add(), net.relu(x), net.op(Sigmoid(), x)),
    "two channels after another": lambda net, x: net.op(Concat(1), net.relu(x), net.op(Sigmoid(), x)),
    "there and back": lambda net, x: net.op(
        Transpose((0, 3, 1, 2)), net.op(Softmax(1), net.op(Transpose((0, 2, 3, 1)), x))
    ),
    "a maximum over rows": lambda net, x: net.op(Reshape((1, 4, 1, 4)), net.op(ReduceMax((2,), False), net.relu(x))),
}


@pytest.mark.parametrize("layers", ALIKE.values(), ids=ALIKE.keys())
def test_stages_that_treat_channels_alike_are_permuted(layers: Layers) -> None:
    point = first_point(between(layers))
    assert (point.round, point.channels, point.not_permuted) == (1, 4, "")


def numbers_per_channel(net: Net, x: Value) -> Value:
    return net.op(Mul(), net.relu(x), public_constant(net.builder, "p", np.arange(4.0).reshape(4, 1, 1)))


REFUSED: dict[str, tuple[Layers, str]] = {
    "a slope for each channel": (
        lambda net, x: net.op(PRelu(), x, slopes(net, 4, 1, 1)),
        "PRelu %prelu has numbers of its own for each channel",
    ),
    "public numbers for each channel": (numbers_per_channel, "Mul %mul has numbers of its own for each channel (%p"),
    "softmax over channels": (lambda net, x: net.op(Softmax(1), x), "Softmax %softmax mixes channels"),
    "mean over channels": (
        lambda net, x: net.op(ReduceMean((1,), True), net.op(Sigmoid(), x)),
        "ReduceSum %reducesum mixes channels",
    ),
    "pixel shuffle": (
        lambda net, x: net.op(DepthToSpace(2, "CRD"), net.relu(x)),
        "DepthToSpace %depthtospace mixes channels",
    ),
    "some of the channels": (
        lambda net, x: net.op(Slice((0, 1, 0, 0), (1, 3, 4, 4), (1, 1, 1, 1)), net.relu(x)),
        "Slice %slice mixes channels",
    ),
    "channels as rows": (
        lambda net, x: net.op(Transpose((0, 2, 1, 3)), net.relu(x)),
        "is sent again in ciphertexts that hold several channels each",
    ),
    "two kinds of channels": (
        lambda net, x: net.op(Add(), net.relu(x), net.op(Transpose((0, 2, 1, 3)), net.op(Sigmoid(), x))),
        "Add %add.1 joins channels of different kinds",
    ),
}


@pytest.mark.parametrize(("layers", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_stages_that_tell_channels_apart_are_not(layers: Layers, reason: str) -> None:
    point = first_point(between(layers))
    assert point.channels == 0
    assert reason in point.not_permuted


def test_outputs_are_not_permuted() -> None:
    net = Net()
    hidden = net.relu(net.conv(net.input(1, 1, EXTENT, EXTENT), 4))
    point = first_point(net.graph(net.conv(hidden, 1), hidden))
    assert point.not_permuted.endswith("is an output of the model")


def test_a_skip_of_the_input_is_not_permuted() -> None:
    net = Net()
    x = net.input(1, 4, EXTENT, EXTENT)
    added = net.op(Add(), net.relu(net.conv(x, 4)), x)
    point = first_point(net.graph(net.conv(net.relu(added), 1)))
    assert "Add %add.1 joins it with %x" in point.not_permuted
    assert "whose channels stand in their own order" in point.not_permuted


def test_channels_beside_those_of_the_input_are_permuted_among_themselves() -> None:
    net = Net()
    x = net.input(1, 2, EXTENT, EXTENT)
    joined = net.op(Concat(1), net.relu(net.conv(x, 4)), net.op(Sigmoid(), x))
    program = compiled(net.graph(net.conv(net.relu(joined), 1)))
    found = analyse(program)
    assert found.points[0].channels == 4
    ((_, upload),) = [item for item in found.crossings.items() if item[0].endswith(".up2")]
    assert [(number >= 0, length) for number, length in upload.runs] == [(True, 4), (False, 2)]


def test_a_skip_from_an_earlier_answer_ties_two_answers_to_one_order() -> None:
    net = Net()
    early = net.relu(net.conv(net.input(1, 1, EXTENT, EXTENT), 3))
    late = net.conv(net.op(Sigmoid(), net.conv(early, 3)), 3)
    joined = net.relu(net.op(Mul(), net.relu(late), early))
    program = compiled(net.graph(net.conv(joined, 1)))
    found = analyse(program)
    assert [point.channels for point in found.points] == [3, 3, 3, 0]
    numbers = {name: crossing.runs[0][0] for name, crossing in found.crossings.items()}
    assert numbers["add.ct"] == numbers["add.2.ct"] != numbers["add.1.ct"]


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (denoiser(), "it has one channel"),
        (classifier(), "its ciphertexts hold several channels each"),
        (transformer_block(), "its ciphertexts hold several channels each"),
    ],
)
def test_answers_without_channels_of_their_own(graph: Graph, reason: str) -> None:
    assert analyse(compiled(graph)).points[-1].not_permuted == reason


def test_flattened_channels_are_not_permuted() -> None:
    assert first_point(classifier()).not_permuted == "Reshape %reshape mixes channels"


def test_factors_stay_within_the_plaintext_modulus() -> None:
    program = compiled(denoiser())
    known, found = intervals(program.fixed), analyse(program)
    largest = program.parameters.largest_value
    for point in found.points:
        assert point.largest_factor * known[point.value].magnitude <= largest
        assert (point.largest_factor + 1) * known[point.value].magnitude > largest
        assert bool(point.not_scaled) == (point.largest_factor == 1)
    assert {point.largest_factor > 1 for point in found.points} == {True, False}
    assert any(point.not_scaled == "its range fills the plaintext modulus (18 bits of 19)" for point in found.points)


def with_room(program: Program, bits: int, flood_bits: int = 40) -> Program:
    """The same rounds under a plaintext modulus of other bits, and other flooding."""
    old = program.parameters
    moduli = choose_plaintext_moduli(2 ** (bits - 1), old.ring_dim, old.prime_bits)
    return replace(program, parameters=replace(old, plaintext_moduli=moduli, flood_bits=flood_bits))


def test_factors_end_where_the_protocol_does() -> None:
    program = with_room(compiled(denoiser()), 40, flood_bits=10)
    assert {point.largest_factor for point in analyse(program).points} == {LARGEST_FACTOR}


def test_factors_stay_within_the_room_for_noise() -> None:
    program = compiled(denoiser())
    room = sum_room_bits(with_room(program, 40).parameters)
    for left in (-1, 3.5):
        flood = 40 + int(room - max_growth(program) - left)
        point = max(analyse(with_room(program, 40, flood)).points, key=lambda p: -p.largest_factor)
        if left < 0:
            assert (point.largest_factor, point.not_scaled) == (1, "its noise leaves no room")
        else:
            assert 8 <= point.largest_factor < 32
            assert point.not_scaled == ""


def max_growth(program: Program) -> float:
    vector_bits = slot_vector_bits(program.parameters)
    return max(max(noise_growth(round_.server, vector_bits, {}).values()) for round_ in program.rounds)


def test_a_value_without_a_proven_range_is_not_scaled() -> None:
    assert {point.not_scaled for point in analyse(tiny_program()).points} == {"no range of it is proven"}


def test_one_round_has_nothing_to_permute() -> None:
    assert analyse(compiled(convolutions(1))).crossings == {}
