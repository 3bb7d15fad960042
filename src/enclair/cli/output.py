"""What goes to stdout and stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from enclair.runtime import progress as runtime_progress

if TYPE_CHECKING:
    from enclair.runtime.session import SessionResult


def emit(data: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a result: as text, or as one JSON object."""
    typer.echo(json.dumps(plain(data), indent=2, allow_nan=False) if as_json else text)


def plain(value: Any) -> Any:
    """Data that JSON can hold: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def note(message: str) -> None:
    """A line on stderr."""
    typer.echo(message, err=True)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Shows the step under way on a terminal; says nothing elsewhere."""
    with Console(stderr=True).status("starting") as status:
        yield status.update


@contextmanager
def progress_bar() -> Iterator[runtime_progress.Report | None]:
    """A bar with what was just done, the time taken and the time left, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=1.0, left="")

        def report(moment: runtime_progress.Progress) -> None:
            left = "" if moment.left_s is None else f"about {moment.left_s:.0f} s left"
            bar.update(task, completed=moment.done, description=moment.what, left=left)

        yield report


def session_text(result: SessionResult) -> str:
    """What a run took: rounds, seconds, bytes."""
    seconds, traffic = result.seconds, result.traffic
    return (
        f"{result.batches} x {result.rounds} rounds in {seconds['total']:.1f} s (client {seconds['client']:.1f},"
        f" server {seconds['server']:.1f}), keys {seconds['keys']:.1f} s; {size_text(traffic.up)} up,"
        f" {size_text(traffic.down)} down, {size_text(traffic.keys)} keys; peak memory {size_text(result.peak_rss)}"
    )


def size_text(count: float) -> str:
    """Bytes, readable."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
