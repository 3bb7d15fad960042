"""Choose ring, scale, first prime and digits: the cheapest with which a graph keeps its tolerance and its modulus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil, inf, log2

import numpy as np

from enclair.compiler.ckks_parameters import (
    MAX_PRIME_BITS,
    MIN_SCALE_BITS,
    CkksParameters,
    fitting_parameters,
)
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE, SECURE, ParameterError
from enclair.compiler.passes.divide_scales import DivideScales
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.fold_polynomial_ranges import FoldPolynomialRanges
from enclair.compiler.passes.pipeline import Pass, run_passes
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.passes.sink_rescales import SinkRescales
from enclair.compiler.planner.ckks_costs import GraphCost, UnitCosts, graph_cost
from enclair.compiler.planner.ckks_noise import Prediction, Reals, noise_model, predict
from enclair.compiler.planner.levels import LevelPlan

TO_PRODUCTS = (FoldPolynomialRanges(), ExpandPolynomials())
REFERENCE_BITS = 40
"""Noise is estimated at this scale, and goes down by half with each bit."""
SAMPLES = 4
PREDICTED_INPUTS = 2
"""Errors depend on the values: so many calibration samples are looked at."""
WIDE_SCALE = 40
FREE = 1.05
"""A wider scale may cost so much more."""
NEARLY = 1.03
"""Fewer digits may cost so much more: clients send smaller keys then."""
MOST_NOISE = 2.0**-6
"""Absolute: OpenFHE refuses to decrypt what is noisier than 2^-5, whatever the size of the values."""
DIVIDED_BITS, DIVIDED_STEP = 38, 3
"""Scales that are divided between weights and vectors are at least so large, and that is what one more tried is larger
by: the noise goes down by half with two bits."""
LEAST_REACH = 3.0
"""By what share outputs may be larger than on the samples, at least, where less room allows dividing scales."""
ROOM_BITS = 0.5
"""Values may be so many bits larger than the margin says before they could outgrow their modulus. They would have to be
large in many slots: a coefficient is as large as the largest slot only where slots line up.
"""


Bits = tuple[int, tuple[int, ...]]
"""scale_bits, and the first_bits to try with them: those that leave most room come first."""


def leveling(parameters: CkksParameters, *, divide: bool = False) -> tuple[Pass, ...]:
    """The passes from PACKED to LEVELED; with weights apart from vectors where that pays."""
    passes = (PlaceLevels(parameters), SinkRescales())
    return (*passes, DivideScales()) if divide else passes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A graph packed for one number of slots.

    Args:
        graph: at stage PACKED; its ciphertexts have N / 2 slots.
        inputs: (count, slots) for every input of it, from each calibration sample.
        client: what the client does with the answers; None looks at every slot of them.
    """

    graph: Graph
    inputs: Sequence[Mapping[str, Reals]]
    client: Graph | None = None

    @property
    def ring_dim(self) -> int:
        """N."""
        (slots,) = {value.type.slots for value in self.graph.inputs if isinstance(value.type, CkksType)}
        return 2 * slots


@dataclass(frozen=True, slots=True)
class CkksChoice:
    """Parameters, the LEVELED graph, what it costs, what is expected of its values, and a bound of its error."""

    parameters: CkksParameters
    graph: Graph
    cost: GraphCost
    prediction: Prediction
    error_bound: float


def choose_for(
    candidate: Candidate,
    tolerance: float,
    costs: UnitCosts,
    margin: float,
    reach: float | None = None,
    security: str = SECURE,
) -> CkksChoice:
    """The cheapest parameters for one candidate: the smallest scale that keeps the tolerance, then the best digits;
    with weights apart from vectors where that is cheaper still.

    Args:
        candidate: the graph and samples.
        tolerance: for the part of the error that noise makes, on the client's outputs.
        costs: of the server's work.
        margin: by what share values may be larger than on the samples.
        reach: the same, where the first prime has the bits for it; at least the margin.
        security: of the parameters.

    Raises:
        CompileError: there are none.
    """
    packed = run_passes(candidate.graph, TO_PRODUCTS)
    levels = max(LevelPlan(packed).depth, 1)
    tolerance = min(tolerance, MOST_NOISE)
    reach = max(reach or 0.0, margin)
    reaches = (reach, max(min(reach, LEAST_REACH), margin), margin)
    scale_bits, rooms = _bits(candidate, packed, levels, tolerance, reaches)
    for bits in _larger(candidate.ring_dim, levels, scale_bits, rooms):
        parameters = _cheapest(candidate, packed, levels, bits, costs, security)
        leveled = run_passes(packed, leveling(parameters))
        prediction, error_bound = _predicted(candidate, leveled, parameters)
        if error_bound <= tolerance:
            cost = graph_cost(leveled, parameters, costs)
            choice = CkksChoice(parameters, leveled, cost, prediction, error_bound)
            choice = _wider(candidate, packed, choice, costs, security) or choice
            return _divided(candidate, packed, choice, tolerance, rooms, costs, security) or choice
    raise _too_fine(candidate, tolerance)


