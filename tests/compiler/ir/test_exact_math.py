"""The functions of exact_math against 30-digit arithmetic, and that nothing but the element decides a result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from enclair.compiler.ir import exact_math
from enclair.compiler.ir.ops.activations import Softmax
from enclair.compiler.ir.ops.normalisation import LayerNormalization
from enclair.compiler.ir.ops.reductions import ReduceMean

PRECISE = mpmath.mp.clone()
PRECISE.dps = 30

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "exp": (PRECISE.exp, -700, 709),
    "expm1": (PRECISE.expm1, -700, 709),
    "log": (PRECISE.log, 1e-300, 1e300),
    "softplus": (lambda x: PRECISE.log1p(PRECISE.exp(x)), -700, 1e300),
    "sigmoid": (lambda x: 1 / (1 + PRECISE.exp(-x)), -700, 1e3),
    "tanh": (PRECISE.tanh, -1e3, 1e3),
    "erf": (PRECISE.erf, -30, 30),
}
"""Name -> the true function, and the range in which result and argument are normal numbers."""


@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_relative_error(name: str, data: st.DataObject) -> None:
    true, low, high = FUNCTIONS[name]
    wide = st.floats(low, high, allow_subnormal=False)
    near = st.floats(max(low, -8), min(high, 8), allow_subnormal=False)
    values = data.draw(st.lists(wide | near, min_size=1, max_size=20))
    for value, got in zip(values, getattr(exact_math, name)(np.array(values)), strict=True):
        want = true(PRECISE.mpf(value))
        assert abs(PRECISE.mpf(float(got)) - want) <= 1e-15 * abs(want), (value, got)


@pytest.mark.parametrize(
    ("name", "values", "results"),
    [
        ("exp", [-np.inf, -746, 710, np.inf, np.nan, 0], [0, 0, np.inf, np.inf, np.nan, 1]),
        ("expm1", [-np.inf, np.inf, np.nan, 0], [-1, np.inf, np.nan, 0]),
        ("log", [0, -1, np.inf, np.nan, 1], [-np.inf, np.nan, np.inf, np.nan, 0]),
        ("softplus", [-np.inf, np.inf, np.nan], [0, np.inf, np.nan]),
        ("sigmoid", [-np.inf, np.inf, np.nan, 0], [0, 1, np.nan, 0.5]),
        ("tanh", [-np.inf, np.inf, np.nan, 0], [-1, 1, np.nan, 0]),
        ("erf", [-np.inf, np.inf, np.nan, 0], [-1, 1, np.nan, 0]),
    ],
)
def test_ends_of_the_range(name: str, values: list[float], results: list[float]) -> None:
    np.testing.assert_array_equal(getattr(exact_math, name)(np.array(values)), results)


def test_exp_of_subnormal_results() -> None:
    values = np.array([-709.0, -720.5, -740.25, -745.1])
    want = [float(PRECISE.exp(PRECISE.mpf(float(value)))) for value in values]
    np.testing.assert_allclose(exact_math.exp(values), want, rtol=0, atol=5e-324)


@given(exponent=st.sampled_from([-3, -1.5, -1, -0.5, 0, 0.5, 1, 2, 2.5, 13, 64, 0.3, -1.7, 65, 66]), data=st.data())
def test_power(exponent: float, data: st.DataObject) -> None:
    limit = 2.0 ** (300 / max(1, abs(exponent)))
    values = data.draw(st.lists(st.floats(1 / limit, limit), min_size=1, max_size=10))
    for value, got in zip(values, exact_math.power(np.array(values), exponent), strict=True):
        want = PRECISE.power(PRECISE.mpf(value), PRECISE.mpf(exponent))
        assert abs(PRECISE.mpf(float(got)) - want) <= 1e-13 * abs(want)


@pytest.mark.parametrize(
    ("exponent", "want"), [(3, -8.0), (2, 4.0), (65, -(2.0**65)), (66, 2.0**66), (0.5, np.nan), (0.3, np.nan)]
)
def test_power_of_a_negative_number(exponent: float, want: float) -> None:
    np.testing.assert_allclose(exact_math.power(np.array([-2.0]), exponent), [want], rtol=1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(x=arrays(np.float64, st.integers(1, 40), elements=st.floats(-50, 50)), data=st.data())
def test_an_element_does_not_depend_on_its_neighbours(name: str, x: NDArray[np.float64], data: st.DataObject) -> None:
    function = getattr(exact_math, name)
    whole = function(x)
    start = data.draw(st.integers(0, len(x) - 1))
    np.testing.assert_array_equal(function(x[start:]), whole[start:])
    np.testing.assert_array_equal(function(x[::-1])[::-1], whole)
    np.testing.assert_array_equal(function(np.tile(x, 1000))[-len(x) :], whole)


@given(
    x=arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 70)), elements=st.floats(-1e6, 1e6)),
    axis=st.integers(0, 1),
)
def test_ordered_sum(x: NDArray[np.float64], axis: int) -> None:
    got = exact_math.ordered_sum(x, axis)
    np.testing.assert_allclose(got, x.sum(axis=axis), rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(exact_math.ordered_sum(np.asfortranarray(x), axis), got)
    for number, row in enumerate(np.moveaxis(x, axis, 1)):
        np.testing.assert_array_equal(exact_math.ordered_sum(row, 0), got[number])


def test_ordered_sum_is_the_stated_tree() -> None:
    a, b, c, d, e = 1e16, 1.0, -1e16, 1.0, 3.0
    assert exact_math.ordered_sum(np.array([a, b, c, d, e]), 0) == ((a + c) + (b + d)) + e
    assert exact_math.ordered_sum(np.zeros((0, 2)), 0).tolist() == [0, 0]


@pytest.mark.parametrize(
    "op", [Softmax(1), ReduceMean((1,), keepdims=True), LayerNormalization(1, 1e-5)], ids=lambda op: type(op).__name__
)  # fmt: skip
@given(x=arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 33)), elements=st.floats(-30, 30)))
def test_reductions_do_not_depend_on_the_batch(op: Any, x: NDArray[np.float64]) -> None:
    rest = [np.ones(x.shape[1]), np.zeros(x.shape[1])] if isinstance(op, LayerNormalization) else []
    whole = op.evaluate(x, *rest)
    for number in range(len(x)):
        np.testing.assert_array_equal(op.evaluate(x[number : number + 1], *rest)[0], whole[number])


DIGESTS = """
import hashlib
import numpy as np
from enclair.compiler.ir import exact_math
from enclair.compiler.ir.ops.activations import Celu, Elu, Gelu, HardSwish, Mish, Selu, Silu, Softmax
from enclair.compiler.ir.ops.elementwise import Pow
from enclair.compiler.ir.ops.normalisation import GroupNorm, LayerNormalization
from enclair.compiler.ir.ops.pooling import AveragePool
from enclair.compiler.ir.ops.reductions import ReduceMean, ReduceSum

