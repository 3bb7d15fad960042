"""Choose the ring of a program of full mode: the cheapest on which it packs, is precise enough, and fits in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from enclair.compiler.approx.ranges import Samples
from enclair.compiler.ckks_parameters import fitting_parameters
from enclair.compiler.errors import CompileError, PackingError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.slot_layouts import Rotated
from enclair.compiler.options import FullOptions
from enclair.compiler.packing.slotted.pack import Packed, PackingOptions, pack, with_rotation_keys
from enclair.compiler.packing.slotted.rotation_costs import REFERENCE_LIMBS, REFERENCE_RING, RotationCosts
from enclair.compiler.packing.slotted.rotation_keys import least_rotation_keys
from enclair.compiler.parameters import MAX_MODULUS_BITS
from enclair.compiler.planner.ckks_candidates import Candidate
from enclair.compiler.planner.ckks_choice import NEARLY, CkksChoice, Demands, choose_for, cost_at
from enclair.compiler.planner.ckks_costs import UnitCosts, step_costs
from enclair.compiler.planner.ckks_memory import Memory, check_memory, graph_memory
from enclair.compiler.planner.least_levels import least_levels

SMALL_SCALES = (20, 24, 28, 32)
PREDICTED_ON = 2
"""Calibration samples on which noise is predicted and the modulus is made to hold."""
KEY_COUNTS = 6
"""Numbers of rotation keys that are tried where memory is short."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program is to compute, and how well.

    Args:
        graph: of tensors, whose only nonlinear ops are polynomials and products.
        samples: of its inputs, those of the largest outputs first.
        tolerance: for the noise on its outputs.
        reach: by what share outputs may be larger than on the samples.
        options: the user's.
    """

    graph: Graph
    samples: Samples
    tolerance: float
    reach: float
    options: FullOptions

    @property
    def costs(self) -> UnitCosts:
        """Of the server's work."""
        return self.options.costs or UnitCosts()


@dataclass(frozen=True, slots=True)
class RingChoice:
    """A program for one ring, and what a server holds for it."""

    packed: Packed
    choice: CkksChoice
    memory: Memory

    @property
    def milliseconds(self) -> float:
        """Estimated, of one thread of the server."""
        return self.choice.cost.total

    @property
    def has_room(self) -> bool:
        """Whether no value fills more than one ciphertext: a larger ring then has the same ones."""
        return all(_fits_one(layout) for layout in self.packed.layouts.values())


def choose_ckks_ring(wanted: Wanted) -> RingChoice:
    """The best program: that of the smallest ring that has one, or of the next ones while they may be better and are.

    Raises:
        CompileError: there is none; says why not.
    """
    search = _Search(wanted, max(least_levels(wanted.graph), 1))
    best: RingChoice | None = None
    for ring_dim in sorted(MAX_MODULUS_BITS):
        if best is not None and not may_gain(best, ring_dim, wanted.costs):
            break
        found = search.at(ring_dim, best)
        if best is not None and (found is None or better(best, found) is best):
            break
        best = found
    if best is None:
        raise search.refusal()
    return best


def may_gain(found: RingChoice, ring_dim: int, costs: UnitCosts) -> bool:
    """Whether the next ring may have a better program. Where values fill several ciphertexts it may take fewer, which
    packing alone shows; otherwise the graph is about the same there, with fewer digits where primes leave P more bits.
    """
    return not found.has_room or cost_at(found.choice, ring_dim, costs) <= NEARLY * found.milliseconds


def better(one: RingChoice, other: RingChoice) -> RingChoice:
    """The cheaper one, or the one of smaller keys where both cost nearly the same; the first if equal."""
    least = min(one.milliseconds, other.milliseconds)
    return min((c for c in (one, other) if c.milliseconds <= NEARLY * least), key=lambda c: c.memory.keys)


