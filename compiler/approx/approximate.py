"""From a graph of reals to one of polynomials, within a tolerance on its outputs.

The tolerance is shared among the activations by how far their errors are expected to move the outputs
(``sensitivity``), with the fewest levels and then the fewest products (``budget``). Errors of single activations are
certified. Their sum at the outputs is measured on the calibration data: the bound is the largest gap there, doubled;
shares shrink until it is within the tolerance, and grow while it is far within.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from enclair.compiler.approx.budget import MOST_CERTIFIED, SAFETY, Place, share_out, smallest_tolerance
from enclair.compiler.approx.certificates import METHOD
from enclair.compiler.approx.domains import Domain, Seen, domain_of
from enclair.compiler.approx.fits import Fit
from enclair.compiler.approx.fitting import check_domain
from enclair.compiler.approx.functions import facts_of
from enclair.compiler.approx.ranges import Range, Samples, calibrate
from enclair.compiler.approx.real_intervals import proven_ranges
from enclair.compiler.approx.sensitivity import Sensitivity, sensitivities
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.ops.activations import Softmax
from enclair.compiler.ir.ops.elementwise import Mul
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.ir.ops.shape import Pad
from enclair.compiler.ir.reference import run
from enclair.compiler.passes.approximate_activations import ApproximateActivations
from enclair.compiler.passes.fold_affine import FoldAffine
from enclair.compiler.passes.fold_constants import FoldConstants
from enclair.compiler.passes.fold_prescale import FoldPrescale
from enclair.compiler.passes.fold_products import FoldProducts
from enclair.compiler.passes.lower_averages import LowerAverages
from enclair.compiler.passes.lower_clips import LowerClips
from enclair.compiler.passes.lower_maxima import LowerMaxima
from enclair.compiler.passes.lower_normalisations import LowerNormalisations, Shift
from enclair.compiler.passes.lower_pads import LowerPads
from enclair.compiler.passes.lower_quotients import LowerQuotients
from enclair.compiler.passes.lower_to_affine import LowerToAffine
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.passes.recognise_activations import RecogniseActivations
from enclair.compiler.planner.sides import MOVES, SUMS

LOWER = (
    FoldConstants(), LowerPads(), LowerMaxima(), LowerQuotients(), LowerToAffine(), LowerAverages(), FoldProducts(),
    FoldAffine(), FoldConstants(),
)  # fmt: skip
"""After LowerNormalisations: exact rewrites, until what is left is sums, products and functions of one element."""
FINISH = (FoldPrescale(), FoldAffine(), FoldConstants())
ON_CIPHERTEXTS = (Conv, ConvTranspose, MatMul, Mul, Polynomial, *MOVES, *SUMS)
"""What needs no approximation."""
FEW_SAMPLES = 4
"""Samples on which candidates are compared. The one that is taken is measured on all; where it fails is added."""
MOST_ATTEMPTS = 10
MOST_BUDGET = 4.0
"""Shares may be predicted to be this many tolerances in all; the measured gap may not."""
LEAST_STEP = 1.3
"""Ratio of a sum of shares that fails to one that holds at which the search ends."""
MOST_SPREAD = 12.0
"""Rows of a softmax whose sums differ by more than exp(12) have their maxima subtracted."""
WORTH_A_LEVEL = 2.0
"""What subtracting the means must take off the spread: it needs a level."""


@dataclass(frozen=True, slots=True)
class Activation:
    """What is declared of one approximated activation.

    Args:
        name: of the value it makes; ``origin`` is the user's source line.
        fit: method, degree, levels, products and certified error.
        domain: the interval on which the certificate holds, proven or calibrated, and what calibration data reach.
        sensitivity: largest move of an output per unit of error here, measured.
        share: of the tolerance, what the fit was expected to add to the bound.
        growth: largest value on 1.5 times the interval, over the largest of the function inside: what a value outside
            of a calibrated interval does. Nobody sees it in full mode.
    """

    name: str
    fit: Fit
    domain: Domain
    sensitivity: float
    share: float
    growth: float
    origin: str = ""

    def facts(self) -> dict[str, Any]:
        """For reports: plain numbers and text."""
        return {
            "name": self.name,
            "op": repr(self.fit.op),
            "origin": self.origin,
            "range": [self.domain.low, self.domain.high],
            "range_kind": self.domain.kind,
            "seen": [self.domain.seen.low, self.domain.seen.high],
            "method": self.fit.method.value,
            "degrees": [stage.degree for stage in self.fit.stages],
            "levels": self.fit.levels,
            "products": self.fit.products,
            "error": self.fit.error,
            "error_kind": "relative" if self.fit.relative else "absolute",
            "certificate": METHOD,
            "sensitivity": self.sensitivity,
            "share": self.share,
            "growth": min(self.growth, 1e300),
        }


@dataclass(frozen=True, slots=True)
class Approximated:
    """A graph without activations, what became of each, and the bound on its gap to the references.

    ``bound_kind`` is "calibrated": the largest gap on the calibration data, doubled.
    """

    graph: Graph
    activations: tuple[Activation, ...]
    bound: float
    bound_kind: str = "calibrated"

    @property
    def fits(self) -> tuple[Fit, ...]:
        """Of the activations."""
        return tuple(activation.fit for activation in self.activations)

    @property
    def levels(self) -> int:
        """The sum over activations."""
        return _levels(self.fits)


def approximate(
    graph: Graph,
    samples: Samples,
    references: Sequence[Mapping[str, Array]] | None,
    tolerance: float,
    margin: float = 0.25,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Approximated:
    """Replace the activations of a graph of reals by polynomials.

    Args:
        graph: in the stage of tensors, constants folded.
        samples: calibration inputs, by name.
        references: the float model's outputs for each sample; None: the graph's own.
        tolerance: largest |polynomials - references| allowed on the outputs, in their units.
        margin: by what share calibrated ranges are widened.
        input_ranges: declared intervals of inputs; without, what the samples reach, widened by the margin.

    Raises:
        CompileError: an op cannot be computed on ciphertexts, a function is not defined where it is needed, or the
            tolerance cannot be met.
        CalibrationError: the samples do not fit the graph.
    """
    if not tolerance > 0:
        raise CompileError(f"tolerance must be positive, got {tolerance}")
    lowered = lower(graph, samples)
    _check_supported(lowered)
    wanted = [run(graph, sample) for sample in samples] if references is None else references

    def search(form: Graph) -> Approximated:
        return _Search(form, _places(form, samples, margin, input_ranges or {}), samples, wanted, tolerance).run()

    try:
        return search(lowered)
    except CompileError:
        clipless = run_passes(lowered, (LowerClips(), *LOWER), dumped=False)
        if clipless == lowered:
            raise
        return search(clipless)


def lower(graph: Graph, samples: Samples) -> Graph:
    """The graph by sums, products, moves and functions of one element; exact but for float64's rounding."""
    named = run_passes(graph, (FoldConstants(), RecogniseActivations()))
    return run_passes(named, (LowerNormalisations(_shifts(named, samples)), *LOWER))