x = np.ldexp(np.random.default_rng(0).integers(-(2**52), 2**52, size=(2, 3, 41, 37)).astype(np.float64), -48)
of_one = [getattr(exact_math, name) for name in ("exp", "expm1", "softplus", "sigmoid", "tanh", "erf")]
ops = [
    Gelu(), Gelu("tanh"), Silu(), Mish(), Elu(1.1), Celu(0.7), Selu(1.6, 1.05), HardSwish(), Softmax(1), Pow(3.0),
    ReduceSum((0, 2), False), ReduceMean((1, 3), True), AveragePool((3, 2), (2, 1), (1, 1, 1, 0), False),
]
results = [function(x) for function in of_one] + [op.evaluate(x) for op in ops]
results += [exact_math.log(np.abs(x)), exact_math.power(np.abs(x), 0.3)]
results.append(LayerNormalization(3, 1e-5).evaluate(x, x[0, 0, 0], x[0, 0, 1]))
results.append(GroupNorm(3, 1e-5).evaluate(x, x[0, :, 0, 0], x[1, :, 0, 0]))
print(*(hashlib.sha256(result.tobytes()).hexdigest() for result in results))
"""


def digests(**environment: str) -> list[str]:
    """Digests of the results of functions and ops, from a fresh interpreter."""
    command = [sys.executable, "-W", "ignore", "-c", DIGESTS]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_results_do_not_depend_on_the_instructions_numpy_chooses() -> None:
    """numpy without any of its vector extensions gives the same bits."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    plain = digests(NPY_DISABLE_CPU_FEATURES=" ".join(extensions))
    assert len(plain) == 23
    assert digests() == plain