def _wider(
    candidate: Candidate, packed: Graph, choice: CkksChoice, costs: UnitCosts, security: str
) -> CkksChoice | None:
    """The same with wider scales, where that costs next to nothing: more precision."""
    parameters = choice.parameters
    more = WIDE_SCALE - parameters.scale_bits
    if more <= 0 or parameters.first_bits + more > MAX_PRIME_BITS:
        return None
    bits = (WIDE_SCALE, (parameters.first_bits + more,))
    fitting = _fitting(candidate.ring_dim, parameters.levels, bits, security)
    for wider in sorted(fitting, key=lambda found: graph_cost(choice.graph, found, costs).total)[:1]:
        leveled = run_passes(packed, leveling(wider))
        cost = graph_cost(leveled, wider, costs)
        if cost.total <= FREE * choice.cost.total:
            return CkksChoice(wider, leveled, cost, *_predicted(candidate, leveled, wider))
    return None


def _divided(
    candidate: Candidate,
    packed: Graph,
    choice: CkksChoice,
    tolerance: float,
    rooms: Sequence[int],
    costs: UnitCosts,
    security: str,
) -> CkksChoice | None:
    """The same with the scale of plaintexts divided between weights and vectors, where that pays: at the smallest scale
    that keeps the tolerance. None where it is not cheaper.
    """
    own = choice.parameters
    scales = _larger(candidate.ring_dim, own.levels, max(own.scale_bits, DIVIDED_BITS), rooms[:2])
    for bits in islice(scales, 0, None, DIVIDED_STEP):
        parameters = _cheapest_divided(candidate, packed, own.levels, bits, costs, security)
        if parameters is None:
            return None
        leveled = run_passes(packed, leveling(parameters, divide=True), dumped=False)
        cost = graph_cost(leveled, parameters, costs)
        if cost.total >= choice.cost.total or not _has_divided(leveled):
            return None
        prediction, error_bound = _predicted(candidate, leveled, parameters)
        if error_bound <= tolerance:
            return CkksChoice(parameters, leveled, cost, prediction, error_bound)
    return None


def _has_divided(graph: Graph) -> bool:
    return any(isinstance(node.op, LinearTransform) and node.op.weight_scale is not None for node in graph.nodes)


def _cheapest_divided(
    candidate: Candidate, packed: Graph, levels: int, bits: Bits, costs: UnitCosts, security: str
) -> CkksParameters | None:
    """As ``_cheapest``, of the divided graph; None where no parameters are secure."""
    try:
        return _cheapest(candidate, packed, levels, bits, costs, security, divide=True)
    except CompileError:
        return None


def _larger(ring_dim: int, levels: int, scale_bits: int, rooms: Sequence[int]) -> Iterator[Bits]:
    """These and larger scales for which there are primes, each with the first primes that leave room, largest first."""
    for scale in range(scale_bits, MAX_PRIME_BITS):
        firsts = tuple(scale + room for room in rooms if scale + room <= MAX_PRIME_BITS)
        if firsts and _has_primes(ring_dim, levels, scale, firsts[0]):
            yield scale, firsts


def _has_primes(ring_dim: int, levels: int, scale_bits: int, first_bits: int) -> bool:
    try:
        CkksParameters(ring_dim, levels, scale_bits, first_bits, levels + 1, INSECURE)
    except ParameterError:
        return False
    return True