def _shifts(graph: Graph, samples: Samples) -> dict[str, Shift]:
    """What to subtract for each softmax, by what it does to the sums seen on the samples."""
    seen: dict[str, list[Array]] = {}

    def observe(node: Node, args: tuple[Array, ...], _: Array) -> None:
        if isinstance(node.op, Softmax):
            rows = np.moveaxis(args[0], node.op.axis, -1).reshape(-1, args[0].shape[node.op.axis])
            seen.setdefault(node.out.name, []).append(rows)

    if any(isinstance(node.op, Softmax) for node in graph.nodes):
        for sample in samples:
            run(graph, sample, observe)
    shifts = {name: _shift(np.concatenate(rows)) for name, rows in seen.items()}
    return {name: shift for name, shift in shifts.items() if shift is not None}


def _shift(rows: Array) -> Shift | None:
    """One number when that leaves sums of like sizes; the means too when that takes much off their spread; or None."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    plain, by_mean = _spread(rows), _spread(centred)
    if min(plain, by_mean) > MOST_SPREAD:
        return None
    mean = by_mean < plain - WORTH_A_LEVEL
    return Shift(float((centred if mean else rows).max()), mean)


def _spread(rows: Array) -> float:
    """How far apart the logarithms of the rows' sums of powers are."""
    tops = rows.max(axis=1, keepdims=True)
    logs = np.log(np.exp(rows - tops).sum(axis=1)) + tops[:, 0]
    return float(logs.max() - logs.min())


