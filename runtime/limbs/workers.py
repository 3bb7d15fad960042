"""Threads over independent pieces of work: numba's code, BLAS and OpenFHE's binding release the interpreter lock.

OpenMP inside an op gains nothing at these ring dimensions, and neither does BLAS: each worker keeps to one thread.

Threads that run the nodes of a graph (``workers``) and those that help them inside an operation share a budget: each
takes a core while it computes, and helpers come only while a core is free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore, Lock, local
from typing import Any, Generic, TypeVar

from threadpoolctl import ThreadpoolController, threadpool_limits

from enclair.runtime.errors import RuntimeFailure

Item = TypeVar("Item")
Result = TypeVar("Result")

_thread = local()


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """``[function(item) for item in items]``, on all cores. The first exception is raised here.

    Called by a thread of ``workers``, or within itself, on that thread and on cores that are free.
    """
    if getattr(_thread, "is_worker", False):
        return _Shared(function, list(items)).run()
    return list(_pool(cores()).map(function, items))


def spread(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``parallel_map`` for work that needs no limit on threads of its own: a single item, and all on a single core, is
    done at once in the calling thread.
    """
    if len(items) <= 1 or cores() == 1:
        return [function(item) for item in items]
    return parallel_map(function, items)


def parallel_parts(function: Callable[[int, int], None], count: int, *, at_least: int = 1) -> None:
    """Call ``function(start, stop)`` on parts of ``range(count)``, on all cores; a part has ``at_least`` items."""
    size = max(at_least, -(-count // (4 * cores())))
    starts = range(0, count, size)
    parallel_map(lambda start: function(start, min(start + size, count)), starts)


def workers(count: int) -> ThreadPoolExecutor:
    """A pool of threads that run the nodes of a graph."""
    return _graph_pool(count)


@contextmanager
def computing() -> Iterator[None]:
    """A worker takes a core while it computes, and waits until there is one."""
    with _free_cores(cores()):
        yield


class _Shared(Generic[Item, Result]):
    """Items that a worker and its helpers take one by one."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._function: Callable[[Item], Result] = function
        self._items = items
        self._results: list[Result | None] = [None] * len(items)
        self._numbers: Iterator[int] = iter(range(len(items)))
        self._lock = Lock()

    def run(self) -> list[Result]:
        """The results, in order."""
        helpers: list[Future[None]] = []
        free, most = _free_cores(cores()), len(self._items) - 1
        while (number := self._next()) is not None:
            if len(helpers) < most and free.acquire(blocking=False):
                helpers.append(_pool(cores()).submit(self._help, free))
            self._take(number)
        for helper in helpers:
            if helper.cancel():  # nobody had time to begin: to wait might be to wait for each other
                free.release()
            else:
                helper.result()
        return self._taken_out()

    def _taken_out(self) -> list[Result]:
        """The results. A helper that was cancelled stays in its queue for a while: nothing large is left to it."""
        results, self._results, self._items = self._results, [], ()
        self._function = _nothing
        return results  # type: ignore[return-value] # every one is there

    def _help(self, free: BoundedSemaphore) -> None:
        try:
            while (number := self._next()) is not None:
                self._take(number)
        finally:
            free.release()

    def _take(self, number: int) -> None:
        try:
            self._results[number] = self._function(self._items[number])
        except BaseException:
            self._numbers = iter(())
            raise

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)


def _nothing(_: object) -> Any:
    raise RuntimeFailure("no work is left to a helper: this is a bug in enclair")


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


@cache
def _graph_pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="enclair-graph", initializer=_one_thread_each)


@cache
def _free_cores(count: int) -> BoundedSemaphore:
    return BoundedSemaphore(count)


def _one_thread_each() -> None:
    _thread.is_worker = True
    threadpool_limits(limits=1, user_api="openmp")
