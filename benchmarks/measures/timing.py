"""Seconds and medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

GIGABIT = 125e6
"""Bytes a second at 1 Gbit/s."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds a call took, and what it gave."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def median_seconds(work: Callable[[], Any], runs: int) -> float:
    """The median of some calls."""
    return statistics.median(timed(work)[0] for _ in range(runs))


def median_of(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each entry."""
    return {key: statistics.median(table[key] for table in tables) for key in tables[0]}


def wire_seconds(bytes_: int) -> dict[str, float]:
    """What the bytes take at 1 Gbit/s and at 100 Mbit/s."""
    return {"1 Gbit/s": bytes_ / GIGABIT, "100 Mbit/s": 10 * bytes_ / GIGABIT}


def peak_memory() -> int:
    """The most bytes of memory that this process had since it was started.

    ``getrusage`` would include what the process that started it had.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak() -> None:
    """Let the peak of this process begin with the memory that it has now; a kernel that cannot keeps the old one.

    Writing 5 to ``clear_refs`` does it: see proc(5).
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
