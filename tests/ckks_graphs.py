"""Random PACKED graphs on CKKS ciphertexts, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    EvaluatePolynomial,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    RotateSlots,
)
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.planner.levels import LevelPlan

SLOTS = 16
LEAST_LEVELS = 1


@dataclass
class Packed:
    """A PACKED graph that grows; values stay within about [-1, 1]."""

    draw: st.DrawFn
    rng: np.random.Generator
    slots: int = SLOTS
    builder: Builder = field(default_factory=lambda: Builder("packed"))
    values: list[Value] = field(default_factory=list)

    def pick(self) -> Value:
        """A value made so far, late ones more often."""
        return self.draw(st.sampled_from([*self.values, *self.values[-3:]]))

    def like(self, x: Value) -> Value:
        """Another with as many ciphertexts, perhaps the same."""
        return self.draw(st.sampled_from([v for v in self.values if v.type == x.type]))

    def vectors(self, x: Value, size: float = 1.0) -> Value:
        """Constant vectors that fit."""
        count = self.draw(st.sampled_from((1, count_of(x))))
        slots = self.draw(st.sampled_from((1, self.slots)))
        return self.builder.constant("v", size * self.rng.uniform(-1, 1, size=(count, slots)))


def count_of(x: Value) -> int:
    """Ciphertexts of a value."""
    assert isinstance(x.type, CkksType)
    return x.type.count


def linear_transform(p: Packed, x: Value) -> Value:
    """Some terms; each output at most a sum of a few."""
    outputs, terms = p.draw(st.integers(1, 3)), p.draw(st.integers(1, 8))
    rows, cols = p.rng.integers(0, outputs, terms), p.rng.integers(0, count_of(x), terms)
    rotations, which = p.rng.integers(0, p.slots, terms), p.rng.integers(0, 2, terms)
    tables = [p.builder.constant("t", t, 0) for t in (rows, cols, rotations, which)]
    weights = p.builder.constant("w", p.rng.uniform(-1, 1, terms) / np.sqrt(terms))
    vectors = p.builder.constant("v", p.rng.uniform(-1, 1, (2, p.draw(st.sampled_from((1, p.slots))))))
    return p.builder.add(LinearTransform(outputs), x, *tables, weights, vectors)


def product(p: Packed, x: Value) -> Value:
    """Of two ciphertexts."""
    return p.builder.add(MultiplyCiphers(), x, p.like(x))


def total(p: Packed, x: Value) -> Value:
    """A sum or a difference, halved now and then."""
    return p.builder.add(p.draw(st.sampled_from((AddCiphers(), SubtractCiphers()))), x, p.like(x))


def halves(p: Packed, x: Value) -> Value:
    """The mean of two: as a product of a constant with each."""
    half = p.builder.constant("half", np.array([[0.5]]))
    parts = [p.builder.add(MultiplyPlain(), y, half) for y in (x, p.like(x))]
    return p.builder.add(AddCiphers(), *parts)


def dot_product(p: Packed, x: Value) -> Value:
    """A sum of a few products."""
    products = [p.builder.add(MultiplyCiphers(), x, p.like(x)) for _ in range(p.draw(st.integers(2, 3)))]
    out = products[0]
    for other in products[1:]:
        out = p.builder.add(SubtractCiphers(), out, other)
    return out


def times_plain(p: Packed, x: Value) -> Value:
    """Times constant vectors."""
    return p.builder.add(MultiplyPlain(), x, p.vectors(x))


def plus_plain(p: Packed, x: Value) -> Value:
    """Plus constant vectors."""
    return p.builder.add(AddPlainVectors(), x, p.vectors(x, 0.25))


def polynomial(p: Packed, x: Value) -> Value:
    """Up to degree 7, on an interval that holds the values."""
    degree = p.draw(st.integers(1, 7))
    coefficients = tuple((p.rng.uniform(-1, 1, degree + 1) / degree).tolist())
    return p.builder.add(EvaluatePolynomial(coefficients, *p.draw(st.sampled_from(((-1.0, 1.0), (-4.0, 4.0))))), x)


def rotation(p: Packed, x: Value) -> Value:
    """By any number of slots."""
    return p.builder.add(RotateSlots(p.draw(st.integers(1, p.slots - 1))), x)


def selection(p: Packed, x: Value) -> Value:
    """Some of the ciphertexts."""
    table = p.builder.constant("s", p.rng.integers(0, count_of(x), p.draw(st.integers(1, 3))), 0)
    return p.builder.add(SelectCiphers(), x, table)


def concatenation(p: Packed, x: Value) -> Value:
    """With another value."""
    return p.builder.add(ConcatCiphers(), x, p.pick()) if count_of(x) <= 3 else x


STEPS: tuple[Callable[[Packed, Value], Value], ...] = (
    linear_transform, linear_transform, product, product, total, total, halves, dot_product, times_plain, plus_plain,
    polynomial, rotation, selection, concatenation,
)  # fmt: skip


@st.composite
def packed_graphs(
    draw: st.DrawFn,
    steps: tuple[Callable[[Packed, Value], Value], ...] = STEPS,
    most: int = 7,
    slots: int = SLOTS,
) -> Graph:
    """One or two inputs, some steps, the last value and perhaps an earlier one as outputs."""
    packed = Packed(draw, np.random.default_rng(draw(st.integers(0, 2**16))), slots)
    for number in range(draw(st.sampled_from((1, 1, 2)))):
        packed.values.append(packed.builder.input(f"x{number}", CkksType(draw(st.integers(1, 2)), slots)))
    inputs = len(packed.values)
    for _ in range(draw(st.integers(1, most))):
        packed.values.append(draw(st.sampled_from(steps))(packed, packed.pick()))
    made = packed.values[inputs:]
    return packed.builder.build(dict.fromkeys([made[-1], draw(st.sampled_from(made))]))


def inputs_of(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Uniform in [-1, 1]."""
    rng = np.random.default_rng(seed)
    return {v.name: rng.uniform(-1, 1, size=(count_of(v), v.type.slots)) for v in graph.inputs}  # type: ignore[union-attr]


