"""Threads over independent ciphertexts: OpenFHE's binding releases the interpreter lock.

OpenMP inside an op gains nothing at these ring dimensions, so each worker keeps OpenFHE to one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """``[function(item) for item in items]``, on all cores. The first exception is raised here."""
    return list(_pool().map(function, items))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="enclair-bfv", initializer=_one_thread_each)


def _one_thread_each() -> None:
    threadpool_limits(limits=1, user_api="openmp")
