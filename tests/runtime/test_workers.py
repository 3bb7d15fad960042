"""Pieces of work are done once each, in order, wherever they are asked for."""

import threading

import pytest

from enclair.runtime.limbs import workers


def test_results_keep_their_order() -> None:
    assert workers.spread(lambda i: i * i, range(20)) == [i * i for i in range(20)]


def test_a_worker_does_what_it_asks_for_itself() -> None:
    """Waiting for other workers could wait for ever: they may all be waiting."""

    def work(i: int) -> list[tuple[int, bool]]:
        here = threading.get_ident()
        return workers.spread(lambda j: (10 * i + j, threading.get_ident() == here), range(5))

    got = workers.parallel_map(work, range(8))
    assert got == [[(10 * i + j, True) for j in range(5)] for i in range(8)]


@pytest.mark.parametrize(("count", "cores"), [(1, 2), (5, 1)])
def test_what_no_other_thread_can_help_with_stays_here(count: int, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: cores)
    assert set(workers.spread(lambda _: threading.get_ident(), range(count))) == {threading.get_ident()}
