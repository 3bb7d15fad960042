"""Models in fixed point, with few bits, for tests of what comes after."""

from __future__ import annotations

from hypothesis import assume, reject

from enclair.compiler.approx.intervals import largest_sum
from enclair.compiler.approx.ranges import calibrate
from enclair.compiler.errors import DoesNotFit
from enclair.compiler.ir.graph import Graph
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.passes.place_ops import PlaceOps
from enclair.compiler.passes.to_fixed_point import ToFixedPoint
from enclair.compiler.planner.precision import MOST_SUM_BITS
from enclair.compiler.split import PREPARE
from tests.strategies import samples_of


def fixed_example(graph: Graph, bits: int, weight_bits: int | None = None) -> Graph:
    """The same for an example of hypothesis; those whose sums leave int64 are left out."""
    try:
        fixed = fixed_graph(graph, bits, weight_bits)
    except DoesNotFit:
        reject()
    assume(largest_sum(fixed)[1].bit_length() <= MOST_SUM_BITS)
    return fixed


def fixed_graph(graph: Graph, bits: int, weight_bits: int | None = None) -> Graph:
    """Prepared, placed and in fixed point, calibrated on ``samples_of(graph)``."""
    prepared = run_passes(graph, PREPARE)
    ranges = calibrate(prepared, samples_of(graph))
    return run_passes(prepared, [PlaceOps(), ToFixedPoint(ranges, bits, weight_bits or bits)])
