"""Hypothesis strategies for small models: graphs on tensors of reals, with well scaled weights and samples.

A model grows step by step from its inputs. Each step reads the current value (and now and then an earlier one: a skip)
and is taken only where its type rule allows it. All extents stay small, so that a model compiles in a fraction of a
second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.ops.activations import Clip, Gelu, LeakyRelu, PRelu, Relu, Sigmoid, Softmax, Tanh
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul, Neg, Sub
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.normalisation import BatchNorm, LayerNormalization
from enclair.compiler.ir.ops.pooling import AveragePool, MaxPool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceMean, ReduceSum
from enclair.compiler.ir.ops.shape import (
    Concat,
    DepthToSpace,
    Gather,
    Pad,
    Reshape,
    Resize,
    Slice,
    SpaceToDepth,
    Transpose,
)
from enclair.compiler.ir.public import public_constant
from enclair.compiler.ir.types import TensorType

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
MOST_CHANNELS, MOST_PIXELS = 6, 16
SMALL = st.integers(0, 2)


@dataclass(slots=True)
class Model:
    """A model that grows: the graph so far, its values, and the one to go on from."""

    draw: Draw
    builder: Builder
    weights: np.random.Generator
    values: list[Value] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the current value."""
        return shape_of(self.values[-1])

    @property
    def spatial(self) -> tuple[int, ...]:
        """Its extents behind batch and channels."""
        return self.shape[2:]

    def step(self, op: Any, *others: Value) -> bool:
        """Go on from the op on the current value."""
        self.values.append(self.builder.add(op, self.values[-1], *others))
        return True

    def constant(self, *shape: int, fan_in: int = 1) -> Value:
        """Normal weights, scaled so that sums of ``fan_in`` products stay near 1."""
        return self.builder.constant("w", self.weights.normal(size=shape) / np.sqrt(fan_in))

    def number(self, low: int, high: int) -> int:
        """A drawn integer."""
        return int(self.draw(st.integers(low, high)))

    def pick(self, *choices: Any) -> Any:
        """One of the choices."""
        return self.draw(st.sampled_from(choices))

    def each(self, strategy: st.SearchStrategy[Any], count: int) -> tuple[Any, ...]:
        """A tuple of draws."""
        return tuple(self.draw(strategy) for _ in range(count))


def shape_of(value: Value) -> tuple[int, ...]:
    """The shape of a tensor value."""
    assert isinstance(value.type, TensorType)
    return value.type.shape


Step: TypeAlias = Callable[[Model], bool]
"""Takes the model a step further; returns whether it could."""


