"""Run a compiled program on its inputs, in a process of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import enclair
from measures.full_mode.files import INPUTS, PROGRAM
from measures.full_mode.precision import precision
from measures.processes import THREAD_VARIABLES, apart
from measures.timing import median_of, peak_memory, timed

MEDIAN_RUNS = 7
"""Runs that are enough for a median."""
KEY_BYTES = 5 << 30
"""Of rotation keys in use, where they are more: client and server share this machine."""


def inputs_on(threads: Sequence[int], count: int) -> dict[int, int]:
    """Number of cores -> how many inputs run on it: all on the most, enough for a median on fewer."""
    return {cores: count if cores == max(threads) else min(count, MEDIAN_RUNS) for cores in threads}


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Hold this process, and those it starts meanwhile, to some of the cores."""
    cores, environment = os.sched_getaffinity(0), dict(os.environ)
    os.sched_setaffinity(0, sorted(cores)[:count])
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        os.environ.clear()
        os.environ.update(environment)


def run_on(cores: int, folder: Path, backend: str, most: int) -> dict[str, Any]:
    """Run the program in a folder on so many cores, and on so many of its inputs at most."""
    with on_cores(cores):
        found: dict[str, Any] = apart(run, folder, backend, most)
    return found


def run(folder: Path, backend: str, most: int) -> dict[str, Any]:
    """Every input once, after the first has warmed up: medians of seconds by part, by the clock and of all cores."""
    program = enclair.load(folder / PROGRAM)
    with np.load(folder / INPUTS) as arrays:
        case = {name: array[:most] for name, array in arrays.items()}
    spec = program.inputs[0]
    batches = case["inputs"].reshape(-1, *spec.shape)
    expected = case["expected"].reshape(len(batches), -1, *case["expected"].shape[1:])
    key_seconds, session = timed(lambda: enclair.Session(program, backend, key_bytes=KEY_BYTES))
    results, core_seconds = [], []
    for number, batch in enumerate([batches[0], *batches]):
        start = time.process_time()
        results.append(session.run({spec.name: batch}, clip=True))
        core_seconds.append(time.process_time() - start)
        error = np.abs(results[-1].outputs[program.outputs[0]] - expected[max(number - 1, 0)]).max()
        told = f"input {number} of {len(batches)}" if number else "warm"
        print(f"  {told}: server {results[-1].seconds['server']:.3g} s, error {error:.2g}", file=sys.stderr, flush=True)
    outputs = np.concatenate([result.outputs[program.outputs[0]] for result in results[1:]])
    traffic = results[-1].traffic
    return {
        "keys": key_seconds,
        "parts": median_of([result.parts for result in results[1:]]),
        "seconds": median_of([result.seconds for result in results[1:]]),
        "core_seconds": median(core_seconds[1:]),
        "bytes": {"up": traffic.up, "down": traffic.down, "keys": traffic.keys},
        "peak_memory": peak_memory(),
        "precision": precision(outputs, case["expected"]).to_json(),
        "clipped": sum(sum(result.clipped.values()) for result in results[1:]),
        **_accuracy(outputs, case),
    }


def gaps(folder: Path, backend: str) -> list[dict[str, Any]]:
    """What ``verify`` says of the first input: the gap of each execution to the one before, and its bound."""
    program = enclair.load(folder / PROGRAM)
    spec = program.inputs[0]
    with np.load(folder / INPUTS) as arrays:
        first = arrays["inputs"].reshape(-1, *spec.shape)[0]
    return [gap.to_json() for gap in enclair.verify(program, {spec.name: first}, backend).gaps]


def _accuracy(outputs: Any, case: dict[str, Any]) -> dict[str, float]:
    if "labels" not in case:
        return {}
    shares = {"accuracy": outputs, "float_accuracy": case["expected"]}
    return {name: float((each.argmax(axis=1) == case["labels"]).mean()) for name, each in shares.items()}
