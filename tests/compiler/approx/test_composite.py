"""The composite sign: its error, the search for degrees, and the table of what it found."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from enclair.compiler.approx.composite import TABLE, composed, composed_rounding, search, sign


@pytest.mark.parametrize(("alpha", "degrees"), TABLE[:10])
def test_sign_is_right_beyond_alpha(alpha: float, degrees: tuple[int, ...]) -> None:
    found = sign(alpha, degrees)
    x = np.concatenate([np.geomspace(alpha, 1, 20000), -np.geomspace(alpha, 1, 20000)])
    assert np.abs(composed(found.stages)(x) - np.sign(x)).max() <= found.tau * (1 + 1e-3) + 1e-9
    assert found.degrees == degrees


def test_values_between_stages_stay_in_the_interval() -> None:
    *stages, _ = sign(0.00345, (7, 15, 31)).stages
    x = np.linspace(-1, 1, 100001)
    for stage in stages:
        x = stage(x)
        assert np.abs(x).max() <= 1 + 1e-6


def test_every_table_entry_has_its_place() -> None:
    """Smaller and smaller alpha: of each entry there is none before it with fewer levels and products."""
    costs = [(sign(*entry).levels, sign(*entry).products) for entry in TABLE]
    assert all(alpha > after for (alpha, _), (after, _) in pairwise(TABLE))
    assert not any(
        later[0] <= cost[0] and later[1] <= cost[1] for n, cost in enumerate(costs) for later in costs[n + 1 :]
    )


@pytest.mark.parametrize(("alpha", "degrees"), [TABLE[1], TABLE[4], TABLE[8]])
def test_search_finds_nothing_shallower_than_the_table(alpha: float, degrees: tuple[int, ...]) -> None:
    listed = sign(alpha, degrees)
    found = search(alpha, listed.tau * 1.0001, 16)
    assert found is not None
    assert (found.levels, found.products) == (listed.levels, listed.products)


def test_search_says_when_levels_do_not_suffice() -> None:
    assert search(1e-4, 1e-6, 6) is None


def test_rounding_grows_with_the_stages() -> None:
    assert (
        composed_rounding(sign(0.078, (3, 3, 7)).stages) < composed_rounding(sign(0.00345, (7, 15, 31)).stages) < 1e-8
    )
