"""What the server's operations on CKKS ciphertexts cost on this machine: measured once, and kept (``measured_costs``).

A few operations are timed on random residues, under random keys: neither OpenFHE nor a secret is needed. The costs of
the units of work that the compiler counts are then those that explain the times best.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.planner.ckks_costs import RingWork, TransformSteps, UnitCosts, Work, ring_work
from enclair.measured_costs import VERSION, cache_file, machine_name
from enclair.runtime.backends.ckks.ciphers import Ciphers
from enclair.runtime.backends.ckks.evaluate import CkksEvaluator
from enclair.runtime.rns.keys import EvaluationKeys

RINGS = ((8192, 3, 2, 28), (16384, 5, 2, 40), (16384, 7, 4, 28), (32768, 9, 5, 40))
"""Ring dimension, levels, digits, scale_bits."""
ROOM_BITS = 3
PLAIN_SCALE = 2.0**28
LEAST_REPEATS, LEAST_SECONDS = 3, 0.05
DIAGONALS = 16


@dataclass(frozen=True, slots=True)
class Measurement:
    """An operation on one ciphertext: its work, its milliseconds on one thread, and those that the fit explains."""

    operation: str
    ring_dim: int
    limbs: int
    digits: int
    work: Work
    milliseconds: float
    fitted: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Costs of units of work on a machine, and the measurements behind them."""

    machine: str
    costs: UnitCosts
    measurements: tuple[Measurement, ...]


def calibrate(report: Callable[[str], None] = lambda _: None) -> Calibration:
    """Measure this machine, on one thread; about a minute.

    Args:
        report: told what is measured next.
    """
    with _one_core():
        measured = [each for ring in RINGS for each in _measure_ring(*ring, report)]
    costs = fit(measured)
    explained = [
        Measurement(m.operation, m.ring_dim, m.limbs, m.digits, m.work, m.milliseconds, _milliseconds(m, costs))
        for m in measured
    ]
    return Calibration(machine_name(), costs, tuple(explained))


def fit(measured: list[Measurement]) -> UnitCosts:
    """The unit costs that explain measured times best, each time counting alike; none is negative."""
    units = len(fields(UnitCosts))
    rows = [
        [
            _milliseconds(m, UnitCosts(*(float(i == unit) for i in range(units)))) / m.milliseconds
            for unit in range(units)
        ]
        for m in measured
    ]
    found, _ = nnls(np.array(rows), np.ones(len(rows)))
    return UnitCosts(*map(float, found))


def _milliseconds(m: Measurement, costs: UnitCosts) -> float:
    return costs.milliseconds(m.work, m.ring_dim)


def save(calibration: Calibration, path: Path | None = None) -> Path:
    """Keep a calibration; returns where."""
    path = path or cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(calibration), indent=2) + "\n")
    return path


def as_json(calibration: Calibration) -> dict[str, Any]:
    """Plain data."""
    return {"version": VERSION, **asdict(calibration)}


def _measure_ring(
    ring_dim: int, levels: int, digits: int, scale_bits: int, report: Callable[[str], None]
) -> Iterator[Measurement]:
    parameters = CkksParameters(ring_dim, levels, scale_bits, scale_bits + ROOM_BITS, digits, INSECURE)
    evaluator = CkksEvaluator(parameters, _random_keys(parameters))
    work = ring_work(parameters)
    for level in sorted({levels, max(levels // 2, 1)}, reverse=True):
        report(f"ring dimension {ring_dim}, {level + 1} primes, {digits} digits")
        for name, done, operation in _operations(evaluator, parameters, work, level):
            yield Measurement(name, ring_dim, level + 1, digits, done, _timed(operation))


def _operations(
    evaluator: CkksEvaluator, parameters: CkksParameters, work: RingWork, level: int
) -> Iterator[tuple[str, Work, Callable[[], object]]]:
    """Name, work, and the operation itself, on one ciphertext of a level."""
    limbs, slots = level + 1, parameters.slots
    x = _random_ciphers(parameters, level)
    product = evaluator.multiply(x, x)
    extended = evaluator.relinearise(product)
    vector = np.random.default_rng(0).uniform(-1, 1, (1, slots))
    yield "multiply", Work(products=limbs / 2), lambda: evaluator.multiply(x, x)
    yield "relinearise", work.key_switch(limbs), lambda: evaluator.relinearise(product)
    yield "rotate", work.key_switch(limbs), lambda: evaluator.rotate(x, 1)
    yield "rescale", work.rescale(limbs, extended=False), lambda: evaluator.rescale(x)
    yield "rescale after switching", work.rescale(limbs, extended=True), lambda: evaluator.rescale(extended)
    encoded = Work(transforms=limbs, products=limbs / 4, encodings=1)
    yield "multiply by a vector", encoded, lambda: evaluator.multiply_plain(x, vector, PLAIN_SCALE)
    yield from _transforms(evaluator, work, x, level)


def _transforms(
    evaluator: CkksEvaluator, work: RingWork, x: Ciphers, level: int
) -> Iterator[tuple[str, Work, Callable[[], object]]]:
    """Linear transforms: many products with one rotation, and many rotations."""
    slots, zeros, terms = evaluator.ring.ring_dim // 2, np.zeros(DIAGONALS, dtype=np.int64), np.arange(DIAGONALS)
    vectors = np.random.default_rng(0).uniform(-1, 1, (DIAGONALS, slots))
    op, many = LinearTransform(1, 0, PLAIN_SCALE), evaluator.concat([x] * DIAGONALS)
    for name, batch, cols, rotations, babies in (
        ("sum of products", many, terms, zeros, 0),
        ("sum of rotations", x, zeros, terms, DIAGONALS - 1),
    ):
        tables = (zeros, cols, rotations, terms, np.ones(DIAGONALS), vectors)
        prepared = evaluator.prepare_linear_transform(CkksType(1, slots, level, x.scale), op, *tables)
        done = work.linear_transform(TransformSteps(babies > 0, babies, 0, DIAGONALS, 1), level + 1)
        yield name, done, partial(evaluator.linear_transform, batch, op, *tables, prepared)


def _timed(operation: Callable[[], object]) -> float:
    """Milliseconds of processor time: the median of several runs, after one that warms up."""
    operation()
    times: list[float] = []
    while len(times) < LEAST_REPEATS or sum(times) < LEAST_SECONDS:
        start = time.process_time()
        operation()
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times)


def _random_ciphers(parameters: CkksParameters, level: int) -> Ciphers:
    """One ciphertext of centred residues."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(-(q // 2), q // 2, (2, parameters.ring_dim)) for q in parameters.primes[: level + 1]]
    return Ciphers((np.stack(rows, axis=1).astype(np.float64),), level, PLAIN_SCALE)


def _random_keys(parameters: CkksParameters) -> EvaluationKeys:
    """For relinearisation, and for rotations up to the number of diagonals: one key for all."""
    rng = np.random.default_rng(0)
    shape = (parameters.digits, 2, parameters.ring_dim)
    rows = [rng.integers(0, q, shape, dtype=np.uint64) for q in parameters.primes + parameters.special_primes]
    key = np.stack(rows, axis=2)
    return EvaluationKeys(key, dict.fromkeys(range(1, DIAGONALS), key), "0" * 32)


class _one_core:  # noqa: N801 - a context manager
    """The calling thread, and those that it starts, keep to one core."""

    def __enter__(self) -> None:
        self._allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(self._allowed)})

    def __exit__(self, *_: object) -> None:
        os.sched_setaffinity(0, self._allowed)
