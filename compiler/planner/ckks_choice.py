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
from enclair.compiler.planner.ckks_costs import GraphCost, UnitCosts, count_transforms, graph_cost
from enclair.compiler.planner.ckks_noise import Prediction
from enclair.compiler.planner.ckks_prime_bits import Needs, PrimeBits, larger_bits, needs_of, too_fine

WIDE_SCALE = 40
FREE = 1.05
"""A wider scale may cost so much more."""
NEARLY = 1.03
"""Fewer digits may cost so much more: clients send smaller keys then."""
ROOMY = 1.25
"""Room for all that outputs can be proven to reach may cost so much more than room for four times what was seen."""
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


def choose_for(
    candidate: Candidate, demands: Demands, costs: UnitCosts, most: float = inf, security: str = SECURE
) -> CkksChoice:
    """The cheapest parameters for one candidate: the smallest scale that keeps the tolerance, then the best digits;
    with weights apart from vectors where that is cheaper still.

    Args:
        candidate: the graph and samples.
        demands: on its precision.
        costs: of the server's work.
        most: milliseconds that it may take: what takes more is not looked into.
        security: of the parameters.

    Raises:
        CompileError: there are none.
    """
    pricing = _Pricing(candidate, costs, security)
    if most < inf and (least := pricing.least()) > most:
        raise _too_slow(candidate, least, most)
    tolerance = min(demands.tolerance, MOST_NOISE)
    needs = needs_of(candidate, tolerance, demands.margin, demands.reach)
    return _Chooser(candidate, costs, security, tolerance, needs, most).choose()


def cost_at(choice: CkksChoice, ring_dim: int, costs: UnitCosts) -> float:
    """Milliseconds of a choice's graph if it were on another ring, with about the same primes and the best digits;
    infinite where that has none.
    """
    own = choice.parameters
    bits = next(larger_bits(ring_dim, own.levels, own.scale_bits, (own.first_bits - own.scale_bits,)), None)
    fitting = bits.fitting(ring_dim, own.levels, own.security) if bits is not None else []
    counts = count_transforms(choice.graph)
    totals = (graph_cost(choice.graph, each, costs, counts).total for choices in fitting for each in choices)
    return min(totals, default=inf)


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

    def larger(self, scale_bits: int, rooms: tuple[int, ...], least_room: int | None = None) -> Iterator[PrimeBits]:
        """These and larger scales, see ``larger_bits``."""
        return larger_bits(self.candidate.ring_dim, self.candidate.levels, scale_bits, rooms, least_room)

    def least(self) -> float:
        """Milliseconds that no parameters are below: those of the smallest scales, whatever the noise. Infinite where
        none are secure.
        """
        starts = ((MIN_SCALE_BITS, False), (DIVIDED_BITS, True))
        smallest = ((next(self.larger(bits, (0,)), None), divide) for bits, divide in starts)
        found = [self.priced(bits, divide=divide) for bits, divide in smallest if bits is not None]
        return min((each.cost.total / NEARLY for each in found if each is not None), default=inf)

    def priced(self, bits: PrimeBits, *, divide: bool = False) -> _Priced | None:
        """The best digits, with the largest first prime that does not cost much more than others; None where none are
        secure.
        """
        fitting = bits.fitting(self.candidate.ring_dim, self.candidate.levels, self.security)
        if not fitting:
            return None
        shape = self.candidate.leveled(fitting[0][0], divide=divide, dumped=True)
        counts = count_transforms(shape)
        totals = [[graph_cost(shape, each, self.costs, counts).total for each in choices] for choices in fitting]
        room, digits = _best_of(totals)
        leveled = self.candidate.leveled(fitting[room][0], divide=divide, dumped=True) if room else shape
        return _Priced(fitting[room][digits], leveled, graph_cost(leveled, fitting[room][digits], self.costs))


def _best_of(totals: list[list[float]]) -> tuple[int, int]:
    """The numbers of a room and of digits, by what they cost (rooms, digits); the most room and the fewest digits come
    first: these make the smallest keys.
    """
    least = [min(costs) for costs in totals]
    room = next(number for number, cost in enumerate(least) if cost <= ROOMY * min(least))
    return room, next(number for number, cost in enumerate(totals[room]) if cost <= NEARLY * least[room])


@dataclass(frozen=True, slots=True)
class _Chooser(_Pricing):
    """Looks for the cheapest parameters that are precise enough.

    Args:
        tolerance: for the noise.
        needs: bits that the candidate asks for.
        most: milliseconds that it may take.
    """

    tolerance: float
    needs: Needs
    most: float

    def choose(self) -> CkksChoice:
        """See ``choose_for``. Noise is predicted for what is cheapest first: that takes the longest."""
        tried = self.larger(self.needs.scale_bits, self.needs.rooms, self.needs.least_room)
        together = self._together(next(tried, None))
        if (divided := self._divided(min(together.cost.total, self.most))) is not None:
            return divided
        if together.cost.total > self.most:
            raise _too_slow(self.candidate, together.cost.total, self.most)
        while (choice := self._predicted(together)).error_bound > self.tolerance:
            together = self._together(next(tried, None))
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
                f" of {bits.scale} bits and a last prime of {bits.least}: ask for a larger tolerance, or use"
                " polynomials of lower degree"
            )
        return priced

    def _divided(self, most: float) -> CkksChoice | None:
        """With the scale of plaintexts divided between weights and vectors, at the smallest scale that is found to keep
        the tolerance. None where that does not take less than ``most`` milliseconds.
        """
        scales = list(self.larger(max(self.needs.scale_bits, DIVIDED_BITS), self.needs.rooms))
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
        predicted = self.candidate.predicted(priced.graph, priced.parameters, limit=self.tolerance)
        return CkksChoice(priced.parameters, priced.graph, priced.cost, *predicted)


def _quieter(scales: list[PrimeBits], excess: float) -> list[PrimeBits]:
    """The scales to try next where the first is so many times too noisy: noise goes down by half with two bits where
    they are divided, with one at best. The largest of them is tried before all are given up.
    """
    likely, least = (scales[0].scale + ceil(bits * log2(excess)) for bits in (2, 1))
    found = [bits for bits in scales[1:] if bits.scale >= likely]
    return found or [bits for bits in scales[1:][-1:] if bits.scale >= least]


def _too_slow(candidate: Candidate, least: float, most: float) -> CompileError:
    return CompileError(
        f"at ring dimension {candidate.ring_dim} the server takes {least / 1e3:.3g} s or more, not {most / 1e3:.3g} s"
    )
