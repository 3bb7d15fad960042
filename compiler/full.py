"""Full mode: from a graph of reals to a program of one round on CKKS.

    activations -> polynomials -> slots and rotations -> products and sums -> levels and scales -> a program

The tolerance covers both the polynomials and the noise of encryption: the polynomials get most of it, and the scale is
chosen so that the noise that is predicted on the calibration data fits in what they left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from enclair.compiler.approx.approximate import approximate
from enclair.compiler.approx.ranges import Range, Samples, calibrate
from enclair.compiler.approx.real_intervals import proven_ranges
from enclair.compiler.full_facts import approximation_facts, ring_facts
from enclair.compiler.input_ranges import input_specs, with_declared
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.options import FullOptions, check_full_options
from enclair.compiler.passes.fold_constants import FoldConstants
from enclair.compiler.passes.pipeline import dump, run_passes
from enclair.compiler.passes.recognise_polynomials import RecognisePolynomials
from enclair.compiler.planner.ckks_rings import Wanted, choose_ckks_ring
from enclair.compiler.program import InputSpec, Program, Round, exchange_of

PREPARE = (FoldConstants(), RecognisePolynomials())
DEFAULT_SHARE = 1e-3
"""The tolerance, where none is given, as a part of the outputs' range."""
APPROXIMATION_SHARE = 0.75
"""Of the tolerance, for the polynomials."""
MOST_REACH = 64.0
"""Outputs are given room for so many times the largest seen; bounds of deep models say more than they reach."""


def compile_full(
    graph: Graph, samples: Samples, references: Sequence[Mapping[str, Array]] | None, options: FullOptions
) -> Program:
    """Compile a graph of reals; see ``enclair.compiler.compile``."""
    check_full_options(options)
    prepared, declared, margin = run_passes(graph, PREPARE), options.input_ranges, options.margin
    ranges = with_declared(calibrate(prepared, samples), prepared, declared, margin)
    inputs = input_specs(prepared, ranges, declared, margin)
    references = [run(prepared, sample) for sample in samples] if references is None else references
    sizes = [max(float(np.abs(array).max(initial=0.0)) for array in outputs.values()) for outputs in references]
    largest, largest_first = max(sizes), [samples[number] for number in np.argsort(sizes)[::-1]]
    tolerance = options.tolerance if options.tolerance is not None else DEFAULT_SHARE * max(largest, 1e-9)

    approximated = approximate(prepared, samples, references, APPROXIMATION_SHARE * tolerance, margin, declared)
    dump("polynomials", approximated.graph)
    room, reach = tolerance - approximated.bound, _reach(prepared, inputs, largest, margin)
    found = choose_ckks_ring(Wanted(approximated.graph, largest_first, room, reach, options))
    packed, server, parameters = found.packed, found.choice.graph, found.choice.parameters
    dump("server", server)

    facts = {
        "mode": "full",
        "margin": margin,
        "tolerance": tolerance,
        **approximation_facts(approximated),
        **ring_facts(found, largest, calibrated=options.costs is not None),
        "ranges": {name: [range_.low, range_.high] for name, range_ in sorted(ranges.items())},
    }
    round_ = Round(server, packed.client, exchange_of(server, packed.prologue, packed.client))
    outputs = tuple(value.name for value in prepared.outputs)
    reference = approximated.graph
    return Program(prepared.name, parameters, inputs, outputs, packed.prologue, (round_,), reference, facts=facts)


def _reach(prepared: Graph, inputs: Sequence[InputSpec], largest: float, margin: float) -> float:
    """By what share outputs may be larger than on the samples, as far as can be proven; at least the margin."""
    proven = proven_ranges(prepared, {spec.name: Range(spec.low, spec.high) for spec in inputs})
    most = max(max(-proven[value.name].low, proven[value.name].high) for value in prepared.outputs)
    return max(margin, min(most / max(largest, 1e-300), MOST_REACH) - 1)