def convolution(m: Model) -> bool:
    """Any stride, dilation, groups and padding, with or without a bias."""
    kernel = tuple(m.number(1, min(3, n)) for n in m.spatial)
    dilations = tuple(m.number(1, 2) if n > 2 * k - 2 and k > 1 else 1 for n, k in zip(m.spatial, kernel, strict=True))
    pads = m.each(SMALL, 2 * len(kernel))
    strides = m.each(st.integers(1, 2), len(kernel))
    channels, groups = m.shape[1], m.pick(1, 1, m.shape[1])
    outputs = groups * m.number(1, max(1, 4 // groups))
    w = m.constant(outputs, channels // groups, *kernel, fan_in=channels // groups * prod(kernel))
    m.step(Conv(strides, pads, dilations, groups), w)
    return biased(m)


def same_convolution(m: Model) -> bool:
    """Keeps the extents, so that skips fit."""
    rank = len(m.spatial)
    outputs = m.pick(m.shape[1], 2)
    m.step(
        Conv((1,) * rank, (1,) * 2 * rank, (1,) * rank, 1),
        m.constant(outputs, m.shape[1], *[3] * rank, fan_in=9 * m.shape[1]),
    )
    return biased(m)


def transposed_convolution(m: Model) -> bool:
    """Only where the image stays small."""
    if max(m.spatial) > 6:
        return False
    rank, groups = len(m.spatial), m.pick(1, m.shape[1])
    kernel, strides = m.each(st.integers(1, 3), rank), m.each(st.integers(1, 2), rank)
    dilations = tuple(m.number(1, 2) if k > 1 else 1 for k in kernel)
    pads = tuple(m.number(0, 1) if n > 1 and k > 1 else 0 for n, k in zip(m.spatial * 2, kernel * 2, strict=True))
    extra = tuple(m.number(0, stride - 1) for stride in strides)
    outputs = m.number(1, max(1, 4 // groups))
    w = m.constant(m.shape[1], outputs, *kernel, fan_in=m.shape[1] // groups * prod(kernel))
    m.step(ConvTranspose(strides, pads, dilations, groups, extra), w)
    return biased(m)


def biased(m: Model) -> bool:
    """Perhaps add a number per channel."""
    return not m.draw(st.booleans()) or m.step(Add(), m.constant(m.shape[1], *[1] * len(m.spatial)))


def batch_norm(m: Model) -> bool:
    """With a variance far enough from zero."""
    scale, bias, mean = (m.constant(m.shape[1]) for _ in range(3))
    variance = m.builder.constant("variance", m.weights.uniform(0.5, 2, size=m.shape[1]))
    return m.step(BatchNorm(1e-3), scale, bias, mean, variance)


def affine(m: Model) -> bool:
    """Arithmetic with a constant: one number, one per channel, or one per element."""
    per_channel = (m.shape[1], *[1] * len(m.spatial))
    constant = m.constant(*m.pick((), per_channel, m.shape))
    if m.pick(False, False, True):
        constant = public_constant(m.builder, "p", m.builder.arrays[constant.name])
    op = m.pick(Add(), Sub(), Mul(), Div())
    if isinstance(op, Div):
        constant = m.builder.constant(constant.name, 1 + np.abs(m.builder.arrays[constant.name]))
    if m.draw(st.booleans()) or isinstance(op, Div):
        return m.step(op, constant)
    m.values.append(m.builder.add(op, constant, m.values[-1]))
    return True


def negation(m: Model) -> bool:
    """-x."""
    return m.step(Neg())


def integer_activation(m: Model) -> bool:
    """An activation that the client computes on integers."""
    return m.step(m.pick(Relu(), Clip(-0.5, 1.5), Clip(0.0, float("inf")), Clip(0.25, 0.75)))


def real_activation(m: Model) -> bool:
    """An activation that the client computes on reals."""
    if m.draw(st.booleans()):
        return m.step(m.pick(Sigmoid(), Tanh(), Gelu(), LeakyRelu(0.1), Softmax(1)))
    return m.step(PRelu(), m.constant(m.shape[1], *[1] * len(m.spatial)))


def pool(m: Model) -> bool:
    """Max, sum and average, the average with and without counting the padding."""
    kernel = tuple(m.number(1, min(3, n)) for n in m.spatial)
    strides = m.each(st.integers(1, 2), len(kernel))
    pads = tuple(m.number(0, min(1, k - 1)) for k in kernel * 2)
    ones = (1,) * len(kernel)
    kinds = (AveragePool(kernel, strides, pads, True), AveragePool(kernel, strides, pads, False))
    return m.step(m.pick(MaxPool(kernel, strides, pads, ones), SumPool(kernel, strides, pads), *kinds))


def resize(m: Model) -> bool:
    """Nearest neighbour."""
    return max(m.spatial) <= 6 and m.step(Resize((1, 1, *m.each(st.integers(1, 2), len(m.spatial)))))


def depth_to_space(m: Model) -> bool:
    """PixelShuffle, in both orders of channels."""
    fits = len(m.spatial) == 2 and m.shape[1] % 4 == 0 and max(m.spatial) <= 6
    return fits and m.step(DepthToSpace(2, m.pick("CRD", "DCR")))


def space_to_depth(m: Model) -> bool:
    """The inverse."""
    fits = len(m.spatial) == 2 and m.shape[1] == 1 and all(n % 2 == 0 for n in m.spatial)
    return fits and m.step(SpaceToDepth(2))


def pad(m: Model) -> bool:
    """Zeros, another value, the mirrored or the repeated border, or the other end."""
    mode = m.pick("constant", "constant", "reflect", "edge", "wrap")
    room = tuple(min(2, n - 1) if mode == "reflect" else 2 for n in m.spatial)
    pads = [m.number(0, n) for n in room * 2]
    rank, value = len(room), m.pick(0.0, 0.0, 0.375) if mode == "constant" else 0.0
    return m.step(Pad((0, 0, *pads[:rank], 0, 0, *pads[rank:]), mode, value))


def crop(m: Model) -> bool:
    """A part of the image and of the channels, with steps."""
    starts = [0] + [m.number(0, n // 3) for n in m.shape[1:]]
    stops = [m.shape[0]] + [n - m.number(0, n // 3) for n in m.shape[1:]]
    steps = [1, 1] + [m.number(1, 2) for _ in m.spatial]
    return m.step(Slice(tuple(starts), tuple(stops), tuple(steps)))


def pick_channels(m: Model) -> bool:
    """Channels in another order, some of them twice."""
    return m.step(Gather(1, tuple(m.draw(st.lists(st.integers(0, m.shape[1] - 1), min_size=1, max_size=4)))))


def skip(m: Model) -> bool:
    """Join an earlier value: sum, difference or concatenation."""
    op = m.pick(Add(), Sub(), Concat(1))
    kept = slice(2, None) if isinstance(op, Concat) else slice(1, None)
    fits = [v for v in m.values if shape_of(v)[:1] == m.shape[:1] and shape_of(v)[kept] == m.shape[kept]]
    fits = [v for v in fits if not isinstance(op, Concat) or shape_of(v)[1] + m.shape[1] <= MOST_CHANNELS]
    return bool(fits) and m.step(op, m.draw(st.sampled_from(fits)))


def concat_constant(m: Model) -> bool:
    """Weights beside the value, along any axis."""
    axis = m.number(0, len(m.shape) - 1)
    if axis == 1 and m.shape[1] >= MOST_CHANNELS:
        return False
    shape = (*m.shape[:axis], 1, *m.shape[axis + 1 :])
    both = [m.values[-1], m.constant(*shape)]
    m.values.append(m.builder.add(Concat(axis), *(both if m.draw(st.booleans()) else both[::-1])))
    return True


def swap_axes(m: Model) -> bool:
    """Rows and columns trade places."""
    return len(m.spatial) == 2 and m.step(Transpose((0, 1, 3, 2)))


def sum_channels(m: Model) -> bool:
    """The sum or the mean over channels."""
    return m.step(m.pick(ReduceSum((1,), True), ReduceMean((1,), True)))


IMAGE_STEPS = (
    convolution, same_convolution, integer_activation, convolution, same_convolution, integer_activation, skip,
    same_convolution, integer_activation, skip, real_activation, pool, batch_norm, affine, crop, pad, resize,
    transposed_convolution, depth_to_space, space_to_depth, pick_channels, negation, swap_axes, sum_channels,
    concat_constant,
)  # fmt: skip
LINEAR_STEPS = (
    convolution,
    same_convolution,
    convolution,
    skip,
    batch_norm,
    resize,
    transposed_convolution,
    depth_to_space,
    negation,
)


def product(m: Model) -> bool:
    """Times a matrix, with or without a bias: Gemm."""
    features, outputs = m.shape[-1], m.number(1, 4)
    m.step(MatMul(), m.constant(features, outputs, fan_in=features))
    return not m.draw(st.booleans()) or m.step(Add(), m.constant(outputs))


def layer_norm(m: Model) -> bool:
    """Over the features of a token."""
    return m.step(LayerNormalization(len(m.shape) - 1, 1e-3), m.constant(m.shape[-1]), m.constant(m.shape[-1]))


def attention(m: Model) -> bool:
    """softmax(x x^T / 2) x."""
    x = m.values[-1]
    transposed = m.builder.add(Transpose((0, 2, 1)), x)
    scores = m.builder.add(MatMul(), x, transposed)
    half = public_constant(m.builder, "half", np.array(0.5))
    weights = m.builder.add(Softmax(2), m.builder.add(Mul(), scores, half))
    m.values.append(m.builder.add(MatMul(), weights, x))
    return True


def join(m: Model) -> bool:
    """Add an earlier value of the same shape."""
    fits = [v for v in m.values if shape_of(v) == m.shape]
    return m.step(Add(), m.draw(st.sampled_from(fits)))


def token_activation(m: Model) -> bool:
    """An activation of either kind."""
    return m.step(m.pick(Relu(), Gelu(), Tanh(), Softmax(len(m.shape) - 1)))


def token_scale(m: Model) -> bool:
    """Times or plus a number for each feature."""
    return m.step(m.pick(Mul(), Add()), m.constant(m.shape[-1]))


TOKEN_STEPS = (product, product, token_activation, join, layer_norm, attention, token_scale, concat_constant)
FEATURE_STEPS = (product, product, token_activation, join, token_scale, negation)


def head(m: Model) -> bool:
    """From an image to features: flatten, or reduce over the pixels."""
    kind = m.pick("flatten", "mean", "sum", "max")
    if kind == "flatten":
        m.step(Reshape((m.shape[0], prod(m.shape[1:]))))
    else:
        axes = tuple(range(2, len(m.shape)))
        m.step({"mean": ReduceMean, "sum": ReduceSum, "max": ReduceMax}[kind](axes, False))
    return product(m)


def _grow(m: Model, steps: tuple[Step, ...], least: int, most: int) -> None:
    """Take steps, those that fit; the first of them has weights, most of the time."""
    for number in range(m.pick(*range(most, least - 1, -1))):
        step = steps[0] if number == 0 and least and m.pick(True, True, True, False) else m.pick(*steps)
        step(m)


def start(draw: Draw, *shapes: tuple[int, ...]) -> Model:
    """A model with these inputs, and no step yet."""
    model = Model(draw, Builder("model"), np.random.default_rng(draw(st.integers(0, 2**16))))
    for number, shape in enumerate(shapes):
        model.values.append(model.builder.input(f"x{number}", TensorType(shape)))
    return model


def _built(m: Model) -> Graph:
    """The graph, with the last value and perhaps an earlier one as outputs."""
    made = [value for value in m.values if value not in m.builder.inputs] or [m.builder.add(Neg(), m.values[-1])]
    extra = m.draw(st.lists(st.sampled_from(made), max_size=1))
    return m.builder.build(dict.fromkeys([made[-1], *extra]))


@st.composite
def image_graphs(draw: Draw, steps: tuple[Step, ...] = IMAGE_STEPS, most: int = 8) -> Graph:
    """Convolutional models, with one or two inputs, perhaps with a head."""
    shape = (
        draw(st.sampled_from((1, 1, 2))),
        draw(st.integers(1, 3)),
        draw(st.integers(2, 9)),
        draw(st.integers(2, 9)),
    )
    model = start(draw, *[shape] * draw(st.sampled_from((1, 1, 1, 2))))
    _grow(model, steps, 1, most)
    if steps is IMAGE_STEPS and draw(st.sampled_from((False, False, True))) and head(model):
        _grow(model, FEATURE_STEPS, 0, 2)
    return _built(model)


@st.composite
def layered_graphs(draw: Draw) -> Graph:
    """Several rounds: layers of a convolution, an activation, and anything else."""
    shape = (
        draw(st.sampled_from((1, 1, 2))),
        draw(st.integers(1, 2)),
        draw(st.integers(3, 8)),
        draw(st.integers(3, 8)),
    )
    model = start(draw, shape)
    for _ in range(model.pick(4, 3, 2)):
        model.pick(same_convolution, same_convolution, convolution)(model)
        model.pick(integer_activation, integer_activation, real_activation)(model)
        model.pick(skip, skip, pool, *IMAGE_STEPS)(model)
    same_convolution(model)
    model.pick(skip, skip, integer_activation, head)(model)
    return _built(model)


@st.composite
def signal_graphs(draw: Draw, most: int = 5) -> Graph:
    """One-dimensional convolutional models."""
    model = start(draw, (draw(st.sampled_from((1, 2))), draw(st.integers(1, 3)), draw(st.integers(2, 12))))
    _grow(model, IMAGE_STEPS, 1, most)
    return _built(model)


@st.composite
def token_graphs(draw: Draw, most: int = 5) -> Graph:
    """Models on tokens [1, T, D], as transformers have them."""
    model = start(draw, (1, draw(st.integers(1, 4)), draw(st.integers(1, 4))))
    _grow(model, TOKEN_STEPS, 1, most)
    return _built(model)


@st.composite
def feature_graphs(draw: Draw, most: int = 4) -> Graph:
    """Multi-layer perceptrons on rows of features."""
    model = start(draw, (draw(st.sampled_from((1, 3))), draw(st.integers(1, 12))))
    _grow(model, FEATURE_STEPS, 1, most)
    return _built(model)


def graphs() -> st.SearchStrategy[Graph]:
    """Any of the models, images most of the time."""
    return st.one_of(layered_graphs(), image_graphs(), signal_graphs(), token_graphs(), feature_graphs())


def linear_graphs() -> st.SearchStrategy[Graph]:
    """Image models without a nonlinear op: one round."""
    return image_graphs(LINEAR_STEPS, 4)


def samples_of(graph: Graph, count: int = 4, seed: int = 0) -> list[dict[str, Array]]:
    """Normal inputs, cut off at 2: enough of them, that is the calibrated range."""
    rng = np.random.default_rng(seed)
    shapes = {value.name: shape_of(value) for value in graph.inputs}
    return [{name: np.clip(rng.normal(size=s), -2, 2) for name, s in shapes.items()} for _ in range(count)]


def within(graph: Graph, limits: dict[str, tuple[float, float]]) -> st.SearchStrategy[dict[str, NDArray[np.float64]]]:
    """Inputs within limits: uniform, or at the limits themselves."""

    def make(seed: int, extreme: bool) -> dict[str, NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        shapes = {value.name: shape_of(value) for value in graph.inputs}
        uniform = {name: rng.uniform(0, 1, size=shape) for name, shape in shapes.items()}
        shares = {name: np.rint(share) if extreme else share for name, share in uniform.items()}
        return {name: low * (1 - shares[name]) + high * shares[name] for name, (low, high) in limits.items()}

    return st.builds(make, st.integers(0, 2**16), st.booleans())
