"""The exact rewrites on reals: what each makes of what, and cases that once went wrong."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models import Net
from tests.strategies import samples_of, shape_of

from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.normalisation import BatchNorm
from enclair.compiler.ir.ops.pooling import AveragePool
from enclair.compiler.ir.ops.reductions import ReduceMean
from enclair.compiler.ir.ops.shape import Concat, Reshape, Resize, Transpose
from enclair.compiler.ir.public import PREFIX, is_public
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import TensorType
from enclair.compiler.passes.expand_operands import ExpandOperands
from enclair.compiler.passes.fold_affine import FoldAffine
from enclair.compiler.passes.fold_constants import FoldConstants
from enclair.compiler.passes.insert_refreshes import InsertRefreshes
from enclair.compiler.passes.lower_averages import LowerAverages
from enclair.compiler.passes.lower_concats import LowerConcats
from enclair.compiler.passes.lower_products import LowerProducts
from enclair.compiler.passes.lower_to_affine import LowerToAffine
from enclair.compiler.passes.pipeline import Pass, run_passes

UPSAMPLE = ConvTranspose((2, 2), (0,) * 4, (1, 1), 2, (0, 0))
SAME = Conv((1, 1), (1, 1, 1, 1), (1, 1), 1)


def ops(graph: Graph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes]


def after(pass_: Pass, graph: Graph) -> Graph:
    """The rewritten graph, known to mean the same."""
    rewritten = run_passes(graph, [pass_])
    for sample in samples_of(graph, 2):
        found, wanted = run(rewritten, sample), run(graph, sample)
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, atol=1e-12)
    return rewritten


def chain(shape: tuple[int, ...], *steps: tuple[Op, tuple[int, ...] | None]) -> Graph:
    """Ops one after another, each with a constant of the given shape, or alone."""
    net = Net()
    value = net.input(*shape)
    for op, constant in steps:
        value = net.op(op, value) if constant is None else net.op(op, value, net.constant(*constant))
    return net.graph(value)


def batch_norm(net: Net, x: Value) -> Value:
    channels = shape_of(x)[1]
    variance = net.builder.constant("variance", np.full(channels, 0.5))
    return net.op(BatchNorm(1e-3), x, *(net.constant(channels) for _ in range(3)), variance)


def test_batch_norm_becomes_a_multiplication_and_an_addition() -> None:
    net = Net()
    assert ops(after(LowerToAffine(), net.graph(batch_norm(net, net.input(1, 2, 3, 3))))) == ["Mul", "Add"]


def test_batch_norm_behind_a_convolution_costs_nothing() -> None:
    net = Net()
    lowered = after(LowerToAffine(), net.graph(batch_norm(net, net.conv(net.input(1, 1, 4, 4), 2))))
    assert ops(after(FoldAffine(), lowered)) == ["Conv", "Add"]


@pytest.mark.parametrize(
    ("op", "first", "wanted"),
    [
        (Sub(), False, ["Add"]),
        (Sub(), True, ["Neg", "Add"]),
        (Div(), False, ["Mul"]),
        (Add(), True, ["Add"]),
        (Div(), True, ["Div"]),
    ],
)
def test_arithmetic_with_a_constant_has_one_form(op: Op, first: bool, wanted: list[str]) -> None:
    net = Net()
    x, c = net.input(2, 3), net.constant(3)
    assert ops(after(LowerToAffine(), net.graph(net.op(op, c, x) if first else net.op(op, x, c)))) == wanted


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ([(Mul(), (2, 1, 1)), (Mul(), (1, 4, 4))], ["Mul"]),
        ([(Add(), (2, 1, 1)), (Add(), (4, 4))], ["Add"]),
        ([(Add(), (2, 1, 1)), (Mul(), (2, 1, 1))], ["Mul", "Add"]),
        ([(SAME, (2, 2, 3, 3)), (Mul(), (2, 1, 1))], ["Conv"]),
        ([(Mul(), (1, 2, 1, 1)), (SAME, (2, 2, 3, 3))], ["Conv"]),
        ([(Mul(), ()), (Conv((1, 1), (0,) * 4, (1, 1), 2), (4, 1, 1, 1)), (Mul(), (4, 1, 1))], ["Conv"]),
        ([(Mul(), (2, 1, 1)), (UPSAMPLE, (2, 2, 2, 2)), (Mul(), (4, 1, 1))], ["ConvTranspose"]),
        ([(SAME, (2, 2, 3, 3)), (Mul(), (4, 4))], ["Conv", "Mul"]),
        ([(Mul(), (4, 4)), (SAME, (2, 2, 3, 3))], ["Mul", "Conv"]),
        ([(Add(), (2, 1, 1)), (SAME, (2, 2, 3, 3))], ["Add", "Conv"]),
        ([(Mul(), ()), (Reshape((2, 16)), None), (MatMul(), (16, 3)), (Mul(), (3,))], ["Reshape", "MatMul"]),
        ([(Mul(), ()), (Resize((1, 1, 2, 2)), None), (Relu(), None)], ["Resize", "Mul", "Relu"]),
        ([(Mul(), (2, 1, 1)), (Resize((1, 1, 2, 2)), None)], ["Mul", "Resize"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)  # fmt: skip
def test_affine_maps_fold(steps: list[tuple[Op, tuple[int, ...] | None]], wanted: list[str]) -> None:
    assert ops(after(FoldAffine(), chain((1, 2, 4, 4), *steps))) == wanted


def test_a_value_with_two_readers_is_not_folded() -> None:
    net = Net()
    y = net.op(Mul(), net.input(1, 2, 4, 4), net.constant(2, 1, 1))
    graph = net.graph(net.op(Mul(), y, net.constant(2, 1, 1)), net.op(Relu(), y))
    assert ops(after(FoldAffine(), graph)) == ["Mul", "Mul", "Relu"]


def test_an_output_is_not_folded() -> None:
    net = Net()
    y = net.op(Mul(), net.input(1, 2, 4, 4), net.constant(2, 1, 1))
    assert ops(after(FoldAffine(), net.graph(y, net.op(Mul(), y, net.constant(2, 1, 1))))) == ["Mul", "Mul"]


@pytest.mark.parametrize(
    "steps",
    [
        [(Mul(), (3, 1, 1)), (Conv((1, 1), (0,) * 4, (1, 1), 1), (2, 3, 1, 1))],
        [(Mul(), (1, 1, 1, 1, 1)), (Transpose((4, 0, 1, 2, 3)), None)],
        [(Mul(), (2, 1, 1, 1)), (Reshape((16, 2)), None)],
    ],
)
def test_a_multiplication_that_widens_is_not_folded_away(steps: list[tuple[Op, tuple[int, ...] | None]]) -> None:
    """One channel times three numbers is three channels: the factor cannot move into weights for one."""
    assert "Mul" in ops(after(FoldAffine(), chain((1, 1, 4, 4), *steps)))


def test_what_a_constant_widens_is_expanded_first() -> None:
    graph = after(ExpandOperands(), chain((1, 1, 4, 4), (Mul(), (3, 1, 1)), (Add(), (3, 4, 4))))
    assert ops(graph) == ["Expand", "Mul", "Add"]


@pytest.mark.parametrize(
    ("left", "right"), [((3, 4), (4,)), ((3, 4), (4, 2)), ((4,), (4, 2)), ((2, 4), (3, 4, 2)), ((1, 2, 4), (4, 2))]
)
def test_weights_on_the_left_move_to_the_right(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    net = Net()
    w, x = net.constant(*left), net.input(*right)
    graph = after(LowerProducts(), net.graph(net.op(MatMul(), w, x)))
    (product,) = [node for node in graph.nodes if isinstance(node.op, MatMul)]
    assert not graph.is_constant(product.args[0])
    assert len(shape_of(product.args[1])) == 2


@pytest.mark.parametrize(("left", "right"), [((4,), (4,)), ((3, 4), (4,)), ((3, 4), (1, 4, 2)), ((1, 3, 4), (1, 4, 2))])
def test_vectors_and_stacks_of_one_become_matrices(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    net = Net()
    graph = after(LowerProducts(), net.graph(net.op(MatMul(), net.input(*left), net.constant(*right))))
    assert ops(graph) == ["MatMul", "Reshape"]
    assert len(shape_of(graph.nodes[0].args[1])) == 2


def test_products_in_the_one_form_stay() -> None:
    for shape in ((4, 2), (3, 4, 2)):
        net = Net()
        assert ops(after(LowerProducts(), net.graph(net.op(MatMul(), net.input(3, 2, 4), net.constant(*shape))))) == [
            "MatMul"
        ]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("cx", ["Pad", "Add"]),
        ("xc", ["Pad", "Add"]),
        ("cxyc", ["Concat", "Pad", "Add"]),
        ("xcy", ["Pad", "Pad", "Add", "Add"]),
    ],
)
def test_a_concatenation_with_constants_is_a_sum(pattern: str, wanted: list[str]) -> None:
    net = Net()
    values = {"x": net.input(1, 2, 3), "y": net.input(1, 1, 3, name="y")}
    args = [values.get(letter) or net.constant(1, 2, 3) for letter in pattern]
    assert ops(after(LowerConcats(), net.graph(net.op(Concat(1), *args)))) == wanted


def test_a_concatenation_of_values_or_of_constants_stays() -> None:
    net = Net()
    x, c = net.input(1, 2, 3), net.constant(1, 2, 3)
    graph = net.graph(net.op(Concat(1), x, x), net.op(Concat(2), c, c))
    assert ops(after(LowerConcats(), graph)) == ["Concat", "Concat"]


def test_a_public_constant_stays_public_through_every_rewrite() -> None:
    builder = Builder("net")
    x = builder.input("x", TensorType((2, 3)))
    w = builder.constant(f"{PREFIX}counts", np.array([1.0, 2.0, 3.0]))
    y = builder.add(Mul(), builder.add(Div(), x, w), w)
    graph = run_passes(builder.build([builder.add(Sub(), y, w)]), [LowerToAffine(), FoldAffine()])
    assert all(is_public(graph, value) for value in graph.constants)


def test_what_is_computed_from_public_constants_alone_is_public() -> None:
    builder = Builder("net")
    half, w = builder.constant(f"{PREFIX}half", np.array(0.5)), builder.constant("w", np.array(3.0))
    x = builder.input("x", TensorType((2, 3)))
    y = builder.add(Mul(), x, builder.add(Add(), half, half, name="one"))
    graph = after(FoldConstants(), builder.build([builder.add(Mul(), y, builder.add(Add(), half, w, name="mixed"))]))
    assert {value.name: is_public(graph, value) for value in graph.constants} == {"public:one": True, "mixed.1": False}


def test_a_weight_stays_secret_when_it_meets_a_public_constant() -> None:
    builder = Builder("net")
    x = builder.input("x", TensorType((2, 3)))
    public, secret = builder.constant(f"{PREFIX}counts", np.ones(3)), builder.constant("w", np.ones(3))
    graph = run_passes(builder.build([builder.add(Mul(), builder.add(Mul(), x, secret), public)]), [FoldAffine()])
    assert [is_public(graph, value) for value in graph.constants] == [False]


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (AveragePool((2, 2), (1, 1), (1, 0, 0, 1), True), ()),
        (AveragePool((2, 2), (1, 1), (0, 0, 0, 0), False), ()),
        (AveragePool((2, 2), (1, 1), (1, 0, 0, 1), False), (1, 1, 4, 4)),
    ],
)
def test_an_average_is_a_sum_times_a_public_constant(op: Op, shape: tuple[int, ...]) -> None:
    graph = after(LowerAverages(), chain((1, 2, 4, 4), (op, None)))
    assert ops(graph) == ["SumPool", "Mul"]
    assert shape_of(graph.constants[0]) == shape
    assert is_public(graph, graph.constants[0])


def test_a_mean_is_a_sum_times_a_public_constant() -> None:
    graph = after(LowerAverages(), chain((1, 2, 4, 4), (ReduceMean((2, 3), False), None)))
    assert ops(graph) == ["ReduceSum", "Mul"]


def test_constants_are_computed_once() -> None:
    net = Net()
    total = net.op(Add(), net.constant(3), net.constant(3))
    graph = after(FoldConstants(), net.graph(net.op(Mul(), net.input(2, 3), net.op(Relu(), total))))
    assert (ops(graph), len(graph.constants)) == (["Mul"], 1)


def test_an_output_of_constants_alone_is_a_copy_of_one() -> None:
    net = Net()
    net.input(2, 3)
    graph = after(FoldConstants(), net.graph(net.op(Add(), net.constant(3), net.constant(3), name="y")))
    assert ops(graph) == ["Reshape"]
    assert [value.name for value in graph.outputs] == ["y"]


def test_a_refresh_comes_before_what_asks_for_it() -> None:
    net = Net()
    graph = net.graph(
        net.op(MatMul(), net.op(Add(), net.input(2, 3), net.constant(3), name="x1"), net.constant(3, 2), name="y")
    )
    after_ = after(InsertRefreshes(frozenset({"y"})), graph)
    assert ops(after_) == ["Add", "Refresh", "MatMul"]
    assert after_.nodes[1].out.name == "x1.fresh"
