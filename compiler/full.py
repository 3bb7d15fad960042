"""Full mode: from a graph of reals to a program of one round on CKKS.

    activations -> polynomials -> slots and rotations -> products and sums -> levels and scales -> a program

The tolerance covers both the polynomials and the noise of encryption: the polynomials get most of it, and the scale is
chosen so that the noise that is predicted on the calibration data fits in what they left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2
from typing import Any

import numpy as np

from enclair.compiler.approx.approximate import Approximated, approximate
from enclair.compiler.approx.ranges import Samples, calibrate
from enclair.compiler.ckks_parameters import MAX_PRIME_BITS, CkksParameters, fitting_parameters
from enclair.compiler.errors import CompileError, PackingError
from enclair.compiler.input_ranges import input_limits, with_declared
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.ops.ckks import UnpackReals
from enclair.compiler.ir.reference import run
from enclair.compiler.options import FullOptions, check_full_options
from enclair.compiler.packing.slotted.pack import Packed, pack
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.fold_constants import FoldConstants
from enclair.compiler.passes.fold_polynomial_ranges import FoldPolynomialRanges
from enclair.compiler.passes.pipeline import dump, run_passes
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.planner.ckks_noise import Prediction, noise_model, predict
from enclair.compiler.planner.levels import LevelPlan
from enclair.compiler.program import InputSpec, Program, Round, exchange_of

PREPARE = (FoldConstants(),)
EXPAND = (FoldPolynomialRanges(), ExpandPolynomials())
DEFAULT_SHARE = 1e-3
"""The tolerance, where none is given, as a part of the outputs' range."""
APPROXIMATION_SHARE = 0.75
"""Of the tolerance, for the polynomials."""
"""
"""


def compile_full(
    graph: Graph, samples: Samples, references: Sequence[Mapping[str, Array]] | None, options: FullOptions
) -> Program:
    """Compile a graph of reals; see ``enclair.compiler.compile``."""
    raise CompileError(graph.name)
