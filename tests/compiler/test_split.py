"""Compiling in split mode: options, cuts of stages that do not fit, and errors that name the layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.models import Net, convolutions, denoiser
from tests.rounds import run_rounds
from tests.strategies import samples_of, shape_of

from enclair import compiler
from enclair.compiler import CompileError, Program, SplitOptions
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.reductions import ReduceSum
from enclair.compiler.ir.ops.shape import Expand, Slice, Transpose
from enclair.compiler.ir.reference import run

BITS = {"activation_bits": 8, "weight_bits": 8}


def compiled(graph: Graph, **options: Any) -> Program:
    """The program, known to equal its reference."""
    program = compiler.compile(graph, samples_of(graph), options=SplitOptions(**options))
    for inputs in samples_of(graph, 2, seed=5):
        wanted = run(program.fixed, inputs)
        found = run_rounds(program, inputs, program.parameters.modulus)
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name])
    return program


def error_of(graph: Graph, samples: list[dict[str, Array]] | None = None, **options: Any) -> str:
    with pytest.raises(CompileError) as caught:
        compiler.compile(graph, samples_of(graph) if samples is None else samples, options=SplitOptions(**options))
    return str(caught.value)


def test_a_linear_model_is_one_round_and_right_at_the_border() -> None:
    graph = convolutions(2)
    program = compiled(graph, **BITS)
    assert len(program.rounds) == 1
    for inputs in samples_of(graph, 3, seed=8):
        gap = np.abs(run(program.fixed, inputs)["add.1"] - run(graph, inputs)["add.1"])
        assert gap.max() <= program.facts["gap_bound"]["value"]
    assert program.facts["gap_bound"]["kind"] == "proven"


def test_sums_of_more_than_fifty_bits_take_two_moduli_before_a_round_more() -> None:
    program = compiled(convolutions(2), activation_bits=17, weight_bits=17)
    assert len(program.parameters.plaintext_moduli) == 2
    assert (len(program.rounds), program.facts["refreshed"]) == (1, [])


@pytest.mark.parametrize("bits", [15, 18, 24])
def test_a_stage_that_cannot_fit_is_refreshed_in_between(bits: int) -> None:
    """Three and more convolutions in one stage need more bits than any modulus has, or int64."""
    program = compiled(convolutions(4), activation_bits=bits, weight_bits=bits)
    assert program.facts["refreshed"]
    assert len(program.rounds) == 1 + len(program.facts["refreshed"])


def test_a_tolerance_that_no_single_stage_can_meet_takes_rounds() -> None:
    graph = convolutions(5)
    program = compiled(graph, tolerance=1e-4)
    assert len(program.rounds) > 1
    assert program.facts["gap_bound"]["value"] <= 1e-4


def test_an_op_without_a_packed_form_moves_to_the_client() -> None:
    net = Net()
    h = net.op(Slice((1, 0, 0), (2, 3, 4), (1, 1, 1)), net.gemm(net.input(2, 3, 4), 4), name="part")
    program = compiled(net.graph(net.gemm(h, 2)), **BITS)
    assert program.facts["moved_to_client"] == ["part"]
    assert len(program.rounds) == 2


def test_an_expanded_value_is_expanded_by_the_client() -> None:
    """A constant larger than the value it is added to."""
    net = Net()
    graph = net.graph(net.op(Add(), net.conv(net.input(1, 2, 3, 3), 2, pad=0), net.constant(2, 4, 4)))
    program = compiled(graph, **BITS)
    assert any(isinstance(node.op, Expand) for node in program.rounds[0].client.nodes)


def test_weights_on_the_left_of_a_product_stay_on_the_server() -> None:
    net = Net()
    w = net.constant(3, 4)
    program = compiled(net.graph(net.op(MatMul(), w, net.input(4, 2))), **BITS)
    assert len(program.rounds) == 1


@pytest.mark.parametrize("shape", [(4,), (1, 4, 2)])
def test_weights_of_any_rank_that_are_one_matrix_are_packed(shape: tuple[int, ...]) -> None:
    net = Net()
    compiled(net.graph(net.op(MatMul(), net.input(2, 3, 4), net.constant(*shape))), **BITS)


def test_a_constant_output_goes_with_the_others() -> None:
    net = Net()
    y = net.gemm(net.input(2, 3), 2)
    program = compiled(net.graph(y, net.op(Relu(), net.constant(3), name="c")), **BITS)
    assert program.outputs == ("add", "c")


def test_an_input_that_is_an_output_too_comes_back_as_it_was() -> None:
    net = Net()
    x = net.input(2, 3)
    assert compiled(net.graph(net.gemm(x, 2), x), **BITS).outputs == ("add", "x")


def test_names_that_look_like_the_compilers_own() -> None:
    net = Net()
    h = net.op(Relu(), net.conv(net.input(1, 1, 4, 4), 1), name="x.q")
    total = net.op(Add(), net.conv(net.conv(h, 1), 1), net.conv(h, 1), name="x.fresh")
    compiled(net.graph(net.op(Relu(), total, name="x.fixed")), **BITS)


def test_a_name_that_a_ciphertext_gets_is_refused() -> None:
    net = Net()
    h = net.op(Relu(), net.conv(net.input(1, 1, 4, 4), 1), name="add.ct")
    message = "the model has values called add.ct, as ciphertexts of other values are: rename them"
    assert error_of(net.graph(net.conv(h, 1)), **BITS) == message


def test_outputs_that_are_always_zero_compile_by_tolerance() -> None:
    net = Net()
    h = net.op(Mul(), net.conv(net.input(1, 1, 4, 4), 1), net.builder.constant("zero", np.zeros(())))
    program = compiled(net.graph(net.relu(h)))
    assert program.facts["tolerance"] == 1e-4


def test_the_facts_of_a_program() -> None:
    program = compiled(denoiser(), tolerance=0.02)
    facts = program.facts
    assert (facts["mode"], facts["tolerance"]) == ("split", 0.02)
    assert facts["gap_bound"]["kind"] == "calibrated"
    assert [len(facts[name]) for name in ("layouts", "noise_growth_bits", "estimated_ms")] == [len(program.rounds)] * 3
    assert facts["ranges"]["x"] == [min(map(_low, samples_of(denoiser()))), max(map(_high, samples_of(denoiser())))]
    (spec,) = program.inputs
    assert (spec.low, spec.high) == pytest.approx([1.25 * end for end in facts["ranges"]["x"]])


def _low(sample: Mapping[str, Array]) -> float:
    return float(sample["x"].min())


def _high(sample: Mapping[str, Array]) -> float:
    return float(sample["x"].max())


def test_a_declared_range_is_taken_as_it_is() -> None:
    (spec,) = compiled(convolutions(1), **BITS, input_ranges={"x": (-3.0, 5.0)}).inputs
    assert (spec.low, spec.high) == (-3.0, 5.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation_bits": 8}, "give activation_bits and weight_bits together, or neither"),
        ({"activation_bits": 1, "weight_bits": 8}, "activation_bits must be 2 to 30, got 1"),
        ({"activation_bits": 8, "weight_bits": 31}, "weight_bits must be 2 to 30, got 31"),
        ({"tolerance": 0.0}, "tolerance must be positive, got 0.0"),
        ({"tolerance": float("nan")}, "tolerance must be positive, got nan"),
        ({"margin": -0.1}, "margin must be 0 to 10, got -0.1"),
        ({"input_ranges": {"y": (0.0, 1.0)}}, "input_ranges names y; the model's inputs are x"),
        ({"input_ranges": {"x": (1.0, 1.0)}}, "input_ranges['x'] must be (low, high) with low < high, got (1.0, 1.0)"),
        ({"input_ranges": {"x": (0.0, float("inf"))}}, "input_ranges['x'] must be (low, high) with low < high"),
        (
            {"input_ranges": {"x": (0.0, 9.0)}},
            "input_ranges['x'] is (0.0, 9.0), but the calibration data reach from -2",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    assert error_of(convolutions(1), **options).startswith(message)


def test_samples_that_do_not_fit_are_refused() -> None:
    assert error_of(convolutions(1), []) == "calibration needs at least one sample input, got none"
    assert "sample 0 lacks the inputs x; it has y" in error_of(convolutions(1), [{"y": np.ones(1)}])


def test_a_model_without_weights_has_nothing_to_encrypt() -> None:
    net = Net()
    graph = net.graph(net.op(ReduceSum((1,), True), net.relu(net.input(2, 3))))
    assert error_of(graph, **BITS) == "the model has no op with weights: there is nothing for the server to do"


def test_a_layer_that_no_cut_helps_is_named_with_its_line() -> None:
    """A stack of two matrices: weights, so the client may not do it, and no layout for it."""
    net = Net()
    x, w = net.input(2, 3, 4), net.constant(2, 4, 3)
    y = net.builder.add(MatMul(), x, w, name="experts", origin="model.py, line 12, in forward")
    assert error_of(net.graph(y), **BITS) == (
        "layer %experts (model.py, line 12, in forward) cannot run on the server: multiplies by a constant of shape "
        "(2, 4, 3): only matrices are packed. Ask for a larger tolerance or fewer bits, or rewrite the layer"
    )


def test_a_layer_of_too_high_rank_is_named() -> None:
    net = Net()
    x, w = net.input(1, 1, 3, 3, 3), net.constant(2, 1, 2, 2, 2)
    y = net.op(Conv((1,) * 3, (0,) * 6, (1,) * 3, 1), x, w, name="volume")
    message = "layer %volume cannot run on the server: tensors of rank 5 have no tile layout"
    assert error_of(net.graph(y), **BITS).startswith(message)


def test_a_batch_that_fits_no_ring_is_named() -> None:
    net = Net()
    x, w = net.input(20_000, 2, 1, 1), net.constant(2, 1, 1, 1)
    graph = net.graph(net.op(Conv((1, 1), (0,) * 4, (1, 1), 2), x, w))
    message = error_of(graph, [{"x": np.ones((20_000, 2, 1, 1))}], **BITS)
    assert message.startswith("layer %conv cannot run on the server: does not fit in 16384 slots")


def test_a_layer_whose_own_sums_are_too_large_is_named() -> None:
    net = Net()
    w = net.builder.constant("w", np.full((4096, 2), 1.0))
    graph = net.graph(net.op(MatMul(), net.input(1, 4096), w, name="wide"))
    message = error_of(graph, activation_bits=30, weight_bits=30)
    assert message.startswith("layer %wide cannot run on the server: its sums need 7")


def test_channels_on_another_axis_are_turned_by_the_client() -> None:
    """Tokens to an image and back: the convolution after the product gets its value refreshed, or the turn moved."""
    net = Net()
    tokens = net.gemm(net.input(1, 6, 4), 4)
    turned = net.op(Transpose((0, 2, 1)), tokens)
    assert shape_of(turned) == (1, 4, 6)
    compiled(net.graph(net.conv(turned, 2)), **BITS)
    up = net.op(ConvTranspose((2,), (0, 0), (1,), 1, (0,)), tokens, net.constant(6, 2, 3))
    assert len(compiled(net.graph(up), **BITS).rounds) == 2
