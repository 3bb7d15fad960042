"""Products of integers are exact, however large."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from enclair.compiler.ir import integer_math
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul


def integers(seed: int, bits: int, *shape: int) -> NDArray[np.int64]:
    """Uniform in [-2^bits, 2^bits]."""
    return np.random.default_rng(seed).integers(-(2**bits), 2**bits, size=shape, endpoint=True)


seeds = st.integers(0, 2**32 - 1)


@given(bits=st.tuples(st.integers(0, 56), st.integers(0, 56)).filter(lambda pair: sum(pair) <= 57), seed=seeds)
def test_matmul_is_exact(bits: tuple[int, int], seed: int) -> None:
    a, b = integers(seed, bits[0], 3, 16), integers(seed + 1, bits[1], 2, 16, 4)
    want = a.astype(object) @ b.astype(object)  # Python's integers
    np.testing.assert_array_equal(MatMul().evaluate(a, b), want.astype(np.int64))


@pytest.mark.parametrize(("bits", "terms"), [((20, 20), 8), ((40, 17), 8), ((20, 38), 8), ((1, 58), 4), ((58, 1), 4)])
def test_sums_near_the_limit(bits: tuple[int, int], terms: int) -> None:
    a, b = np.full((1, terms), 2 ** bits[0] - 1), np.full((terms, 1), -(2 ** bits[1]) + 1)
    assert int(integer_math.matmul(a, b)[0, 0]) == terms * int(a[0, 0]) * int(b[0, 0])


def test_largest_of_nothing_is_zero() -> None:
    assert integer_math.largest(np.zeros(0, dtype=np.int64)) == 0
    np.testing.assert_array_equal(
        integer_math.matmul(np.zeros((2, 0), dtype=np.int64), np.zeros((0, 3), dtype=np.int64)), np.zeros((2, 3))
    )


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, tuple[int, ...], tuple[int, ...]]:
    """An op with the shapes of its arguments."""
    rank, groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    numbers = {name: tuple(draw(st.integers(1, 3)) for _ in range(rank)) for name in ("kernel", "strides")}
    dilations = tuple(draw(st.integers(1, 2)) for _ in range(rank))
    pads = tuple(draw(st.integers(0, 2)) for _ in range(2 * rank))
    op = Conv(numbers["strides"], pads, dilations, groups)
    return op, (2, 2 * groups, *[5] * rank), (2 * groups, 2, *numbers["kernel"])


@given(convolution=convolutions(), bits=st.sampled_from([(8, 8), (30, 22), (50, 6)]), seed=seeds)
def test_conv_is_the_sum_over_its_taps(
    convolution: tuple[Conv, tuple[int, ...], tuple[int, ...]], bits: tuple[int, int], seed: int
) -> None:
    op, x_shape, w_shape = convolution
    x, w = integers(seed, bits[0], *x_shape), integers(seed + 1, bits[1], *w_shape)
    got = op.evaluate(x, w)
    rank = len(x_shape) - 2
    padded = np.pad(x, [(0, 0), (0, 0), *zip(op.pads[:rank], op.pads[rank:], strict=True)])
    per_group = w_shape[0] // op.groups
    for n, o, *at in itertools.product(range(2), range(w_shape[0]), *map(range, got.shape[2:])):
        total = 0
        for c, *tap in itertools.product(range(w_shape[1]), *map(range, w_shape[2:])):
            where = [a * s + t * d for a, s, t, d in zip(at, op.strides, tap, op.dilations, strict=True)]
            channel = o // per_group * w_shape[1] + c
            total += int(padded[(n, channel, *where)]) * int(w[(o, c, *tap)])
        assert int(got[(n, o, *at)]) == total


@given(convolution=convolutions(), seed=seeds)
def test_conv_transpose_is_the_transpose_of_conv(
    convolution: tuple[Conv, tuple[int, ...], tuple[int, ...]], seed: int
) -> None:
    """<Conv x, y> = <x, ConvTranspose y> for all x and y."""
    conv, x_shape, w_shape = convolution
    x, w = integers(seed, 10, *x_shape), integers(seed + 1, 10, *w_shape)
    image = conv.evaluate(x, w)
    y = integers(seed + 2, 10, *image.shape)
    rank = len(x_shape) - 2
    spans = [d * (k - 1) + 1 for d, k in zip(conv.dilations, w_shape[2:], strict=True)]
    rest = [
        5 + conv.pads[axis] + conv.pads[axis + rank] - (conv.strides[axis] * (image.shape[2 + axis] - 1) + spans[axis])
        for axis in range(rank)
    ]
    transposed = ConvTranspose(conv.strides, conv.pads, conv.dilations, conv.groups, tuple(rest))
    back = transposed.evaluate(y, w)
    assert back.shape == x.shape
    assert int((image * y).sum()) == int((x * back).sum())


def test_blocks_of_rows_join() -> None:
    """An image larger than one block of unfolded windows."""
    x, w = integers(0, 8, 1, 64, 160, 128), integers(1, 8, 4, 64, 3, 3)
    got = Conv((1, 1), (1, 1, 1, 1), (1, 1), 1).evaluate(x, w)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    want = sum(
        np.einsum("oc,chw->ohw", w[:, :, i, j], padded[0, :, i : i + 160, j : j + 128])
        for i in range(3)
        for j in range(3)
    )
    np.testing.assert_array_equal(got[0], want)
