"""Threads over independent work: nested calls end, and exceptions come through."""

from __future__ import annotations

import pytest

from enclair.runtime.limbs.workers import cores, parallel_map, spread


def nested(depth: int) -> int:
    """The sum of 1 over a tree of calls, each level on all cores."""
    return 1 if depth == 0 else sum(parallel_map(nested, [depth - 1] * (2 * cores() + 1)))


def test_nested_calls_never_wait_for_each_other() -> None:
    for _ in range(20):
        assert nested(3) == (2 * cores() + 1) ** 3


def test_results_keep_their_order() -> None:
    assert spread(lambda x: x * x, list(range(50))) == [x * x for x in range(50)]


def test_an_exception_comes_through_nested_calls() -> None:
    def fail(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number

    with pytest.raises(ValueError, match="seven"):
        parallel_map(lambda start: parallel_map(fail, range(start, start + 5)), range(0, 10, 5))
