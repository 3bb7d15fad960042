"""Models in fixed point, with few bits, for tests of what comes after."""

from __future__ import annotations

from enclair.compiler.approx.ranges import calibrate
from enclair.compiler.ir.graph import Graph
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.passes.place_ops import PlaceOps
from enclair.compiler.passes.to_fixed_point import ToFixedPoint
from enclair.compiler.split import PREPARE
from tests.strategies import samples_of


def fixed_graph(graph: Graph, bits: int, weight_bits: int | None = None) -> Graph:
    """Prepared, placed and in fixed point, calibrated on ``samples_of(graph)``."""
    prepared = run_passes(graph, PREPARE)
    ranges = calibrate(prepared, samples_of(graph))
    return run_passes(prepared, [PlaceOps(), ToFixedPoint(ranges, bits, weight_bits or bits)])
