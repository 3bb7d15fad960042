"""The exact rewrites of full mode keep the meaning of random graphs; each also on a small case."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import graphs, samples_of

from enclair.compiler.approx.approximate import LOWER
from enclair.compiler.approx.fitting import best_at
from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.ops import activations as a
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Div, Maximum, Minimum, Mul, Neg, Pow, Reciprocal
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.normalisation import GroupNorm, LayerNormalization
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.ops.pooling import MaxPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceSum
from enclair.compiler.ir.ops.shape import Gather, Pad
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType
from enclair.compiler.ir.verify import verify
from enclair.compiler.passes.approximate_activations import ApproximateActivations
from enclair.compiler.passes.fold_prescale import FoldPrescale
from enclair.compiler.passes.fold_products import FoldProducts
from enclair.compiler.passes.lower_clips import LowerClips
from enclair.compiler.passes.lower_maxima import LowerMaxima
from enclair.compiler.passes.lower_normalisations import LowerNormalisations, Shift
from enclair.compiler.passes.lower_pads import LowerPads
from enclair.compiler.passes.lower_quotients import LowerQuotients
from enclair.compiler.passes.pipeline import Pass, run_passes
from enclair.compiler.passes.recognise_activations import RecogniseActivations

EXACT = (
    LowerPads(),
    LowerNormalisations(),
    LowerMaxima(),
    LowerQuotients(),
    LowerClips(),
    FoldProducts(),
    FoldPrescale(),
)


def same(before: Graph, after: Graph, count: int = 2) -> None:
    """Check that both give the same outputs."""
    verify(after, Stage.TENSOR)
    for sample in samples_of(before, count):
        wanted, found = run(before, sample), run(after, sample)
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-8, atol=1e-8)


def unary(op: Op, *shape: int) -> Graph:
    builder = Builder("g")
    x = builder.input("x", TensorType(shape))
    return builder.build([builder.add(op, x, name="y")])


def ops_of(graph: Graph) -> set[type[Op]]:
    return {type(node.op) for node in graph.nodes}


@pytest.mark.parametrize("pass_", EXACT, ids=lambda pass_: type(pass_).__name__)
@given(graph=graphs())
def test_rewrites_keep_the_meaning(pass_: Pass, graph: Graph) -> None:
    same(graph, pass_(graph))


@pytest.mark.parametrize("pass_", EXACT, ids=lambda pass_: type(pass_).__name__)
@given(graph=graphs())
def test_rewrites_twice_are_rewrites_once(pass_: Pass, graph: Graph) -> None:
    once = pass_(graph)
    assert pass_(once) == once


@given(graph=graphs())
def test_all_together(graph: Graph) -> None:
    lowered = run_passes(graph, (LowerNormalisations(), *LOWER), dumped=False)
    same(graph, lowered)
    compound = {a.Softmax, LayerNormalization, GroupNorm, MaxPool, ReduceMax, Maximum, Minimum, Div, a.PRelu}
    assert not ops_of(lowered) & compound


@pytest.mark.parametrize("shift", [Shift(1.0), Shift(0.5, mean=True), None])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax(shift: Shift | None, axis: int) -> None:
    graph = unary(a.Softmax(axis), 2, 3, 4)
    after = LowerNormalisations({} if shift is None else {"y": shift})(graph)
    same(graph, after)
    assert (ReduceMax in ops_of(after)) == (shift is None)


def test_centring_goes_into_the_product_before() -> None:
    builder, rng = Builder("g"), np.random.default_rng(0)
    x = builder.input("x", TensorType((2, 5)))
    product = builder.add(MatMul(), x, builder.constant("w", rng.normal(size=(5, 4))))
    biased = builder.add(Add(), product, builder.constant("b", rng.normal(size=4)))
    gamma, beta = builder.constant("gamma", rng.normal(size=4)), builder.constant("beta", rng.normal(size=4))
    graph = builder.build([builder.add(LayerNormalization(1, 1e-3), biased, gamma, beta, name="y")])
    after = FoldProducts()(LowerNormalisations()(graph))
    same(graph, after)
    assert sum(isinstance(node.op, MatMul) for node in after.nodes) == 1
    assert sum(isinstance(node.op, ReduceSum) for node in after.nodes) == 1, "of the variance"


def test_sums_of_powers_are_bounded_below_when_the_mean_is_subtracted() -> None:
    graph = LowerNormalisations({"y": Shift(0.0, mean=True)})(unary(a.Softmax(1), 1, 6))
    total = next(node.args[0] for node in graph.nodes if isinstance(node.op, Reciprocal))
    seen = [run(Graph("s", graph.inputs, graph.constants, graph.nodes, (total,), graph.arrays), {"x": 9 * x})
            for x in np.random.default_rng(0).normal(size=(50, 1, 6))]  # fmt: skip
    assert min(float(next(iter(outputs.values())).min()) for outputs in seen) >= 6


@pytest.mark.parametrize(
    "op",
    [
        MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)),
        MaxPool((3, 3), (2, 1), (1, 1, 1, 1), (1, 1)),
        MaxPool((3, 2), (1, 1), (2, 0, 0, 1), (2, 1)),
        ReduceMax((1, 3), False),
        ReduceMax((2,), True),
    ],
)
def test_maxima(op: Op) -> None:
    graph = unary(op, 2, 3, 7, 6)
    after = LowerMaxima()(graph)
    same(graph, after)
    assert a.Relu in ops_of(after)


def test_pooling_takes_one_maximum_per_axis_and_doubling() -> None:
    after = LowerMaxima()(unary(MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), 1, 1, 4, 4))
    assert sum(isinstance(node.op, a.Relu) for node in after.nodes) == 2


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 5.0, 8.0, -1.0, -2.0, 0.5, -0.5, 1.5])
def test_powers(exponent: float) -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((5,)))
    y = builder.add(Pow(exponent), builder.add(a.Exp(), x), name="y")
    same(builder.build([y]), LowerQuotients()(builder.build([y])))


def test_powers_take_the_least_depth() -> None:
    after = LowerQuotients()(unary(Pow(7.0), 3))
    depth = {"x": 0}
    for node in after.nodes:
        depth[node.out.name] = 1 + max(depth[arg.name] for arg in node.args)
    assert depth["y"] == 3


def test_quotients_by_roots_need_no_root() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((5,)))
    root = builder.add(a.Sqrt(), builder.add(a.Exp(), x))
    graph = builder.build([builder.add(Div(), x, root), builder.add(Reciprocal(), root)])
    after = LowerQuotients()(graph)
    same(graph, after)
    assert ops_of(after) == {a.Exp, Pow, Mul}


@pytest.mark.parametrize("slopes", [[[0.25]], [[0.1], [0.5]]])
def test_prelu(slopes: list[list[float]]) -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 2, 3)))
    graph = builder.build([builder.add(a.PRelu(), x, builder.constant("s", np.array(slopes)), name="y")])
    after = LowerQuotients()(graph)
    same(graph, after)
    assert (a.LeakyRelu in ops_of(after)) == (len(slopes) == 1)


@pytest.mark.parametrize(
    "op",
    [a.Clip(0.0, 6.0), a.Clip(-1.0, np.inf), a.Clip(-np.inf, 0.5), a.HardSigmoid(0.2, 0.5), a.HardSigmoid(-0.3, 0.1),
     a.HardSwish()],
)  # fmt: skip
def test_clips(op: Op) -> None:
    graph = unary(op, 4, 5)
    after = LowerClips()(graph)
    same(graph, after)
    assert ops_of(after) & {a.Clip, a.HardSigmoid, a.HardSwish} == set()


def spelled(kind: str, builder: Builder, x: Value) -> Value:
    """An activation as exporters write it."""

    def number(value: float) -> Value:
        return builder.constant("c", np.array(np.float32(value)))

    if kind == "silu":
        return builder.add(Mul(), builder.add(a.Sigmoid(), x), x)
    if kind == "hardswish":
        return builder.add(Mul(), x, builder.add(a.HardSigmoid(1 / 6, 0.5), x))
    if kind == "mish":
        return builder.add(Mul(), x, builder.add(a.Tanh(), builder.add(a.Softplus(), x)))
    if kind == "gelu tanh":
        cubic = builder.add(Mul(), builder.add(Pow(3.0), x), number(0.044715))
        inner = builder.add(Mul(), builder.add(Add(), x, cubic), number(0.7978845608))
        outer = builder.add(Add(), builder.add(a.Tanh(), inner), number(1.0))
        return builder.add(Mul(), builder.add(Mul(), x, number(0.5)), outer)
    erf = builder.add(a.Erf(), builder.add(Div(), x, number(2**0.5)))
    return builder.add(Mul(), x, builder.add(Add(), erf, number(1.0)))


@pytest.mark.parametrize(
    ("kind", "op"),
    [("silu", a.Silu()), ("hardswish", a.HardSwish()), ("mish", a.Mish()), ("gelu tanh", a.Gelu("tanh")),
     ("2 gelu", a.Gelu())],
)  # fmt: skip
def test_activations_that_are_spelled_out(kind: str, op: Op) -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((2, 30)))
    graph = builder.build([spelled(kind, builder, builder.add(Neg(), x))])
    after = RecogniseActivations()(graph)
    assert [node.op for node in after.nodes] == [Neg(), op] + ([Mul()] if kind == "2 gelu" else [])
    sample = {"x": np.random.default_rng(0).normal(size=(2, 30))}
    for name, wanted in run(graph, sample).items():
        np.testing.assert_allclose(run(after, sample)[name], wanted, atol=1e-6)


def test_products_of_other_functions_stay() -> None:
    builder = Builder("g")
    x, y = builder.input("x", TensorType((3,))), builder.input("y", TensorType((3,)))
    out = [builder.add(Mul(), x, builder.add(a.Sigmoid(), y)), builder.add(Mul(), x, builder.add(a.Tanh(), x))]
    graph = builder.build([*out, builder.add(Mul(), x, x)])
    assert RecogniseActivations()(graph) == graph


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pads(mode: str) -> None:
    graph = unary(Pad((0, 0, 1, 2, 0, 0, 2, 0), mode, 0.5 if mode == "constant" else 0.0), 1, 2, 4, 5)
    after = LowerPads()(graph)
    same(graph, after)
    assert ops_of(after) == ({Pad, Add} if mode == "constant" else {Gather})


def test_pads_of_nothing_stay() -> None:
    graph = unary(Pad((0, 0, 0, 0), "edge"), 2, 3)
    assert LowerPads()(graph) == graph


def polynomial(low: float, high: float) -> Polynomial:
    return Polynomial((0.5, -1.0, 0.25, 0.125), low, high)


def test_prescale_goes_into_the_layer_before() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 2, 4, 4)))
    conv = builder.add(Conv((1, 1), (0, 0, 0, 0), (1, 1), 1), x, builder.constant("w", np.ones((3, 2, 1, 1))))
    biased = builder.add(Add(), conv, builder.constant("b", np.arange(3.0).reshape(3, 1, 1)))
    graph = builder.build([builder.add(polynomial(-3.0, 5.0), biased, name="y")])
    after = FoldPrescale()(graph)
    same(graph, after)
    assert [node.op for node in after.nodes if isinstance(node.op, Polynomial)] == [polynomial(-1.0, 1.0)]
    assert ops_of(after) == {Conv, Add, Polynomial}


def test_prescale_without_a_bias_adds_one() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((2, 3)))
    product = builder.add(MatMul(), x, builder.constant("w", np.ones((3, 2))))
    graph = builder.build([builder.add(polynomial(-3.0, 5.0), product, name="y")])
    after = FoldPrescale()(graph)
    same(graph, after)
    assert ops_of(after) == {MatMul, Add, Polynomial}


def test_prescale_stays_where_the_layer_has_other_readers() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((2, 3)))
    product = builder.add(MatMul(), x, builder.constant("w", np.ones((3, 2))))
    y = builder.add(polynomial(-3.0, 5.0), product, name="y")
    graph = builder.build([builder.add(Add(), y, product)])
    assert FoldPrescale()(graph) == graph


def test_prescale_of_the_composite_sign() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((2, 3)))
    product = builder.add(MatMul(), x, builder.constant("w", np.eye(3)))
    relu = builder.build([builder.add(a.Relu(), product, name="y")])
    fit = best_at(a.Relu(), -4.0, 4.0, 11)
    assert fit is not None
    graph = ApproximateActivations({"y": fit})(relu)
    after = FoldPrescale()(graph)
    same(graph, after)
    assert all((node.op.low, node.op.high) == (-1.0, 1.0) for node in after.nodes if isinstance(node.op, Polynomial))


@pytest.mark.parametrize(("op", "number"), [(Mul(), 3.0), (Add(), -0.5)])
def test_one_number_goes_into_the_interval(op: Op, number: float) -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((4,)))
    moved = builder.add(op, x, builder.constant("c", np.array(number)))
    graph = builder.build([builder.add(polynomial(-3.0, 5.0), moved, name="y")])
    after = FoldPrescale()(graph)
    same(graph, after)
    assert ops_of(after) == {Polynomial}


def test_negation_goes_into_the_coefficients() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((4,)))
    graph = builder.build([builder.add(polynomial(-2.0, 2.0), builder.add(Neg(), x), name="y")])
    after = FoldPrescale()(graph)
    same(graph, after)
    assert ops_of(after) == {Polynomial}


def test_bias_and_gain_before_products_fold() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType((2, 3, 4)))
    shifted = builder.add(Add(), x, builder.constant("b", np.arange(4.0)))
    rng = np.random.default_rng(0)
    out = [builder.add(MatMul(), shifted, builder.constant("w", rng.normal(size=(4, 4)))) for _ in range(2)]
    graph = builder.build([builder.add(MatMul(), out[0], builder.constant("v", rng.normal(size=(4, 2)))), out[1]])
    after = FoldProducts()(graph)
    same(graph, after)
    assert sum(isinstance(node.op, MatMul) for node in after.nodes) == 2


@pytest.mark.parametrize(("op", "levels"), [(a.Relu(), 5), (a.Relu(), 11), (a.Exp(), 10), (a.Sigmoid(), 4)])
def test_fits_in_a_graph_are_fits_in_the_clear(op: Op, levels: int) -> None:
    fit = best_at(op, -3.0, 3.0, levels)
    assert fit is not None
    after = ApproximateActivations({"y": fit})(unary(op, 50))
    x = np.linspace(-3, 3, 50)
    (found,) = run(after, {"x": x}).values()
    np.testing.assert_allclose(found, fit(x), atol=1e-9)
    assert np.abs(found - op.evaluate(x)).max() <= fit.error
    assert after.outputs[0].name == "y"


@pytest.mark.parametrize(("op", "levels"), [(Reciprocal(), 11), (Pow(-0.5), 11)])
def test_iterations_in_a_graph(op: Op, levels: int) -> None:
    fit = best_at(op, 0.05, 3.0, levels)
    assert fit is not None
    assert fit.steps > 0
    after = ApproximateActivations({"y": fit})(unary(op, 50))
    x = np.linspace(0.05, 3.0, 50)
    (found,) = run(after, {"x": x}).values()
    assert np.abs(found / op.evaluate(x) - 1).max() <= fit.error


@given(data=st.data())
def test_fitted_graphs_stay_within_their_certificates(data: st.DataObject) -> None:
    """One activation on a random interval, with its prescale folded into a matrix."""
    op = data.draw(st.sampled_from([a.Relu(), a.Gelu(), a.Silu(), a.Tanh(), a.HardSigmoid(0.2, 0.5), a.Elu(1.0)]))
    low, high = data.draw(st.floats(-8, -0.5)), data.draw(st.floats(0.5, 8))
    fit = best_at(op, low, high, data.draw(st.integers(2, 5)))
    assert fit is not None
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 64)))
    product = builder.add(MatMul(), x, builder.constant("w", np.eye(64)))
    graph = builder.build([builder.add(op, product, name="y")])
    after = FoldPrescale()(ApproximateActivations({"y": fit})(graph))
    sample = {"x": np.random.default_rng(0).uniform(low, high, (1, 64))}
    assert np.abs(run(after, sample)["y"] - run(graph, sample)["y"]).max() <= fit.error
