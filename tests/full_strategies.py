"""Hypothesis strategies for small models of full mode: what the server can do all alone.

They grow as those of ``tests.strategies`` do. Few of their steps are nonlinear, as each takes levels; what is drawn for
a tolerance is loose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import strategies as st

from enclair.compiler import FullOptions, Program
from enclair.compiler.ir.graph import Array, Graph, Value
from enclair.compiler.ir.ops.activations import Gelu, Relu, Sigmoid, Tanh
from enclair.compiler.ir.ops.elementwise import Add, Mul, Neg
from enclair.compiler.ir.ops.linear import Conv
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.ops.pooling import AveragePool
from enclair.compiler.ir.ops.reductions import ReduceMean
from enclair.compiler.ir.ops.shape import Concat, Reshape
from enclair.compiler.ir.reference import run
from enclair.compiler.parameters import INSECURE
from enclair.compiler.planner import ckks_rings
from tests.strategies import (
    Draw,
    Model,
    affine,
    batch_norm,
    convolution,
    join,
    negation,
    product,
    same_convolution,
    samples_of,
    shape_of,
    skip,
    start,
)

ACTIVATIONS = (Relu(), Sigmoid(), Tanh(), Gelu())
TOLERANCES = (0.02, 0.05, 0.2)
"""Of the largest output."""


def user_polynomial(m: Model) -> bool:
    """As trained networks have them: of low degree, right on an interval that holds the values."""
    degree = m.number(1, 4)
    coefficients = m.weights.uniform(-1, 1, degree + 1) / degree
    return m.step(Polynomial(tuple(coefficients.tolist()), -6.0, 6.0))


def square(m: Model) -> bool:
    """x times itself."""
    return m.step(Mul(), m.values[-1])


def gate(m: Model) -> bool:
    """Times an earlier value of the same shape."""
    fits = [value for value in m.values[:-1] if shape_of(value) == m.shape]
    return bool(fits) and m.step(Mul(), m.draw(st.sampled_from(fits)))


def activation(m: Model) -> bool:
    """One that becomes a polynomial."""
    return m.step(m.pick(*ACTIVATIONS))


def average_pool(m: Model) -> bool:
    """With and without counting the padding."""
    kernel = tuple(m.number(1, min(3, n)) for n in m.spatial)
    pads = tuple(m.number(0, min(1, k - 1)) for k in kernel * 2)
    return m.step(AveragePool(kernel, m.each(st.integers(1, 2), len(kernel)), pads, m.draw(st.booleans())))


def strided_branches(m: Model) -> bool:
    """Two ways to half the extents: one strided convolution, and a convolution before another; added up."""
    if min(m.spatial) < 3:
        return False
    x, rank, outputs = m.values[-1], len(m.spatial), m.number(1, 3)
    for strides in ((1,), (2,)):
        for stride in strides:
            w = m.constant(outputs, m.shape[1], *[3] * rank, fan_in=9 * m.shape[1])
            m.step(Conv((stride,) * rank, (1,) * 2 * rank, (1,) * rank, 1), w)
    short = m.constant(outputs, shape_of(x)[1], *[1] * rank, fan_in=shape_of(x)[1])
    side = m.builder.add(Conv((2,) * rank, (0,) * 2 * rank, (1,) * rank, 1), x, short)
    return m.step(m.pick(Add(), Concat(1)), side)


LINEAR = (convolution, same_convolution, average_pool, strided_branches, skip, batch_norm, affine, negation)
LINEAR_FEATURES = (product, product, join, affine, negation)
NONLINEAR = (activation, activation, activation, square, gate, user_polynomial)


def head(m: Model) -> bool:
    """From an image to features."""
    if m.draw(st.booleans()):
        m.step(Reshape((m.shape[0], int(np.prod(m.shape[1:])))))
    else:
        m.step(ReduceMean(tuple(range(2, len(m.shape))), False))
    return product(m)


def _grow(m: Model, most: int) -> None:
    """Linear steps, and at most two that are not."""
    linear = LINEAR if len(m.shape) > 2 else LINEAR_FEATURES
    linear[0](m)
    for _ in range(m.number(0, most)):
        for _ in range(m.number(0, 2)):
            m.pick(*linear)(m)
        m.pick(*NONLINEAR)(m)
    m.pick(*linear)(m)


def _built(m: Model, values: int) -> Graph:
    made = m.values[values:] if len(m.values) > values else [m.builder.add(Neg(), m.values[-1])]
    extra: list[Value] = m.draw(st.sampled_from(([], [], [m.draw(st.sampled_from(made))])))
    return m.builder.build(dict.fromkeys([made[-1], *extra]))


@st.composite
def full_images(draw: Draw, most: int = 2) -> Graph:
    """Convolutional models with one or two inputs, perhaps with a head."""
    shape = (draw(st.sampled_from((1, 1, 1, 2))), draw(st.integers(1, 3)), *draw(st.tuples(*[st.integers(2, 8)] * 2)))
    model = start(draw, *[shape] * draw(st.sampled_from((1, 1, 2))))
    inputs = len(model.values)
    _grow(model, most)
    if draw(st.booleans()):
        head(model)
    return _built(model, inputs)


@st.composite
def full_features(draw: Draw, most: int = 2) -> Graph:
    """Multi-layer perceptrons."""
    model = start(draw, (draw(st.sampled_from((1, 1, 3))), draw(st.integers(1, 12))))
    _grow(model, most)
    return _built(model, 1)


def full_models(most: int = 2) -> st.SearchStrategy[Graph]:
    """Either; images most of the time."""
    return st.one_of(full_images(most), full_images(most), full_features(most))


def options_for(graph: Graph, share: float) -> FullOptions:
    """A tolerance of a share of the largest output."""
    outputs = [run(graph, sample) for sample in samples_of(graph)]
    largest = max(float(np.abs(array).max()) for output in outputs for array in output.values())
    return FullOptions(tolerance=share * max(largest, 0.1))


def run_whole(program: Program, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Prologue, server and client in the clear."""
    (round_,) = program.rounds
    return run(round_.client, run(round_.server, run(program.prologue, inputs)))


@contextmanager
def small_ring(ring_dim: int) -> Iterator[None]:
    """The compiler takes this ring, whatever it protects: programs for it are encrypted within a second."""
    choose = ckks_rings.choose_for
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ckks_rings, "MAX_MODULUS_BITS", {ring_dim: 0})
        patch.setattr(ckks_rings, "_can_hold", lambda *_: True)
        patch.setattr(ckks_rings, "choose_for", lambda *given: choose(*given, security=INSECURE))
        yield
