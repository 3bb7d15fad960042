"""Choose scale, first prime and digits for a ring: the cheapest with which a graph keeps its tolerance and modulus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf, log2

from enclair.compiler.ckks_parameters import MAX_PRIME_BITS, MIN_SCALE_BITS, CkksParameters
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.parameters import SECURE
from enclair.compiler.planner.ckks_candidates import Candidate
from enclair.compiler.planner.ckks_costs import GraphCost, UnitCosts, graph_cost
from enclair.compiler.planner.ckks_noise import Prediction
from enclair.compiler.planner.ckks_prime_bits import Needs, PrimeBits, larger_bits, needs_of, too_fine

WIDE_SCALE = 40
FREE = 1.05
"""A wider scale may cost so much more."""
NEARLY = 1.03
"""Fewer digits may cost so much more: clients send smaller keys then."""
MOST_NOISE = 2.0**-6
"""Absolute: OpenFHE refuses to decrypt what is noisier than 2^-5, whatever the size of the values."""
DIVIDED_BITS = 38
"""Scales that are divided between weights and vectors are at least so large."""


@dataclass(frozen=True, slots=True)
class Demands:
    """How well a program is to compute.

    Args:
        tolerance: for the part of the error that noise makes, on the client's outputs.
        margin: by what share values may be larger than on the samples.
        reach: the same, where the first prime has the bits for it; at least the margin.
    """

    tolerance: float
    margin: float
    reach: float | None = None


@dataclass(frozen=True, slots=True)
class CkksChoice:
    """Parameters, the LEVELED graph, what it costs, what is expected of its values, and a bound of its error."""

    parameters: CkksParameters
    graph: Graph
    cost: GraphCost
    prediction: Prediction
    error_bound: float


def choose_for(candidate: Candidate, demands: Demands, costs: UnitCosts, security: str = SECURE) -> CkksChoice:
    """The cheapest parameters for one candidate: the smallest scale that keeps the tolerance, then the best digits;
    with weights apart from vectors where that is cheaper still.

    Raises:
        CompileError: there are none.
    """
    tolerance = min(demands.tolerance, MOST_NOISE)
    needs = needs_of(candidate, tolerance, demands.margin, demands.reach)
    return _Chooser(candidate, costs, security, tolerance, needs).choose()


def least_cost(candidate: Candidate, costs: UnitCosts) -> float:
    """Milliseconds that no secure parameters for a candidate are below: those of the smallest scales, whatever the
    noise. Infinite where there are none.
    """
    pricing = _Pricing(candidate, costs, SECURE)
    starts = ((MIN_SCALE_BITS, False), (DIVIDED_BITS, True))
    smallest = ((next(pricing.larger(bits, (0,)), None), divide) for bits, divide in starts)
    found = [pricing.priced(bits, divide=divide) for bits, divide in smallest if bits is not None]
    return min((each.cost.total / NEARLY for each in found if each is not None), default=inf)


def cost_at(choice: CkksChoice, ring_dim: int, costs: UnitCosts) -> float:
    """Milliseconds of a choice's graph if it were on another ring, with about the same primes and the best digits;
    infinite where that has none.
    """
    own = choice.parameters
    bits = next(larger_bits(ring_dim, own.levels, own.scale_bits, (own.first_bits - own.scale_bits,)), None)
    fitting = bits.fitting(ring_dim, own.levels, own.security) if bits is not None else []
    return min((graph_cost(choice.graph, each, costs).total for each in fitting), default=inf)


@dataclass(frozen=True, slots=True)
class _Priced:
    """Parameters, the graph that is leveled for them, and what it costs."""

    parameters: CkksParameters
    graph: Graph
    cost: GraphCost

    @property
    def is_divided(self) -> bool:
        """Whether any weights are apart from their vectors."""
        ops = (node.op for node in self.graph.nodes)
        return any(isinstance(op, LinearTransform) and op.weight_scale is not None for op in ops)


@dataclass(frozen=True, slots=True)
class _Pricing:
    """What a candidate costs at a security.

    Args:
        candidate: the graph and samples.
        costs: of the server's work.
        security: of the parameters.
    """

    candidate: Candidate
    costs: UnitCosts
    security: str

    def larger(self, scale_bits: int, rooms: tuple[int, ...]) -> Iterator[PrimeBits]:
        """These and larger scales, see ``larger_bits``."""
        return larger_bits(self.candidate.ring_dim, self.candidate.levels, scale_bits, rooms)

    def priced(self, bits: PrimeBits, *, divide: bool = False) -> _Priced | None:
        """The fewest digits, and so the smallest keys, with which the graph costs nearly least; None where no number of
        digits is secure.
        """
        fitting = bits.fitting(self.candidate.ring_dim, self.candidate.levels, self.security)
        if not fitting:
            return None
        leveled = self.candidate.leveled(fitting[0], divide=divide, dumped=True)
        found = [_Priced(each, leveled, graph_cost(leveled, each, self.costs)) for each in fitting]
        least = min(each.cost.total for each in found)
        return next(each for each in found if each.cost.total <= NEARLY * least)


@dataclass(frozen=True, slots=True)
class _Chooser(_Pricing):
    """Looks for the cheapest parameters that are precise enough.

    Args:
        tolerance: for the noise.
        needs: bits that the candidate asks for.
    """

    tolerance: float
    needs: Needs

    def choose(self) -> CkksChoice:
        """See ``choose_for``. Noise is predicted for what is cheapest first: that takes the longest."""
        tried = self.larger(self.needs.scale_bits, self.needs.rooms)
        first = self._together(next(tried, None))
        if (divided := self._divided(first.cost.total)) is not None:
            return divided
        while (choice := self._predicted(first)).error_bound > self.tolerance:
            first = self._together(next(tried, None))
        return self._wider(choice) or choice

    def _together(self, bits: PrimeBits | None) -> _Priced:
        """With weights and vectors together.

        Raises:
            CompileError: there are no such bits, or no secure parameters with them.
        """
        if bits is None:
            raise too_fine(self.candidate, self.tolerance)
        if (priced := self.priced(bits)) is None:
            raise CompileError(
                f"ring dimension {self.candidate.ring_dim} is too small for {self.candidate.levels} levels with scales"
                f" of {bits.scale} bits and a last prime of {bits.firsts[-1]}: ask for a larger tolerance, or use"
                " polynomials of lower degree"
            )
        return priced

    def _divided(self, most: float) -> CkksChoice | None:
        """With the scale of plaintexts divided between weights and vectors, at the smallest scale that is found to keep
        the tolerance. None where that does not take less than ``most`` milliseconds.
        """
        scales = list(self.larger(max(self.needs.scale_bits, DIVIDED_BITS), self.needs.rooms[:2]))
        while scales:
            priced = self.priced(scales[0], divide=True)
            if priced is None or not priced.is_divided or priced.cost.total >= most:
                return None
            choice = self._predicted(priced)
            if choice.error_bound <= self.tolerance:
                return choice
            scales = _quieter(scales, choice.error_bound / self.tolerance)
        return None

    def _wider(self, choice: CkksChoice) -> CkksChoice | None:
        """The same with wider scales, where that costs next to nothing: more precision."""
        parameters = choice.parameters
        more = WIDE_SCALE - parameters.scale_bits
        if more <= 0 or parameters.first_bits + more > MAX_PRIME_BITS:
            return None
        priced = self.priced(PrimeBits(WIDE_SCALE, (parameters.first_bits + more,)))
        is_free = priced is not None and priced.cost.total <= FREE * choice.cost.total
        return self._predicted(priced) if priced is not None and is_free else None

    def _predicted(self, priced: _Priced) -> CkksChoice:
        """With the noise."""
        predicted = self.candidate.predicted(priced.graph, priced.parameters)
        return CkksChoice(priced.parameters, priced.graph, priced.cost, *predicted)


def _quieter(scales: list[PrimeBits], excess: float) -> list[PrimeBits]:
    """The scales to try next where the first is so many times too noisy: noise goes down by half with two bits where
    they are divided, with one at best. The largest of them is tried before all are given up.
    """
    likely, least = (scales[0].scale + ceil(bits * log2(excess)) for bits in (2, 1))
    found = [bits for bits in scales[1:] if bits.scale >= likely]
    return found or [bits for bits in scales[1:][-1:] if bits.scale >= least]
