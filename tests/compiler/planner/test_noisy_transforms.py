"""Transforms of many signals at once are what the op says, term by term; norms and roundings are their definitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.planner.noisy_transforms import Transform

SLOTS = 8
INPUTS, OUTPUTS, VECTORS = 3, 2, 4


@dataclass
class Terms:
    """A random transform and what it is applied to."""

    op: LinearTransform
    tables: list[np.ndarray]
    rng: np.random.Generator

    def __iter__(self):
        return zip(*(table.tolist() for table in self.tables[:5]), strict=True)

    @property
    def vectors(self) -> np.ndarray:
        return np.broadcast_to(self.tables[5], (VECTORS, SLOTS))

    @property
    def transform(self) -> Transform:
        return Transform(self.op, self.tables, SLOTS)


@st.composite
def transforms(draw: st.DrawFn) -> Terms:
    """With distinct terms, some of weight zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    every = np.stack(np.meshgrid(*map(np.arange, (OUTPUTS, INPUTS, SLOTS, VECTORS)), indexing="ij")).reshape(4, -1)
    chosen = rng.choice(every.shape[1], draw(st.integers(0, 20)), replace=False)
    weights = rng.normal(size=chosen.size) * (rng.random(chosen.size) < 0.8)
    vectors = rng.normal(size=(VECTORS, draw(st.sampled_from((1, SLOTS)))))
    op = LinearTransform(OUTPUTS, draw(st.sampled_from((0, 2, 4))))
    return Terms(op, [*every[:, chosen], weights, vectors], rng)


def by_terms(terms: Terms, x: np.ndarray) -> np.ndarray:
    out = np.zeros((OUTPUTS, SLOTS))
    for row, col, steps, which, weight in terms:
        out[row] += weight * terms.vectors[which] * np.roll(x[col], -steps)
    return out


@given(transforms())
def test_signals_are_transformed_each(terms: Terms) -> None:
    signals = terms.rng.normal(size=(3, INPUTS, SLOTS))
    want = [by_terms(terms, x) for x in signals]
    np.testing.assert_allclose(terms.transform.apply(signals), want, atol=1e-12)
    np.testing.assert_allclose([terms.op.evaluate(x, *terms.tables) for x in signals], want, atol=1e-12)
    single = terms.transform.apply(signals.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, want, atol=1e-4)


@given(transforms())
def test_norms_add_squares_of_what_plaintexts_multiply(terms: Terms) -> None:
    x = terms.rng.normal(size=(INPUTS, SLOTS))
    want = np.zeros((OUTPUTS, SLOTS))
    for row, col, steps, _, weight in terms:
        want[row] += (weight != 0) * np.roll(x[col], -steps) ** 2
    np.testing.assert_allclose(terms.transform.norms(x) ** 2, want, atol=1e-12)


@given(transforms())
def test_rotated_norms_add_squares_of_what_multiplies_baby_steps(terms: Terms) -> None:
    want = np.zeros((OUTPUTS, SLOTS))
    for row, _, steps, which, weight in terms:
        rotated = steps % terms.op.baby_steps if terms.op.baby_steps else steps
        want[row] += (rotated != 0) * (weight * terms.vectors[which]) ** 2
    got = np.broadcast_to(terms.transform.rotated_norms(), want.shape)
    np.testing.assert_allclose(got**2, want, atol=1e-12)


@given(transforms())
def test_weights_and_vectors_rounded_apart_make_another_transform(terms: Terms) -> None:
    x = terms.rng.normal(size=(INPUTS, SLOTS))
    transform, (rows, cols, rotations, which, weights, vectors) = terms.transform, terms.tables
    f = terms.rng.normal(size=(1, *vectors.shape))
    if transform.matrix is None:
        assert not transform.rounded_apart(x, np.zeros((1, 0, 0)), f).any()
        return
    m = transform.matrix
    errors = terms.rng.normal(size=(1, *m.weights.shape)) * (m.weights != 0)
    columns = zip(m.cols.tolist(), m.babies.tolist(), m.which.tolist(), strict=True)
    places = {column: number for number, column in enumerate(columns)}
    e = [
        errors[0, m.rows.tolist().index(row), places[col, steps, vector]] if weight else 0.0
        for row, col, steps, vector, weight in terms
    ]
    rounded = terms.op.evaluate(x, rows, cols, rotations, which, weights + np.array(e), vectors + f[0])
    want = rounded - terms.op.evaluate(x, *terms.tables)
    np.testing.assert_allclose(transform.rounded_apart(x, errors, f)[0], want, atol=1e-10)