@dataclass(slots=True)
class _Search:
    """Tries the rings one after another.

    Args:
        wanted: what the program is to do.
        levels: that it takes at least, as far as is known.
        refusals: of the rings so far.
    """

    wanted: Wanted
    levels: int
    refusals: list[str] = field(default_factory=list)

    def at(self, ring_dim: int, best: RingChoice | None) -> RingChoice | None:
        """The program for a ring; None where there is none, or none that could be better than the best so far."""
        try:
            return self._try(_Trial(self.wanted, ring_dim), best) if _can_hold(ring_dim, self.levels) else None
        except PackingError as error:
            self.refusals.append(f"%{error.node} {error.reason}")
        except CompileError as error:
            self.refusals.append(str(error))
        return None

    def _try(self, trial: _Trial, best: RingChoice | None) -> RingChoice | None:
        """The same; notes the levels that it turns out to take, which the ring may not have."""
        packed = trial.pack()
        candidate = trial.candidate(packed)
        self.levels = max(self.levels, candidate.levels)
        most = inf if best is None else NEARLY * best.milliseconds
        return trial.within_memory(packed, candidate, most) if _can_hold(trial.ring_dim, self.levels) else None

    def refusal(self) -> CompileError:
        """Why no ring has a program."""
        if self.refusals:
            return CompileError("; ".join(dict.fromkeys(self.refusals)))
        return CompileError(
            f"the model takes {self.levels} levels, more than any ring dimension up to {max(MAX_MODULUS_BITS)} holds:"
            " ask for a larger tolerance, replace activations by trained polynomials (enclair.torch.polynomialise), or"
            " compile with mode='split'"
        )


@dataclass(frozen=True, slots=True)
class _Trial:
    """Making a program for one ring."""

    wanted: Wanted
    ring_dim: int

    def pack(self) -> Packed:
        """The packed graph."""
        packing = PackingOptions(max_rotation_keys=self.wanted.options.max_rotation_keys)
        return pack(self.wanted.graph, self.ring_dim // 2, rotation_costs(self.wanted.costs), packing)

    def candidate(self, packed: Packed) -> Candidate:
        """For the choice of parameters."""
        given = [run(packed.prologue, sample) for sample in self.wanted.samples[:PREDICTED_ON]]
        return Candidate(packed.server, given, packed.client)

    def within_memory(self, packed: Packed, candidate: Candidate, slowest: float) -> RingChoice:
        """The program, with as few rotation keys as ``max_ram`` asks for; ``slowest`` is in milliseconds.

        Raises:
            CompileError: it does not fit even so; or no parameters do.
        """
        found, most = self._choose(packed, candidate, slowest), self.wanted.options.max_ram
        if most is None or found.memory.total <= most:
            return found
        return self._with_fewer_keys(found, most)

    def _with_fewer_keys(self, found: RingChoice, most: int) -> RingChoice:
        """With the most keys that fit. Composed rotations are values, alive beside others: fewer keys may take more
        memory, so that one number of keys says little about the next.

        Raises:
            CompileError: none fit, or no parameters do.
        """
        least = found.memory
        for keys in key_counts(least.affordable_keys(most) - 1, least_rotation_keys(self.ring_dim // 2)):
            packed = with_rotation_keys(found.packed, rotation_costs(self.wanted.costs), keys)
            candidate = self.candidate(packed)
            memory = graph_memory(candidate.leveled(found.choice.parameters), found.choice.parameters)
            least = min(least, memory, key=lambda memory: memory.total)
            if memory.total <= most and (fewer := self._choose(packed, candidate)).memory.total <= most:
                return fewer
        check_memory(least, self.ring_dim, most)
        return found

    def _choose(self, packed: Packed, candidate: Candidate, slowest: float = inf) -> RingChoice:
        """Parameters and levels."""
        wanted = self.wanted
        demands = Demands(wanted.tolerance, wanted.options.margin, wanted.reach)
        choice = choose_for(candidate, demands, wanted.costs, slowest)
        return RingChoice(packed, choice, graph_memory(choice.graph, choice.parameters))


def key_counts(most: int, least: int) -> Sequence[int]:
    """Numbers of rotation keys to try, from most to least; few."""
    count = min(KEY_COUNTS, most - least + 1)
    return [round(most - (most - least) * number / max(count - 1, 1)) for number in range(count)]


def _fits_one(layout: Layout) -> bool:
    """Whether a value fits one ciphertext, whatever copies of it the client rotates."""
    return (layout.base if isinstance(layout, Rotated) else layout).count == 1


def rotation_costs(costs: UnitCosts) -> RotationCosts:
    """What packing takes steps to cost, by what units of work cost."""
    return RotationCosts(**step_costs(costs, REFERENCE_RING, REFERENCE_LIMBS))


def _can_hold(ring_dim: int, levels: int) -> bool:
    """Whether a ring has room for so many levels at a small scale; larger rings have no small primes."""
    return any(True for bits in SMALL_SCALES for _ in fitting_parameters(ring_dim, levels, bits, bits + 1))
