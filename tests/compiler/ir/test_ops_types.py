"""The type rules of tensor ops: what they refuse, in which words; and fixed-point kinds and scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.ops.activations import (
    Celu,
    Clip,
    Elu,
    Erf,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Log,
    Mish,
    PRelu,
    Relu,
    Selu,
    Sigmoid,
    Sign,
    Softmax,
    Softplus,
    Softsign,
    Sqrt,
    Tanh,
)
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import (
    Abs,
    Add,
    Div,
    Greater,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    Reciprocal,
    Sub,
    Where,
)
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.normalisation import BatchNorm, GroupNorm, LayerNormalization
from enclair.compiler.ir.ops.pooling import AveragePool, MaxPool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import (
    Concat,
    DepthToSpace,
    Expand,
    Gather,
    Pad,
    Reshape,
    Resize,
    Slice,
    SpaceToDepth,
    Transpose,
)
from enclair.compiler.ir.types import CipherType, TensorType, Type

IMAGE = TensorType((1, 4, 6, 6))
VECTOR = TensorType((3,))


def real(*shape: int) -> TensorType:
    return TensorType(shape)


def fixed(scale_bits: int, *shape: int) -> TensorType:
    return TensorType(shape, scale_bits)


CONV = Conv((1, 1), (1, 1, 1, 1), (1, 1), 1)
TRANSPOSED = ConvTranspose((2, 2), (0, 0, 0, 0), (1, 1), 1, (0, 0))
REAL_ONLY: list[tuple[Op, list[tuple[int, ...]]]] = [
    (Div(), [(3,), (3,)]),
    (Pow(2.0), [(3,)]),
    (Reciprocal(), [(3,)]),
    (Greater(), [(3,), (3,)]),
    *((op, [(3,)]) for op in (
        LeakyRelu(0.1), Sigmoid(), Tanh(), Erf(), Gelu(), HardSigmoid(0.2, 0.5), HardSwish(), Softplus(), Softsign(),
        Elu(1.0), Selu(1.6, 1.05), Celu(1.0), Mish(), Exp(), Log(), Sqrt(), Sign(), Softmax(0), ReduceMean((0,), False),
    )),
    (PRelu(), [(3,), (3,)]),
    (AveragePool((2,), (1,), (0, 0), True), [(1, 1, 3)]),
    (BatchNorm(1e-5), [(1, 3, 2), (3,), (3,), (3,), (3,)]),
    (LayerNormalization(0, 1e-5), [(3,), (3,), (3,)]),
    (GroupNorm(1, 1e-5), [(1, 3, 2), (3,), (3,)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "shapes"), REAL_ONLY, ids=lambda value: type(value).__name__ if isinstance(value, Op) else ""
)
def test_ops_on_reals_refuse_fixed_point(op: Op, shapes: list[tuple[int, ...]]) -> None:
    assert isinstance(op.result_type(*(TensorType(shape) for shape in shapes)), TensorType)
    name = type(op).__name__
    with pytest.raises(TypeRuleError, match=rf"^{name} has no exact integer meaning, got fixed<.*>: dequantise first$"):
        op.result_type(*(TensorType(shape, 8) for shape in shapes))


SAME_SCALE = [Add(), Sub(), Minimum(), Maximum(), Concat(0)]


@pytest.mark.parametrize("op", SAME_SCALE, ids=lambda op: type(op).__name__)
def test_sums_keep_the_scale_and_refuse_two(op: Op) -> None:
    result = op.result_type(fixed(8, 3), fixed(8, 3))
    assert isinstance(result, TensorType)
    assert result.scale_bits == 8
    with pytest.raises(TypeRuleError) as raised:
        op.result_type(fixed(8, 3), fixed(11, 3))
    assert str(raised.value) == (
        f"{type(op).__name__} needs equal scales, got fixed<3, 2^-8> and fixed<3, 2^-11>: "
        "shift the lower-scale side left by 3 bits first"
    )
    with pytest.raises(
        TypeRuleError, match="all fixed, got real<3> and fixed<3, 2\\^-8>: quantise the real ones first"
    ):
        op.result_type(real(3), fixed(8, 3))


@pytest.mark.parametrize(
    ("op", "x", "w", "shape"),
    [
        (Mul(), (3, 1), (4,), (3, 4)),
        (MatMul(), (2, 3), (3, 5), (2, 5)),
        (CONV, (1, 4, 6, 6), (8, 4, 3, 3), (1, 8, 6, 6)),
        (TRANSPOSED, (1, 4, 6, 6), (4, 3, 2, 2), (1, 3, 12, 12)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Op) else "",
)
def test_scales_add_in_products(op: Op, x: tuple[int, ...], w: tuple[int, ...], shape: tuple[int, ...]) -> None:
    assert op.result_type(TensorType(x, 8), TensorType(w, 5)) == TensorType(shape, 13)
    assert op.result_type(TensorType(x), TensorType(w)) == TensorType(shape)
    with pytest.raises(TypeRuleError, match="all real or all fixed"):
        op.result_type(TensorType(x, 8), TensorType(w))


@pytest.mark.parametrize(
    "op",
    [
        Neg(), Abs(), Relu(), Clip(-1.0, 1.0, scale_bits=8), MaxPool((2, 2), (2, 2), (0,) * 4, (1, 1)),
        SumPool((2, 2), (2, 2), (0,) * 4), ReduceSum((1,), keepdims=True), ReduceMax((1, 2), keepdims=False),
        Reshape((4, 36)), Transpose((0, 2, 3, 1)), Slice((0, 1, 0, 0), (1, 3, 6, 6), (1, 1, 2, 1)),
        Pad((0, 0, 1, 1) * 2), Resize((1, 1, 2, 3)), DepthToSpace(2, "CRD"), SpaceToDepth(3),
        Gather(1, (3, 0)), Expand((2, 4, 6, 6)), Concat(0),
    ],
    ids=lambda op: type(op).__name__,
)  # fmt: skip
def test_ops_without_weights_keep_kind_and_scale(op: Op) -> None:
    integers = np.arange(-70, 74).reshape(IMAGE.shape)
    result = op.result_type(fixed(8, *IMAGE.shape))
    assert isinstance(result, TensorType)
    assert result.scale_bits == 8
    exact = op.evaluate(integers)
    assert (exact.shape, exact.dtype) == (result.shape, np.int64)
    if not isinstance(op, Clip):
        assert op.result_type(IMAGE) == TensorType(result.shape)
        np.testing.assert_array_equal(op.evaluate(integers.astype(np.float64)), exact)


def test_where_chooses_fixed_point_by_a_real_condition() -> None:
    assert Where().result_type(real(3), fixed(8, 3), fixed(8, 2, 3)) == fixed(8, 2, 3)
    got = Where().evaluate(np.array([1.0, 0.0, 1.0]), np.array([1, 2, 3]), np.array([4, 5, 6]))
    np.testing.assert_array_equal(got, [1, 5, 3])
    assert got.dtype == np.int64


def test_limits_are_rounded_half_to_even() -> None:
    clip = Clip(-0.375, 0.625, scale_bits=2)  # -1.5 and 2.5 quarters
    np.testing.assert_array_equal(clip.evaluate(np.array([-9, -2, 0, 2, 9])), [-2, -2, 0, 2, 2])
    np.testing.assert_array_equal(Clip(0.0, np.inf, scale_bits=60).evaluate(np.array([-5, 2**61])), [0, 2**61])
    pad = Pad((1, 0), "constant", 0.625, scale_bits=2)
    np.testing.assert_array_equal(pad.evaluate(np.array([7])), [2, 7])


REFUSALS: list[tuple[Op, tuple[Type, ...], str]] = [
    (Add(), (VECTOR,), "Add needs 2 arguments, got 1: real<3>"),
    (Relu(), (CipherType(1, 8, 4),), "Relu works on tensors, got cipher<1x8, 2^-4>: use the packed op of this kind"),
    (Add(), (real(3), real(2, 4)), "Add cannot broadcast shapes 3 and 2x4: aligned extents must be equal or 1"),
    (Where(), (fixed(2, 3), VECTOR, VECTOR), "Where needs a real condition of zeros and ones, got fixed<3, 2^-2>"),
    (PRelu(), (real(3), real(2, 3)), "PRelu needs a slope that broadcasts to real<3>, got real<2x3>"),
    (Clip(2.0, 1.0), (VECTOR,), "Clip needs low <= high, got 2.0 and 1.0"),
    (Clip(0.0, 1.0), (fixed(8, 3),), "rounds its limits to that scale, got scale_bits=None: give the op scale_bits=8"),
    (Gelu("erf"), (VECTOR,), "Gelu needs approximate 'none' or 'tanh', got 'erf'"),
    (Softmax(1), (VECTOR,), "Softmax needs ascending axes in 0..0, got (1,) for real<3>"),
    (CONV, (IMAGE, real(8, 3, 3, 3)), "real<8x3x3x3> and 1 groups needs 3 channels, got real<1x4x6x6>"),
    (CONV, (IMAGE, real(8, 4, 3)), "Conv needs a weight of rank 4 for real<1x4x6x6>, got real<8x4x3>"),
    (CONV, (real(1, 4), real(8, 4)), "Conv needs a weight [O, C/groups, *kernel], got real<8x4>"),
    (CONV, (IMAGE, real(8, 4, 9, 9)), "Conv has windows of 9x9, but real<1x4x6x6> has only 8x8 spatial elements"),
    (Conv((1,), (0, 0), (1,), 1), (IMAGE, real(8, 4, 3, 3)), "Conv needs 4 pads (begins, then ends), got (0, 0)"),
    (Conv((0, 1), (0,) * 4, (1, 1), 1), (IMAGE, real(8, 4, 3, 3)), "Conv needs strides >= 1, got (0, 1)"),
    (Conv((1, 1), (0,) * 4, (1, 1), 0), (IMAGE, real(8, 4, 3, 3)), "Conv needs groups >= 1, got 0"),
    (Conv((1, 1), (0,) * 4, (1, 1), 4), (IMAGE, real(6, 1, 3, 3)), "share 4 channels and 6 outputs among 4 groups"),
    (
        ConvTranspose((1, 1), (3,) * 4, (1, 1), 1, (0, 0)),
        (IMAGE, real(4, 1, 1, 1)),
        "ConvTranspose pads (3, 3, 3, 3) leave nothing of real<1x4x6x6>: use less padding",
    ),
    (MatMul(), (real(2, 3), real(4, 5)), "MatMul needs equal inner extents, got real<2x3> and real<4x5>"),
    (MatMul(), (real(), real(4, 5)), "MatMul needs arguments of rank 1 and more, got real<> and real<4x5>"),
    (
        MaxPool((2, 2), (2, 2), (2, 0, 0, 0), (1, 1)),
        (IMAGE,),
        "MaxPool needs pads smaller than its windows (2, 2), got (2, 0, 0, 0)",
    ),
    (
        MaxPool((2,), (2,), (0, 0), (1,)),
        (real(4, 4),),
        "needs a batch, a channel and 1 to 3 spatial axes, got real<4x4>",
    ),
    (ReduceSum((1, 0), False), (IMAGE,), "ReduceSum needs ascending axes in 0..3, got (1, 0) for real<1x4x6x6>"),
    (Reshape((2, 2)), (VECTOR,), "Reshape to 2x2 needs 4 elements, got 3 in real<3>"),
    (Transpose((0, 0)), (real(2, 3),), "Transpose needs a permutation of the 2 axes of real<2x3>, got (0, 0)"),
    (Slice((1,), (1,), (1,)), (VECTOR,), "0 <= start < stop <= extent per axis, got (1,) to (1,) of real<3>"),
    (Concat(0), (real(2, 3), real(2, 4)), "Concat along axis 0 needs shapes equal on all other axes, got 2x3 and 2x4"),
    (Pad((1, 1), "mirror"), (VECTOR,), "Pad needs mode 'constant', 'reflect', 'edge' or 'wrap', got 'mirror'"),
    (Pad((3, 0), "reflect"), (VECTOR,), "needs pads smaller than the extents, got (3, 0) for real<3>"),
    (
        Pad((1, 1), value=1.0),
        (fixed(8, 3),),
        "its value 1.0 to that scale, got scale_bits=None: give the op scale_bits=8",
    ),
    (Resize((2, 2)), (VECTOR,), "Resize needs 1 factors, got (2, 2)"),
    (DepthToSpace(3, "CRD"), (IMAGE,), "DepthToSpace needs channels divisible by 9, got real<1x4x6x6>"),
    (DepthToSpace(2, "RCD"), (IMAGE,), "DepthToSpace needs mode 'CRD' or 'DCR', got 'RCD'"),
    (SpaceToDepth(4), (IMAGE,), "SpaceToDepth needs rows and columns divisible by 4, got real<1x4x6x6>"),
    (SpaceToDepth(2), (VECTOR,), "SpaceToDepth needs [N, C, H, W], got real<3>"),
    (Gather(0, (3,)), (VECTOR,), "Gather needs indices in 0..2 on axis 0 of real<3>, got (3,)"),
    (Expand((1, 1)), (VECTOR,), "Expand to 1x1 would shrink real<3>"),
    (BatchNorm(1e-5), (IMAGE, *[VECTOR] * 4), "BatchNorm needs parameters of shape 4 for real<1x4x6x6>, got real<3>"),
    (LayerNormalization(0, 1e-5), (VECTOR, real(2, 3), VECTOR), "needs parameters that broadcast to real<3>"),
    (GroupNorm(3, 1e-5), (IMAGE, real(4), real(4)), "cannot share the 4 channels of real<1x4x6x6> among 3 groups"),
]


@pytest.mark.parametrize(("op", "args", "message"), REFUSALS, ids=[message[:40] for _, _, message in REFUSALS])
def test_refusals_say_what_is_needed_and_what_came(op: Op, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeRuleError) as raised:
        op.result_type(*args)
    assert message in str(raised.value)
