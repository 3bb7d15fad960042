"""Full mode: from a graph of reals to a program of one round on CKKS.

    activations -> polynomials -> slots and rotations -> products and sums -> levels and scales -> a program

The tolerance covers both the polynomials and the noise of encryption: the polynomials get most of it, and the scale is
chosen so that the noise that is predicted on the calibration data fits in what they left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np

from enclair.compiler.approx.approximate import Approximated, approximate
from enclair.compiler.approx.ranges import Range, Samples, calibrate
from enclair.compiler.errors import CompileError, PackingError
from enclair.compiler.input_ranges import input_limits, with_declared
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.ops.ckks import UnpackReals
from enclair.compiler.ir.reference import run
from enclair.compiler.options import FullOptions, check_full_options
from enclair.compiler.packing.slotted.pack import Packed, pack
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts
from enclair.compiler.parameters import MAX_MODULUS_BITS
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.fold_constants import FoldConstants
from enclair.compiler.passes.fold_polynomial_ranges import FoldPolynomialRanges
from enclair.compiler.passes.pipeline import dump, run_passes
from enclair.compiler.planner.ckks_choice import Chosen, choose, largest_scale
from enclair.compiler.planner.levels import LevelPlan
from enclair.compiler.program import InputSpec, Program, Round, exchange_of

PREPARE = (FoldConstants(),)
EXPAND = (FoldPolynomialRanges(), ExpandPolynomials())
DEFAULT_SHARE = 1e-3
"""The tolerance, where none is given, as a part of the outputs' range."""
APPROXIMATION_SHARE = 0.75
"""Of the tolerance, for the polynomials."""
PREDICTED_ON = 2
"""Calibration samples on which the noise is predicted."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A program for one ring."""

    packed: Packed
    chosen: Chosen


def compile_full(
    graph: Graph, samples: Samples, references: Sequence[Mapping[str, Array]] | None, options: FullOptions
) -> Program:
    """Compile a graph of reals; see ``enclair.compiler.compile``."""
    check_full_options(options)
    prepared = run_passes(graph, PREPARE)
    ranges = with_declared(calibrate(prepared, samples), prepared, options.input_ranges, options.margin)
    wanted = [run(prepared, sample) for sample in samples] if references is None else references
    largest = max(float(np.abs(array).max(initial=0.0)) for outputs in wanted for array in outputs.values())
    tolerance = options.tolerance if options.tolerance is not None else DEFAULT_SHARE * max(largest, 1e-9)
    approximated = approximate(
        prepared, samples, wanted, APPROXIMATION_SHARE * tolerance, options.margin, options.input_ranges
    )
    dump("polynomials", approximated.graph)
    candidate = _cheapest(approximated.graph, samples, tolerance - approximated.bound)
    return _program(prepared, approximated, candidate, ranges, tolerance, largest, options)


def _cheapest(graph: Graph, samples: Samples, room: float) -> _Candidate:
    """The cheapest candidate: that of the smallest ring that has one, or of the next where values fill several
    ciphertexts.

    Raises:
        CompileError: there is none.
    """
    best: _Candidate | None = None
    for candidate in _candidates(graph, samples, room):
        if best is None or candidate.packed.milliseconds < best.packed.milliseconds:
            best = candidate
        if best is not candidate or not _has_many_ciphertexts(candidate):
            break
    if best is None:
        raise CompileError(
            f"{graph.name}: no ring dimension up to {max(MAX_MODULUS_BITS)} has the levels and the precision that the"
            " model needs: ask for a larger tolerance, make activations cheaper (enclair.torch.polynomialise), or"
            " compile with mode='split'"
        )
    return best


def _candidates(graph: Graph, samples: Samples, room: float) -> Iterator[_Candidate]:
    """By ring dimension, ascending: packing decides how many levels are needed, and so which rings can hold them."""
    levels, failure = 1, None
    for ring_dim in sorted(MAX_MODULUS_BITS):
        if (loudest := largest_scale(ring_dim, levels, 2)) is None:
            continue
        try:
            packed = pack(graph, ring_dim // 2, RotationCosts().at(ring_dim, loudest.levels + 1))
        except PackingError as error:
            failure = error
            continue
        server = run_passes(packed.server, EXPAND)
        levels = max(levels, LevelPlan(server).depth)
        if largest_scale(ring_dim, levels, 2) is None:
            continue
        given = [run(packed.prologue, sample) for sample in samples[:PREDICTED_ON]]
        chosen = choose(server, ring_dim, given, _magnitude(server, given), room)
        if chosen is not None:
            yield _Candidate(packed, chosen)
    if failure is not None:
        raise CompileError(f"%{failure.node} {failure.reason}") from failure


def _magnitude(server: Graph, inputs: Sequence[Mapping[str, Array]]) -> float:
    """The largest value of a PACKED graph."""
    seen = [0.0]
    for given in inputs:
        run(server, given, lambda _, args, result: seen.append(float(np.abs(result).max(initial=0.0))))
        seen += [float(np.abs(array).max(initial=0.0)) for array in given.values()]
    return max(seen)


def _has_many_ciphertexts(candidate: _Candidate) -> bool:
    return any(layout.count > 1 for layout in candidate.packed.layouts.values())


def _program(
    prepared: Graph,
    approximated: Approximated,
    candidate: _Candidate,
    ranges: Mapping[str, Range],
    tolerance: float,
    largest: float,
    options: FullOptions,
) -> Program:
    packed, chosen = candidate.packed, candidate.chosen
    dump("server", chosen.graph)
    inputs = tuple(
        InputSpec(
            value.name,
            getattr(value.type, "shape", ()),
            *input_limits(value.name, ranges, options.input_ranges, options.margin),
        )
        for value in prepared.inputs
    )
    round_ = Round(chosen.graph, packed.client, exchange_of(chosen.graph, packed.prologue, packed.client))
    noise = chosen.prediction.bound
    facts: dict[str, Any] = {
        "mode": "full",
        "margin": options.margin,
        "tolerance": tolerance,
        "gap_bound": {"value": approximated.bound, "kind": approximated.bound_kind},
        "noise_bound": {"value": noise, "kind": "predicted", "bits": log2(max(largest, 1e-300) / max(noise, 1e-300))},
        "activations": [activation.facts() for activation in approximated.activations],
        "layouts": {name: repr(UnpackReals(layout)) for name, layout in packed.layouts.items()},
        "values": dict(packed.names),
        "ranges": {name: [range_.low, range_.high] for name, range_ in sorted(ranges.items())},
    }
    outputs = tuple(value.name for value in prepared.outputs)
    return Program(
        prepared.name, chosen.parameters, inputs, outputs, packed.prologue, (round_,), approximated.graph, facts=facts
    )