def _check_supported(graph: Graph) -> None:
    """Refuse a graph with ops that have no polynomial form.

    Raises:
        CompileError: lists all of them.
    """
    wrong = [node for node in graph.nodes if facts_of(node.op) is None and not _on_ciphertexts(node)]
    if wrong:
        lines = [f"  %{node.out.name} = {node.op!r}" + (f" at {node.origin}" if node.origin else "") for node in wrong]
        raise CompileError(
            "full mode computes sums, products and approximable functions; it has no polynomial for\n"
            + "\n".join(lines)
            + "\nrewrite these layers, or compile with mode='split'"
        )


def _on_ciphertexts(node: Node) -> bool:
    if isinstance(node.op, Pad):
        return node.op.mode == "constant" and node.op.value == 0
    return isinstance(node.op, ON_CIPHERTEXTS)


def _places(
    graph: Graph, samples: Samples, margin: float, input_ranges: Mapping[str, tuple[float, float]]
) -> tuple[Place, ...]:
    """Every activation with the interval it needs and the sensitivity of the outputs to it."""
    each = [calibrate(graph, [sample]) for sample in samples] or [calibrate(graph, samples)]
    seen = {name: Seen.of([ranges[name] for ranges in each]) for name in each[0]}
    inputs = {value.name: seen[value.name].whole.widened(margin) for value in graph.inputs}
    inputs |= {name: Range(low, high) for name, (low, high) in input_ranges.items()}
    proven = proven_ranges(graph, inputs)
    nodes = [node for node in graph.nodes if facts_of(node.op) is not None]
    moved = sensitivities(graph, [node.out.name for node in nodes], samples)
    return tuple(_place(node, proven, seen, margin, moved) for node in nodes)