def _bits(
    candidate: Candidate, packed: Graph, levels: int, tolerance: float, reaches: Sequence[float]
) -> tuple[int, tuple[int, ...]]:
    """scale_bits by the noise at a reference scale; by how many bits the first prime should exceed them for the largest
    values, one for each of the shares that these may be larger.

    Args:
        candidate: the graph and samples.
        packed: the graph of products.
        levels: of it.
        tolerance: for the noise.
        reaches: by what shares values may be larger than on the samples, the largest first; the last is needed.

    Raises:
        CompileError: more than primes can have.
    """
    reference = CkksParameters(candidate.ring_dim, levels, REFERENCE_BITS, MAX_PRIME_BITS, 1, INSECURE)
    leveled = run_passes(packed, leveling(reference), dumped=False)
    _, error_bound = _predicted(candidate, leveled, reference, 1)
    scale_bits = max(MIN_SCALE_BITS, REFERENCE_BITS + ceil(log2(max(error_bound, 1e-300) / tolerance)))
    if scale_bits >= MAX_PRIME_BITS:
        raise _too_fine(candidate, tolerance)
    own = max(_room_bits(candidate, leveled, reference), -MAX_PRIME_BITS)
    rooms = tuple(max(ceil(own + log2(1 + reach) + ROOM_BITS), 0) for reach in reaches)
    if scale_bits + rooms[-1] > MAX_PRIME_BITS:
        raise CompileError(
            f"at ring dimension {candidate.ring_dim} the last prime would need {scale_bits + rooms[-1]} bits,"
            f" {scale_bits} for the tolerance of {tolerance:.3g} and {rooms[-1]} for values up to 2^{rooms[-1] - 1}; it"
            f" can have {MAX_PRIME_BITS}: ask for a larger tolerance, or scale the outputs down"
        )
    return scale_bits, rooms


def _room_bits(candidate: Candidate, leveled: Graph, reference: CkksParameters) -> float:
    """log2 of twice the largest value at level 0; values of higher levels count as so much less as they have room."""
    largest: dict[str, float] = {}
    for inputs in candidate.inputs:
        run(leveled, inputs, lambda node, _, result: _note(largest, node.out.name, result))
        for value in leveled.inputs:
            _note(largest, value.name, inputs[value.name])
    types = {value.name: value.type for value in leveled.values()}
    return max((_needed_bits(types[name], size, reference) for name, size in largest.items()), default=-inf)


def _note(largest: dict[str, float], name: str, result: Reals) -> None:
    largest[name] = max(largest.get(name, 0.0), float(np.abs(result).max(initial=0.0)))


def _needed_bits(type_: object, size: float, reference: CkksParameters) -> float:
    """By how many bits the first prime must exceed a scale so that a value fits."""
    if not isinstance(type_, CkksType) or type_.scale is None or type_.level is None or size == 0:
        return -inf
    return log2(2 * size * type_.scale) - (type_.level + 1) * reference.scale_bits


def _cheapest(
    candidate: Candidate,
    packed: Graph,
    levels: int,
    bits: Bits,
    costs: UnitCosts,
    security: str,
    *,
    divide: bool = False,
) -> CkksParameters:
    """The fewest digits, and so the smallest keys, with which the graph costs nearly least.

    Raises:
        CompileError: with no number of digits the parameters are secure.
    """
    fitting = _fitting(candidate.ring_dim, levels, bits, security)
    if not fitting:
        raise CompileError(
            f"ring dimension {candidate.ring_dim} is too small for {levels} levels with scales of {bits[0]} bits and a"
            f" last prime of {bits[1][-1]}: ask for a larger tolerance, or use polynomials of lower degree"
        )
    shape = run_passes(packed, leveling(fitting[0], divide=divide), dumped=False)
    totals = [graph_cost(shape, parameters, costs).total for parameters in fitting]
    return next(each for each, total in zip(fitting, totals, strict=True) if total <= NEARLY * min(totals))


def _fitting(ring_dim: int, levels: int, bits: Bits, security: str) -> list[CkksParameters]:
    """With the largest first prime for which there are any."""
    scale_bits, firsts = bits
    for first_bits in firsts:
        found = list(fitting_parameters(ring_dim, levels, scale_bits, first_bits, security))
        if found:
            return found
    return []


def _predicted(
    candidate: Candidate, leveled: Graph, parameters: CkksParameters, inputs: int = PREDICTED_INPUTS
) -> tuple[Prediction, float]:
    """On the first sample, and the largest bound of the error on the client's outputs for the first few."""
    model, client = noise_model(parameters), candidate.client
    predictions = [predict(leveled, sample, model, SAMPLES) for sample in candidate.inputs[:inputs]]
    bounds = [found.bound if client is None else found.bound_after(client) for found in predictions]
    return predictions[0], max(bounds)


def _too_fine(candidate: Candidate, tolerance: float) -> CompileError:
    return CompileError(
        f"a tolerance of {tolerance:.3g} cannot be met at ring dimension {candidate.ring_dim}: even scales of"
        f" {MAX_PRIME_BITS - 1} bits leave more noise; ask for a larger tolerance"
    )
