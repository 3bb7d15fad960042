"""The choice of ring and moduli."""

from __future__ import annotations

import pytest
from tests.fixed import fixed_graph
from tests.models import Net, convolutions

from enclair.compiler.approx.intervals import largest_sum
from enclair.compiler.errors import CompileError, DoesNotFit, PackingError
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.packing.assemble import assemble, round_count
from enclair.compiler.packing.packed_stage import Ring
from enclair.compiler.planner.rings import choose_ring, parameter_choices, ring_of


def test_every_choice_holds_the_sums() -> None:
    for largest in (100, 2**30, 2**50, 2**59):
        choices = list(parameter_choices(largest, 40))
        assert choices
        assert all(parameters.largest_value >= largest for parameters in choices)
        sizes = [(p.ring_dim, p.limbs) for p in choices]
        assert sizes == sorted(sizes)


def test_sums_beyond_50_bits_take_two_moduli() -> None:
    fixed = fixed_graph(convolutions(2), 17)
    _, largest = largest_sum(fixed)
    assert 50 < (2 * largest).bit_length() <= 62
    parameters, assembled = choose_ring(fixed, 40)
    assert len(parameters.plaintext_moduli) == 2
    assert parameters.largest_value >= largest
    assert assembled.growth_bits() <= ring_of(parameters).room_bits


def test_the_choice_is_the_cheapest_that_packs() -> None:
    fixed = fixed_graph(convolutions(2, activation=Relu()), 8)
    parameters, assembled = choose_ring(fixed, 40)
    times = {}
    for choice in parameter_choices(largest_sum(fixed)[1], 40):
        try:
            times[choice] = assemble(fixed, ring_of(choice)).milliseconds() * len(choice.plaintext_moduli)
        except PackingError:
            continue
    assert times[parameters] == min(times.values())
    assert assembled.milliseconds() * len(parameters.plaintext_moduli) == min(times.values())


def test_sums_no_modulus_holds_name_the_layer() -> None:
    fixed = fixed_graph(convolutions(3), 15)
    with pytest.raises(DoesNotFit, match=r"%add\.2\.fixed: its sums need \d\d bits"):
        choose_ring(fixed, 40)


def test_a_stage_without_noise_room_names_layer_and_room() -> None:
    fixed = fixed_graph(convolutions(1), 8)
    with pytest.raises(PackingError, match=r"needs \d+ bits of noise room, ring dimension 64 with 2 limbs has 3"):
        assemble(fixed, Ring(64, 2, 3.0, 20.0))


def test_a_value_without_a_tile_size_names_itself() -> None:
    net = Net()
    fixed = fixed_graph(net.graph(net.conv(net.input(5, 1, 3, 3), 1)), 8)
    with pytest.raises(PackingError, match=r"%add\.fixed: does not fit in 4 slots"):
        assemble(fixed, Ring(4, 2, 100.0, 20.0))


def test_nothing_on_the_server_is_an_error() -> None:
    net = Net()
    fixed = fixed_graph(net.graph(net.relu(net.input(2, 2))), 8)
    for refused in (lambda: round_count(fixed), lambda: choose_ring(fixed, 40)):
        with pytest.raises(CompileError, match="no op with weights: there is nothing for the server to do"):
            refused()
