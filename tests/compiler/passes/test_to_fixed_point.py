"""Reals to fixed point: scales, rounding where values go up, names, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fixed import fixed_graph
from tests.models import Net, convolutions
from tests.strategies import samples_of

from enclair.compiler.approx.ranges import Range, calibrate
from enclair.compiler.errors import CompileError, DoesNotFit
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.ops.activations import Relu, Sigmoid
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.fixed import Quantise, Requantise, Shift
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.shape import Transpose
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import TensorType
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.passes.place_ops import PlaceOps
from enclair.compiler.passes.to_fixed_point import ToFixedPoint, scale_for
from enclair.compiler.split import PREPARE


def ops(graph: Graph, kind: type) -> list[str]:
    return [node.out.name for node in graph.nodes if isinstance(node.op, kind)]


@pytest.mark.parametrize(
    ("magnitude", "bits", "scale_bits"),
    [(1.0, 8, 6), (127.0, 8, 0), (128.0, 8, -1), (0.0, 8, 7), (1.0, 2, 0), (0.5, 2, 1), (1e-9, 8, 36), (1e9, 8, -23)],
)
def test_a_scale_is_the_largest_that_fits(magnitude: float, bits: int, scale_bits: int) -> None:
    assert scale_for(magnitude, bits) == scale_bits
    if magnitude:
        assert magnitude * 2.0**scale_bits <= 2 ** (bits - 1) - 1 < magnitude * 2.0 ** (scale_bits + 1)


def test_values_are_rounded_where_they_go_up_and_nowhere_else() -> None:
    fixed = fixed_graph(convolutions(3, activation=Relu()), 8)
    assert ops(fixed, Quantise) == ["x.q"]
    assert ops(fixed, Requantise) == ["relu.q", "relu.1.q"]


def test_a_value_read_twice_by_the_server_goes_up_once() -> None:
    net = Net()
    x = net.input(1, 1, 4, 4)
    fixed = fixed_graph(net.graph(net.op(Add(), net.conv(x, 2), net.conv(x, 2))), 8)
    assert ops(fixed, Quantise) == ["x.q"]


def test_a_real_activation_is_computed_on_reals_and_rounded_again() -> None:
    fixed = fixed_graph(convolutions(2, activation=Sigmoid()), 8)
    assert ops(fixed, Quantise) == ["x.q", "sigmoid.q"]
    assert fixed.producers()["sigmoid"].args[0].type == TensorType((1, 2, 6, 6))


def test_the_side_of_lower_scale_is_shifted() -> None:
    net = Net()
    x = net.input(1, 1, 4, 4)
    fixed = fixed_graph(net.graph(net.op(Add(), net.conv(net.conv(x, 1), 1), net.conv(x, 1))), 6)
    (shift,) = ops(fixed, Shift)
    assert shift == "add.3.shift"


def test_names_of_the_model_may_look_like_those_of_the_compiler() -> None:
    """A value called x.q beside x, and others called shift and add.shift."""
    net = Net()
    x = net.input(1, 1, 4, 4)
    h = net.op(Relu(), net.conv(x, 1), name="x.q")
    other = net.op(Relu(), net.conv(h, 1), name="shift")
    total = net.op(Add(), net.conv(net.conv(other, 1), 1), net.conv(other, 1), name="add.shift")
    fixed = fixed_graph(net.graph(net.op(Relu(), total, name="x.fixed")), 6)
    run(fixed, {"x": np.zeros((1, 1, 4, 4))})
    assert ops(fixed, Quantise) == ["x.q.1"]


def test_an_output_keeps_its_name_and_is_real() -> None:
    for graph in (convolutions(1), convolutions(2, activation=Relu()), convolutions(2, activation=Sigmoid())):
        fixed = fixed_graph(graph, 8)
        assert fixed.outputs == graph.outputs


def test_inputs_outside_of_their_range_saturate() -> None:
    graph = convolutions(1)
    fixed = fixed_graph(graph, 8)
    quantise = fixed.producers()["x.q"].op
    assert isinstance(quantise, Quantise)
    at_limit = np.full((1, 1, 6, 6), quantise.high * 2.0**-quantise.scale_bits)
    np.testing.assert_array_equal(run(fixed, {"x": 100 * at_limit})["add"], run(fixed, {"x": at_limit})["add"])
    assert quantise.saturations(100 * at_limit) == 36


def test_nan_becomes_zero_and_counts_as_saturated() -> None:
    op = Quantise(4, -8, 7)
    x = np.array([np.nan, np.inf, -np.inf, 0.25])
    assert op.evaluate(x).tolist() == [0, 7, -8, 4]
    assert op.saturations(x) == 3


def test_a_product_of_activations_is_exact_in_integers() -> None:
    net = Net()
    x = net.gemm(net.input(1, 3, 4), 4)
    fixed = fixed_graph(net.graph(net.gemm(net.op(MatMul(), x, net.op(Transpose((0, 2, 1)), x)), 2)), 8)
    (product,) = [node for node in fixed.nodes if isinstance(node.op, MatMul) and not fixed.is_constant(node.args[1])]
    assert product.place is not None
    assert product.place.side == "client"
    assert isinstance(product.out.type, TensorType)
    assert product.out.type.is_fixed


def test_a_product_of_activations_that_leaves_int64_is_refused() -> None:
    net = Net()
    x = net.gemm(net.input(1, 3, 4), 64)
    wanted = r"%matmul\.1 multiplies two computed values on the client: its sums need 6\d bits"
    with pytest.raises(CompileError, match=wanted):
        fixed_graph(net.graph(net.gemm(net.op(MatMul(), x, net.op(Transpose((0, 2, 1)), x)), 2)), 30, 8)


def test_a_constant_that_is_too_large_for_its_scale_is_refused() -> None:
    net = Net()
    x = net.op(Conv((1, 1), (0,) * 4, (1, 1), 1), net.input(1, 1, 2, 2), net.constant(2, 1, 1, 1))
    huge = net.builder.constant("offset", np.full((2, 1, 1), 1e12))
    with pytest.raises(DoesNotFit, match=r"%add: its constant %offset needs more than 61 bits at 2\^-\d+"):
        fixed_graph(net.graph(net.op(Add(), x, huge)), 20)


def test_an_output_may_be_an_input_but_no_constant() -> None:
    net = Net()
    x, w = net.input(2, 3), net.constant(3, 3)
    y = net.op(MatMul(), x, w)
    assert fixed_graph(net.graph(y, x), 8).outputs == (y, x)
    with pytest.raises(CompileError, match="output 'w' is a constant of the model: it needs no compiling, take it out"):
        fixed_graph(net.graph(y, w), 8)


def test_a_node_without_a_place_is_refused() -> None:
    graph = convolutions(1)
    with pytest.raises(CompileError, match="%conv has no place"):
        ToFixedPoint(calibrate(graph, samples_of(graph)), 8, 8)(graph)


def test_a_dead_channel_has_a_scale() -> None:
    """All samples of a value are zero."""
    net = Net()
    x = net.input(1, 1, 4, 4)
    dead = net.op(Relu(), net.op(Mul(), net.op(Relu(), net.conv(x, 1)), net.builder.constant("zero", np.zeros(()))))
    graph = run_passes(net.graph(net.conv(dead, 1)), [*PREPARE, PlaceOps()])
    ranges = calibrate(graph, samples_of(graph))
    assert Range(0.0, 0.0) in ranges.values()
    fixed = run_passes(graph, [ToFixedPoint(ranges, 8, 8)])
    assert np.isfinite(run(fixed, samples_of(graph)[0])["add.1"]).all()
