"""In which intervals inputs are accepted: declared by the user, or calibrated and widened."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from enclair.compiler.approx.ranges import Range
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.program import InputSpec

Declared = Mapping[str, tuple[float, float]]


def with_declared(ranges: Mapping[str, Range], graph: Graph, declared: Declared, margin: float) -> dict[str, Range]:
    """Calibrated ranges, with the declared ones of inputs instead: those hold without a margin.

    Raises:
        CompileError: a declared range is none, is of no input, or does not hold the calibration data.
    """
    names = {value.name for value in graph.inputs}
    if unknown := sorted(set(declared) - names):
        raise CompileError(
            f"input_ranges names {', '.join(unknown)}; the model's inputs are {', '.join(sorted(names))}"
        )
    found = {}
    for name, (low, high) in declared.items():
        _check(name, low, high, ranges[name])
        shrink = 1 + margin
        found[name] = Range(min(low, 0.0) / shrink, max(high, 0.0) / shrink)
    return {**ranges, **found}


def _limits(name: str, ranges: Mapping[str, Range], declared: Declared, margin: float) -> tuple[float, float]:
    """The interval in which an input is accepted."""
    if name in declared:
        low, high = declared[name]
        return float(low), float(high)
    widened = ranges[name].widened(margin)
    return widened.low, widened.high


def input_specs(graph: Graph, ranges: Mapping[str, Range], declared: Declared, margin: float) -> tuple[InputSpec, ...]:
    """The inputs of a program, by those of the graph that it computes."""
    return tuple(
        InputSpec(value.name, getattr(value.type, "shape", ()), *_limits(value.name, ranges, declared, margin))
        for value in graph.inputs
    )


def _check(name: str, low: float, high: float, seen: Range) -> None:
    if not (np.isfinite([low, high]).all() and low < high):
        raise CompileError(f"input_ranges[{name!r}] must be (low, high) with low < high, got ({low}, {high})")
    if seen.low < low or seen.high > high:
        raise CompileError(
            f"input_ranges[{name!r}] is ({low}, {high}), but the calibration data reach "
            f"from {seen.low:.6g} to {seen.high:.6g}"
        )