def _place(
    node: Node, proven: Mapping[str, Range], seen: Mapping[str, Seen], margin: float, moved: Mapping[str, Sensitivity]
) -> Place:
    facts, arg = facts_of(node.op), node.args[0].name
    if facts is None:
        raise CompileError(f"{node.op!r} is no function of one element")
    domain = domain_of(facts, proven[arg], seen[arg], margin)
    try:
        check_domain(node.op, domain.low, domain.high)
    except CompileError as error:
        where = f" at {node.origin}" if node.origin else ""
        raise CompileError(f"%{node.out.name}{where}: {error}") from None
    return Place(node.out.name, node.op, domain, moved[node.out.name])


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for the cheapest fits whose measured gap, doubled, is within the tolerance."""

    lowered: Graph
    places: tuple[Place, ...]
    samples: Samples
    references: Sequence[Mapping[str, Array]]
    tolerance: float

    def run(self) -> Approximated:
        """The cheapest that holds: looked for on a few samples, confirmed on all of them.

        Raises:
            CompileError: none does.
        """
        few, smallest = list(range(0, len(self.samples), max(1, len(self.samples) // FEW_SAMPLES))), np.inf
        while True:
            found, seen = self._cheapest(few)
            smallest = min(smallest, seen)
            if found is None:
                raise CompileError(self._unreachable(smallest))
            gap, worst = self._largest_gap(found.graph, range(len(self.samples)))
            if SAFETY * gap <= self.tolerance or worst in few:
                return replace(found, bound=SAFETY * gap)
            few.append(worst)

    def _cheapest(self, few: Sequence[int]) -> tuple[Approximated | None, float]:
        """The cheapest whose bound holds on a few samples, or None; and the smallest bound seen.

        Bisects the sum of shares, between one that holds and one that does not.
        """
        best: Approximated | None = None
        budget, holding, failing, smallest = self.tolerance, 0.0, MOST_BUDGET * self.tolerance, np.inf
        for _ in range(MOST_ATTEMPTS):
            fits = self._share_out(budget, 0.0)
            if fits is None and best is None:
                if failing <= 2 * budget:
                    break
                budget = failing
                continue
            if fits is not None and best is not None and _levels(fits) >= best.levels:
                holding = budget
            else:
                found = None if fits is None else self._approximated(fits, few)
                smallest = min(smallest, np.inf if found is None else found.bound)
                if found is not None and found.bound <= self.tolerance:
                    best, holding = found, budget
                else:
                    failing = budget
            if not self.places or failing < LEAST_STEP * holding:
                break
            budget = (holding * failing) ** 0.5 if holding else failing / 2
        return (None if best is None else self._fewer_products(best, holding, few)), smallest

    def _fewer_products(self, best: Approximated, budget: float, few: Sequence[int]) -> Approximated:
        """At the same levels, with as much of the budget spent on fewer products as holds."""
        for spent in (1.0, 0.5, 0.2) if self.places else ():
            fits = self._share_out(budget, spent)
            found = None if fits is None or _levels(fits) > best.levels else self._approximated(fits, few)
            if found is not None and found.bound <= self.tolerance:
                return found
        return best

    def _share_out(self, budget: float, spent: float) -> tuple[Fit, ...] | None:
        return share_out(self.places, budget, MOST_CERTIFIED * self.tolerance, spent) if self.places else ()

    def _approximated(self, fits: Sequence[Fit], few: Sequence[int]) -> Approximated:
        """The graph with the fits, and its bound on a few samples."""
        named = {place.name: fit for place, fit in zip(self.places, fits, strict=True)}
        graph = run_passes(self.lowered, (ApproximateActivations(named), *FINISH), dumped=False)
        gap, _ = self._largest_gap(graph, few)
        origins = {node.out.name: node.origin for node in self.lowered.nodes}
        activations = tuple(
            self._activation(place, fit, origins[place.name]) for place, fit in zip(self.places, fits, strict=True)
        )
        return Approximated(graph, activations, SAFETY * gap)

    def _largest_gap(self, graph: Graph, numbers: Iterable[int]) -> tuple[float, int]:
        """Over the samples of these numbers, or up to the first that is beyond the tolerance; and which it was."""
        largest = (0.0, -1)
        for number in numbers:
            largest = max(largest, (_gap(graph, self.samples[number], self.references[number]), number))
            if SAFETY * largest[0] > self.tolerance:
                break
        return largest

    def _activation(self, place: Place, fit: Fit, origin: str) -> Activation:
        share, sensitivity = place.share(fit) / self.tolerance, place.sensitivity.largest
        return Activation(place.name, fit, place.domain, sensitivity, share, fit.growth(), origin)

    def _unreachable(self, smallest: float) -> str:
        reached, name = smallest_tolerance(self.places)
        seen = f"{smallest:.3g} was measured, doubled, and " if np.isfinite(smallest) else ""
        domain = next((place.domain for place in self.places if place.name == name), None)
        where = f"most of it at %{name} on [{domain.low:.4g}, {domain.high:.4g}]" if domain else "without activations"
        return (
            f"a tolerance of {self.tolerance:.3g} cannot be met: {seen}the best polynomials leave about {reached:.3g},"
            f" {where}. Ask for a larger tolerance, or make the range smaller (normalise before, or train with a"
            " penalty on it: enclair.torch.polynomialise)"
        )


def _levels(fits: Sequence[Fit]) -> int:
    return sum(fit.levels for fit in fits)


def _gap(graph: Graph, sample: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """The largest difference to the reference; infinite when a polynomial overflows."""
    with np.errstate(all="ignore"):
        result = run(graph, sample)
    gaps = [
        float(np.abs(result[v.name] - np.asarray(wanted[v.name], np.float64)).max(initial=0)) for v in graph.outputs
    ]
    return max((gap if np.isfinite(gap) else np.inf for gap in gaps), default=0.0)
