"""Threads over independent pieces of work: numba's code, BLAS and OpenFHE's binding release the interpreter lock.

OpenMP inside an op gains nothing at these ring dimensions, and neither does BLAS: each worker keeps to one thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController, threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """``[function(item) for item in items]``, on all cores. The first exception is raised here."""
    return list(_pool(cores()).map(function, items))


def spread(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``parallel_map`` for code that needs no limit on threads of its own: a single item, whatever a worker asks for,
    and all on a single core is done at once in the calling thread.
    """
    if len(items) <= 1 or cores() == 1 or getattr(_local, "is_worker", False):
        return [function(item) for item in items]
    return parallel_map(function, items)


def parallel_parts(function: Callable[[int, int], None], count: int, *, at_least: int = 1) -> None:
    """Call ``function(start, stop)`` on parts of ``range(count)``, on all cores; a part has ``at_least`` items."""
    size = max(at_least, -(-count // (4 * cores())))
    starts = range(0, count, size)
    parallel_map(lambda start: function(start, min(start + size, count)), starts)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS keeps to the thread that calls it."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


def shares(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """The items in at most ``most`` runs of about the same length."""
    size = max(1, -(-len(items) // most))
    return [items[start : start + size] for start in range(0, len(items), size)]


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="enclair", initializer=_one_thread_each)


_local = threading.local()


def _one_thread_each() -> None:
    _local.is_worker = True
    threadpool_limits(limits=1, user_api="openmp")
