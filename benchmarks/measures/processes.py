"""Work in processes of its own, so that memory is counted apart and nothing one leaves behind costs another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

SPAWN = get_context("spawn")
"""A forked process would share the memory of its parent, and OpenMP's threads do not survive a fork."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class ProcessFailed(RuntimeError):
    """A process ended without a result."""


def use_cores(count: int | None) -> int:
    """Hold this process and those it starts to some of the cores; returns how many there are."""
    cores = sorted(os.sched_getaffinity(0))
    if count is None or count >= len(cores):
        return len(cores)
    os.sched_setaffinity(0, cores[:count])
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    return count


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """What a call gives in a process of its own.

    Raises:
        ProcessFailed: it gave nothing.
    """
    return collect([start(work, *args)])[0]


Started = tuple[BaseProcess, Connection]


def start(work: Callable[..., Any], *args: Any) -> Started:
    """Begin a call in a process of its own; connections among its arguments are its own from then on."""
    here, there = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_report, args=(there, work, *args))
    process.start()
    for end in (there, *(arg for arg in args if isinstance(arg, Connection))):
        end.close()
    return process, here


def collect(started: Sequence[Started]) -> list[Any]:
    """The results of started calls.

    Raises:
        ProcessFailed: one gave none; all have ended then.
    """
    results = [_receive(process, connection) for process, connection in started]
    for process, _ in started:
        process.join()
    for (process, _), result in zip(started, results, strict=True):
        if result is None:
            raise ProcessFailed(f"a process of the benchmark ended with code {process.exitcode}: its error is above")
    return [result[0] for result in results]


def _report(report: Connection, work: Callable[..., Any], *args: Any) -> None:
    report.send((work(*args),))


def _receive(process: BaseProcess, connection: Connection) -> tuple[Any] | None:
    try:
        result: tuple[Any] = connection.recv()
    except EOFError:
        process.join()
        return None
    return result