def parameters_for(graph: Graph, ring_dim: int = 2 * SLOTS, scale_bits: int = 40) -> CkksParameters:
    """Insecure parameters with the levels that a graph without polynomials needs."""
    levels = max(LevelPlan(graph).depth, LEAST_LEVELS)
    return CkksParameters(ring_dim, levels, scale_bits, 50, levels + 1, INSECURE)


def ckks(value: Value) -> CkksType:
    """The type of a value that is of CKKS ciphertexts."""
    assert isinstance(value.type, CkksType)
    return value.type


def linear_layer(b: Builder, x: Value, diagonals: int, rng: np.random.Generator, baby_steps: int = 4) -> Value:
    """A square matrix with a few diagonals; its results are no larger than its arguments."""
    terms, none = np.arange(diagonals), np.zeros(diagonals, dtype=np.int64)
    tables = [b.constant("t", t, 0) for t in (none, none, terms, terms)]
    weights = b.constant("w", np.ones(diagonals))
    vectors = b.constant("v", rng.choice((-1.0, 1.0), (diagonals, ckks(x).slots)) / diagonals)
    return b.add(LinearTransform(1, baby_steps), x, *tables, weights, vectors)


def convolution(
    b: Builder, x: Value, outputs: int, taps: int, rng: np.random.Generator, *, baby_steps: int = 0
) -> Value:
    """A convolution between all channels, each a ciphertext; its taps are masks, as at the borders of an image."""
    channels, slots = count_of(x), ckks(x).slots
    rows, cols, which = (table.reshape(-1) for table in np.indices((outputs, channels, taps)))
    tables = [b.constant("t", t, 0) for t in (rows, cols, which, which)]
    weights = b.constant("w", rng.normal(size=rows.size) / np.sqrt(channels * taps))
    masks = b.constant("v", (rng.random((taps, slots)) < 0.9).astype(float))
    return b.add(LinearTransform(outputs, baby_steps), x, *tables, weights, masks)
