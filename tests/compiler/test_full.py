"""What full mode makes of unusual models and samples."""

from __future__ import annotations

import numpy as np
import pytest
from tests.full_strategies import run_whole
from tests.models import Net
from tests.strategies import samples_of

from enclair import compiler
from enclair.compiler import FullOptions, Program
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg, Sub
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.ops.reductions import ReduceMean
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.reference import run
from enclair.runtime.session import Session


def identity(net: Net) -> Graph:
    return net.graph(net.input(1, 4))


def another_shape(net: Net) -> Graph:
    return net.graph(net.op(Reshape((2, 2)), net.input(1, 4)))


def negative(net: Net) -> Graph:
    return net.graph(net.op(Neg(), net.input(1, 4)))


def input_beside_output(net: Net) -> Graph:
    x = net.input(1, 4)
    return net.graph(net.gemm(x, 2), x)


def unused_input(net: Net) -> Graph:
    x, _ = net.input(1, 4), net.input(1, 3, name="y")
    return net.graph(net.gemm(x, 2))


def one_number(net: Net) -> Graph:
    x = net.input()
    return net.graph(net.op(Mul(), x, x))


def mean_of_all(net: Net) -> Graph:
    return net.graph(net.op(ReduceMean((0, 1), False), net.input(1, 4)))


def no_weight(net: Net) -> Graph:
    zeros = net.builder.constant("w", np.zeros((4, 2)))
    bias = net.builder.constant("b", np.ones(2))
    return net.graph(net.op(Add(), net.op(MatMul(), net.input(1, 4), zeros), bias))


def two_views(net: Net) -> Graph:
    h = net.gemm(net.input(1, 4), 4)
    return net.graph(h, net.op(Reshape((2, 2)), h))


def nothing_left(net: Net) -> Graph:
    h = net.gemm(net.input(1, 4), 3)
    return net.graph(net.op(Sub(), h, h))


MODELS = (
    identity, another_shape, negative, input_beside_output, unused_input, one_number, mean_of_all, no_weight,
    two_views, nothing_left,
)  # fmt: skip


def compiled(graph: Graph, samples: list[dict[str, Array]]) -> Program:
    return compiler.compile(graph, samples, options=FullOptions(tolerance=0.05))


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_models_with_hardly_anything_to_do(make: object) -> None:
    graph = make(Net())  # type: ignore[operator]
    samples = samples_of(graph)
    program = compiled(graph, samples)
    wanted = run(graph, samples[0])
    encrypted = Session(program).run(samples[0]).outputs
    for name, array in wanted.items():
        np.testing.assert_allclose(run_whole(program, samples[0])[name], array, atol=1e-9)
        np.testing.assert_allclose(encrypted[name], array, atol=0.05)
        assert encrypted[name].shape == array.shape


def test_outputs_of_one_number_are_a_vector_over_batches() -> None:
    graph = mean_of_all(Net())
    samples = samples_of(graph)
    batches = {"x": np.concatenate([sample["x"] for sample in samples])}
    (outputs,) = Session(compiled(graph, samples), "clear").run(batches).outputs.values()
    np.testing.assert_allclose(outputs, [sample["x"].mean() for sample in samples], atol=1e-9)


def test_the_modulus_holds_the_largest_sample_wherever_it_stands() -> None:
    net = Net(3)
    graph = net.graph(net.gemm(net.input(1, 8), 2))
    samples = [{"x": 0.01 * sample["x"]} for sample in samples_of(graph, 7)]
    loud = {"x": 10 * samples_of(graph, 1, 9)[0]["x"]}
    for place in (0, 3, 7):
        program = compiled(graph, [*samples[:place], loud, *samples[place:]])
        (got,), (wanted,) = Session(program).run(loud).outputs.values(), run(graph, loud).values()
        np.testing.assert_allclose(got, wanted, atol=0.05)


def test_the_modulus_holds_what_a_linear_model_can_reach() -> None:
    """Of inputs in the range accepted; samples are hardly ever at its corners, and nobody would see the overflow."""
    net = Net(3)
    graph = net.graph(net.gemm(net.input(1, 64), 2))
    program = compiled(graph, samples_of(graph))
    (spec,) = program.inputs
    for column in graph.arrays["w"].T:
        corner = {"x": spec.high * np.sign(column)[None]}
        corner["x"][corner["x"] < 0] = spec.low
        (got,), (wanted,) = Session(program).run(corner).outputs.values(), run(graph, corner).values()
        np.testing.assert_allclose(got, wanted, atol=0.05)


def test_samples_of_zeros_compile() -> None:
    graph = negative(Net())
    program = compiled(graph, [{name: np.zeros_like(x) for name, x in s.items()} for s in samples_of(graph)])
    zeros = {spec.name: np.zeros(spec.shape) for spec in program.inputs}
    assert not run_whole(program, zeros)[program.outputs[0]].any()


def test_large_outputs_under_a_loose_tolerance_are_decrypted() -> None:
    net = Net()
    graph = net.graph(net.op(Mul(), net.gemm(net.input(1, 4), 2), net.builder.constant("c", np.array(3000.0))))
    samples = samples_of(graph)
    program = compiler.compile(graph, samples, options=FullOptions(tolerance=150.0))
    outputs, wanted = Session(program).run(samples[0]).outputs, run(graph, samples[0])
    for name, array in wanted.items():
        np.testing.assert_allclose(outputs[name], array, atol=1.0)
