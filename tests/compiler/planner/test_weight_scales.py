"""How a scale is divided between weights and vectors: exact sums, balanced errors, and only where it pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.weight_columns import MOST_WEIGHT, TILE, largest_tile
from enclair.compiler.planner.weight_scales import divided_scale, weight_scale

SLOTS = 64


def dense(outputs: int, inputs: int, taps: int, slots: int = SLOTS, size: float = 1.0) -> tuple[np.ndarray, ...]:
    rows, cols, which = (table.reshape(-1) for table in np.indices((outputs, inputs, taps)))
    weights = size * np.random.default_rng(0).normal(size=rows.size)
    return rows, cols, which, which, weights, np.ones((taps, slots))


@given(st.integers(0, 2**32 - 1), st.integers(36, 50), st.floats(1e-6, 1e6))
def test_weights_stay_exact(seed: int, bits: int, magnitude: float) -> None:
    weights = np.random.default_rng(seed).normal(size=(3, 70)) * magnitude
    scale = weight_scale(weights, 2.0**bits, 16384)
    assert scale == 2.0 ** np.round(np.log2(scale))
    assert largest_tile(np.rint(weights * scale)) < MOST_WEIGHT


@given(st.integers(0, 2**32 - 1), st.integers(36, 50), st.sampled_from([1024, 16384]))
def test_the_roundings_of_weights_and_of_vectors_are_balanced(seed: int, bits: int, ring_dim: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(3, 70))
    scale = weight_scale(weights, 2.0**bits, ring_dim)
    of_weights = weights.size / 12 / scale**2
    of_vectors = (weights**2).sum() * ring_dim / 24 / (2.0**bits / scale) ** 2
    assert 1 / 4.5 <= of_weights / of_vectors <= 4.5


def test_many_weights_of_a_tile_get_less() -> None:
    many, few = np.full((1, TILE), 1e-6), np.full((1, 1), 1e-6)
    assert weight_scale(many, 2.0**100, 16384) == weight_scale(few, 2.0**100, 16384) / TILE


@pytest.mark.parametrize("baby_steps", [0, 3])
def test_convolutions_of_many_channels_are_divided(baby_steps: int) -> None:
    scale = divided_scale(LinearTransform(16, baby_steps, 2.0**40), dense(16, 16, 9), SLOTS)
    assert scale is not None
    assert 2.0**14 <= scale <= 2.0**20


@pytest.mark.parametrize(
    ("plain_scale", "tables"),
    [
        (None, dense(16, 16, 9)),
        (2.0**35, dense(16, 16, 9)),
        (2.0**40, dense(16, 16, 9, slots=1)),
        (2.0**40, dense(1, 16, 9)),
        (2.0**40, dense(0, 16, 9)),
        (2.0**40, dense(16, 16, 9, size=0.0)),
        (2.0**40, dense(16, 16, 9, size=1e12)),
    ],
    ids=["no levels", "small scale", "numbers", "one result", "no result", "no weight", "huge weights"],
)
def test_what_does_not_pay_or_has_no_bits_is_not(plain_scale: float | None, tables: tuple[np.ndarray, ...]) -> None:
    assert divided_scale(LinearTransform(16, 0, plain_scale), tables, SLOTS) is None
