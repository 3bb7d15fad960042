"""What is known of a candidate before its parameters are chosen."""

from __future__ import annotations

import numpy as np
from tests.ckks_graphs import linear_layer

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Builder
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.planner.ckks_candidates import Candidate

REFERENCE = CkksParameters(4096, 2, 40, 50, 1, INSECURE)


def two_layers() -> Candidate:
    rng = np.random.default_rng(0)
    b = Builder("layers")
    x = b.input("x", CkksType(1, 2048))
    h = linear_layer(b, linear_layer(b, x, 4, rng), 4, rng)
    return Candidate(b.build([h]), [{"x": size * np.ones((1, 2048))} for size in (1.0, 1e9)])


def test_ring_and_levels() -> None:
    candidate = two_layers()
    assert (candidate.ring_dim, candidate.levels) == (4096, 2)


def test_the_bound_is_for_the_worst_of_the_samples() -> None:
    """A sample of large values has more noise: plaintexts are rounded."""
    candidate = two_layers()
    leveled = candidate.leveled(REFERENCE)
    small, both = (candidate.predicted(leveled, REFERENCE, inputs)[1] for inputs in (1, 2))
    assert both > 1000 * small
    assert candidate.predicted(leveled, REFERENCE, limit=both)[1] == both


def test_samples_after_one_that_is_too_noisy_are_left_out() -> None:
    candidate = two_layers()
    leveled = candidate.leveled(REFERENCE)
    small = candidate.predicted(leveled, REFERENCE, 1)[1]
    assert candidate.predicted(leveled, REFERENCE, limit=small / 2)[1] == small


def test_digits_do_not_change_the_leveled_graph() -> None:
    candidate = two_layers()
    others = CkksParameters(4096, 2, 40, 50, 3, INSECURE)
    assert str(candidate.leveled(REFERENCE)) == str(candidate.leveled(others))


def test_room_is_for_the_largest_value_of_all_samples() -> None:
    candidate = two_layers()
    leveled = candidate.leveled(REFERENCE)
    alone = Candidate(candidate.graph, candidate.inputs[:1])
    assert candidate.room_bits(leveled, REFERENCE) > alone.room_bits(leveled, REFERENCE) + 29
