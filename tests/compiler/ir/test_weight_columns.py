"""Weights apart from vectors: the matrices say what the terms say."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.weight_columns import TILE, largest_tile, weight_matrices

SLOTS = 8


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0, 1, 3, 4]))
def test_matrices_are_the_transform(seed: int, terms: int, baby_steps: int) -> None:
    rng = np.random.default_rng(seed)
    tables = (*rng.integers(0, 3, (2, terms)), rng.integers(0, SLOTS, terms), rng.integers(0, 2, terms))
    weights = rng.integers(-2, 3, terms).astype(float)
    x, vectors = rng.integers(-9, 10, (3, SLOTS)).astype(float), rng.integers(-9, 10, (2, SLOTS)).astype(float)
    got = np.zeros((3, SLOTS))
    for m in weight_matrices(tables, weights, baby_steps, SLOTS):
        assert m.filled_rows % 4 == 0
        assert 0 <= m.filled_rows - m.rows.size < 4
        for c, (col, baby, which) in enumerate(zip(m.cols, m.babies, m.which, strict=True)):
            column = np.roll(vectors[which], m.giant) * np.roll(x[col], -baby)
            got[m.rows] += m.weights[:, c, None] * np.roll(column, -m.giant)
    np.testing.assert_array_equal(got, LinearTransform(3, baby_steps).evaluate(x, *tables, weights, vectors))


def test_each_vector_and_rotated_input_is_one_column() -> None:
    rows, cols, which = (table.reshape(-1) for table in np.indices((16, 3, 5)))
    (matrix,) = weight_matrices((rows, cols, which, which), np.ones(rows.size), 0, SLOTS)
    assert matrix.weights.shape == (16, 15)
    assert weight_matrices((rows, cols, which, which), np.zeros(rows.size), 0, SLOTS) == []


def test_sums_are_over_tiles() -> None:
    weights = np.zeros((2, 2 * TILE))
    weights[1, :TILE], weights[1, TILE] = -1.0, 3.0
    assert largest_tile(weights) == TILE
    assert largest_tile(np.zeros((0, 0))) == 0
