"""Choose the ring of a program of full mode: the cheapest on which it packs, is precise enough, and fits in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

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
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.planner.ckks_choice import TO_PRODUCTS, Candidate, CkksChoice, choose_for
from enclair.compiler.planner.ckks_costs import UnitCosts, step_costs
from enclair.compiler.planner.ckks_memory import check_memory, graph_memory
from enclair.compiler.planner.least_levels import least_levels
from enclair.compiler.planner.levels import LevelPlan

SMALL_SCALES = (20, 24, 28, 32)
PREDICTED_ON = 2
"""Calibration samples on which noise is predicted and the modulus is made to hold."""


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


@dataclass(frozen=True, slots=True)
class RingChoice:
    """A program for one ring."""

    packed: Packed
    choice: CkksChoice

    @property
    def milliseconds(self) -> float:
        """Estimated, of one thread of the server."""
        return self.choice.cost.total

    @property
    def has_room(self) -> bool:
        """Whether no value fills more than one ciphertext: a larger ring then saves nothing."""
        return all(_fits_one(layout) for layout in self.packed.layouts.values())


def choose_ckks_ring(wanted: Wanted) -> RingChoice:
    """The cheapest program: that of the smallest ring that has one, or of the next ones while values fill several
    ciphertexts and each is cheaper than the one before.

    Raises:
        CompileError: there is none; says why not.
    """
    search = _Search(wanted, max(least_levels(wanted.graph), 1))
    best: RingChoice | None = None
    for found in search.choices():
        if best is not None and best.milliseconds <= found.milliseconds:
            break
        best = found
        if best.has_room:
            break
    if best is None:
        raise search.refusal()
    return best


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

    def choices(self) -> Iterator[RingChoice]:
        """Programs by ring dimension."""
        for ring_dim in sorted(MAX_MODULUS_BITS):
            try:
                found = self._try(_Trial(self.wanted, ring_dim)) if _can_hold(ring_dim, self.levels) else None
            except PackingError as error:
                self.refusals.append(f"%{error.node} {error.reason}")
            except CompileError as error:
                self.refusals.append(str(error))
            else:
                if found is not None:
                    yield found

    def _try(self, trial: _Trial) -> RingChoice | None:
        """The program for a ring; None where the ring has not the levels that it turns out to take."""
        packed = trial.pack()
        self.levels = max(self.levels, LevelPlan(run_passes(packed.server, TO_PRODUCTS, dumped=False)).depth)
        return trial.within_memory(packed) if _can_hold(trial.ring_dim, self.levels) else None

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

    @property
    def costs(self) -> UnitCosts:
        """Of the server's work."""
        return self.wanted.options.costs or UnitCosts()

    def pack(self) -> Packed:
        """The packed graph."""
        packing = PackingOptions(max_rotation_keys=self.wanted.options.max_rotation_keys)
        return pack(self.wanted.graph, self.ring_dim // 2, rotation_costs(self.costs), packing)

    def within_memory(self, packed: Packed) -> RingChoice:
        """The program, with as few rotation keys as ``max_ram`` asks for.

        Raises:
            CompileError: it does not fit even so; or no parameters do.
        """
        choice, most = self._choose(packed), self.wanted.options.max_ram
        memory = graph_memory(choice.graph, choice.parameters)
        if most is not None and memory.total > most:
            fewer = memory.affordable_keys(most) - 1
            if fewer >= least_rotation_keys(self.ring_dim // 2):
                packed = with_rotation_keys(packed, rotation_costs(self.costs), fewer)
                choice = self._choose(packed)
                memory = graph_memory(choice.graph, choice.parameters)
            check_memory(memory, self.ring_dim, most)
        return RingChoice(packed, choice)

    def _choose(self, packed: Packed) -> CkksChoice:
        """Parameters and levels."""
        wanted = self.wanted
        given = [run(packed.prologue, sample) for sample in wanted.samples[:PREDICTED_ON]]
        candidate = Candidate(packed.server, given, packed.client)
        return choose_for(candidate, wanted.tolerance, self.costs, wanted.options.margin, wanted.reach)


def _fits_one(layout: Layout) -> bool:
    """Whether a value fits one ciphertext, whatever copies of it the client rotates."""
    return (layout.base if isinstance(layout, Rotated) else layout).count == 1


def rotation_costs(costs: UnitCosts) -> RotationCosts:
    """What packing takes steps to cost, by what units of work cost."""
    return RotationCosts(**step_costs(costs, REFERENCE_RING, REFERENCE_LIMBS))


def _can_hold(ring_dim: int, levels: int) -> bool:
    """Whether a ring has room for so many levels at a small scale; larger rings have no small primes."""
    return any(True for bits in SMALL_SCALES for _ in fitting_parameters(ring_dim, levels, bits, bits + 1))
