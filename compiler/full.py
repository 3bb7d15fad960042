"""Full mode: from a graph of reals to a program of one round on CKKS.

    activations -> polynomials -> slots and rotations -> products and sums -> levels and scales -> a program

The tolerance covers both the polynomials and the noise of encryption: the polynomials get most of it, and the scale is
chosen so that the noise that is predicted on the calibration data fits in what they left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np

from enclair.compiler.approx.approximate import Approximated, approximate
from enclair.compiler.approx.ranges import Range, Samples, calibrate
from enclair.compiler.approx.real_intervals import proven_ranges
from enclair.compiler.ckks_parameters import CkksParameters, is_even_cut
from enclair.compiler.errors import CompileError, PackingError
from enclair.compiler.input_ranges import input_limits, with_declared
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.ckks import UnpackReals
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.slot_layouts import Rotated
from enclair.compiler.ir.types import CkksType
from enclair.compiler.options import FullOptions, check_full_options
from enclair.compiler.packing.slotted.pack import Packed, PackingOptions, pack
from enclair.compiler.packing.slotted.rotation_costs import REFERENCE_LIMBS, REFERENCE_RING, RotationCosts
from enclair.compiler.parameters import MAX_MODULUS_BITS, ParameterError
from enclair.compiler.passes.fold_constants import FoldConstants
from enclair.compiler.passes.pipeline import dump, run_passes
from enclair.compiler.passes.recognise_polynomials import RecognisePolynomials
from enclair.compiler.planner.ckks_choice import TO_PRODUCTS, Candidate, CkksChoice, choose_for
from enclair.compiler.planner.ckks_costs import UnitCosts, step_costs
from enclair.compiler.planner.ckks_memory import graph_memory
from enclair.compiler.planner.ckks_threads import ThreadedCost
from enclair.compiler.planner.least_levels import least_levels
from enclair.compiler.planner.levels import LevelPlan
from enclair.compiler.program import InputSpec, Program, Round, exchange_of

PREPARE = (FoldConstants(), RecognisePolynomials())
DEFAULT_SHARE = 1e-3
"""The tolerance, where none is given, as a part of the outputs' range."""
APPROXIMATION_SHARE = 0.75
"""Of the tolerance, for the polynomials."""
THREADS = (1, 2, 4, 8)
ENCRYPT_NS, DECRYPT_NS = 9.0, 30.0
"""Of OpenFHE, a ciphertext and limb, by N log2 N; measured at N = 8192."""
SMALL_SCALES = (20, 24, 28, 32)
MOST_REACH = 64.0
"""Outputs are given room for so many times the largest seen; bounds of deep models say more than they reach."""
PREDICTED_ON = 2
"""Calibration samples, those of the largest outputs, on which noise is predicted and the modulus is made to hold."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A program for one ring."""

    packed: Packed
    choice: CkksChoice


def compile_full(
    graph: Graph, samples: Samples, references: Sequence[Mapping[str, Array]] | None, options: FullOptions
) -> Program:
    """Compile a graph of reals; see ``enclair.compiler.compile``."""
    check_full_options(options)
    prepared = run_passes(graph, PREPARE)
    ranges = with_declared(calibrate(prepared, samples), prepared, options.input_ranges, options.margin)
    wanted = [run(prepared, sample) for sample in samples] if references is None else references
    sizes = [max(float(np.abs(array).max(initial=0.0)) for array in outputs.values()) for outputs in wanted]
    largest = max(sizes)
    tolerance = options.tolerance if options.tolerance is not None else DEFAULT_SHARE * max(largest, 1e-9)
    approximated = approximate(
        prepared, samples, wanted, APPROXIMATION_SHARE * tolerance, options.margin, options.input_ranges
    )
    dump("polynomials", approximated.graph)
    largest_first = [samples[number] for number in np.argsort(sizes)[::-1]]
    reach = _reach(prepared, ranges, options, largest)
    candidate = _cheapest(approximated, largest_first, tolerance, reach, options)
    return _program(prepared, approximated, candidate, ranges, tolerance, largest, options)


def _reach(prepared: Graph, ranges: Mapping[str, Range], options: FullOptions, largest: float) -> float:
    """By what share outputs may be larger than on the samples, as far as can be proven; at least the margin."""
    limits = {v.name: input_limits(v.name, ranges, options.input_ranges, options.margin) for v in prepared.inputs}
    proven = proven_ranges(prepared, {name: Range(*limit) for name, limit in limits.items()})
    most = max(max(-proven[value.name].low, proven[value.name].high) for value in prepared.outputs)
    return max(options.margin, min(most / max(largest, 1e-300), MOST_REACH) - 1)


def _cheapest(
    approximated: Approximated, samples: Samples, tolerance: float, reach: float, options: FullOptions
) -> _Candidate:
    """The cheapest candidate: that of the smallest ring that has one, or of the next ones while values fill several
    ciphertexts and each is cheaper than the one before.

    Raises:
        CompileError: there is none; says why not.
    """
    best: _Candidate | None = None
    refusals: list[str] = []
    levels = max(least_levels(approximated.graph), 1)
    for ring_dim in sorted(MAX_MODULUS_BITS):
        if not _can_hold(ring_dim, levels):
            continue
        trial = _Trial(approximated, ring_dim, samples[:PREDICTED_ON], tolerance - approximated.bound, reach, options)
        try:
            packed = trial.pack(options.max_rotation_keys)
            levels = max(levels, LevelPlan(run_passes(packed.server, TO_PRODUCTS, dumped=False)).depth)
            if not _can_hold(ring_dim, levels):
                continue
            candidate = trial.within_memory(packed)
        except PackingError as error:
            refusals.append(f"%{error.node} {error.reason}")
        except CompileError as error:
            refusals.append(str(error))
        else:
            if best is not None and best.choice.cost.total <= candidate.choice.cost.total:
                break
            best = candidate
            if all(_fits_one(layout) for layout in candidate.packed.layouts.values()):
                break
    if best is None:
        raise CompileError(_refused(levels, refusals))
    return best


def _fits_one(layout: Layout) -> bool:
    """Whether a value fits one ciphertext, whatever copies of it the client rotates."""
    return (layout.base if isinstance(layout, Rotated) else layout).count == 1


@dataclass(frozen=True, slots=True)
class _Trial:
    """Making a program for one ring."""

    approximated: Approximated
    ring_dim: int
    samples: Samples
    room: float
    reach: float
    options: FullOptions

    @property
    def costs(self) -> UnitCosts:
        """Of the server's work."""
        return self.options.costs or UnitCosts()

    def pack(self, max_rotation_keys: int | None) -> Packed:
        """The packed graph with so many rotation keys."""
        packing = PackingOptions(max_rotation_keys=max_rotation_keys)
        return pack(self.approximated.graph, self.ring_dim // 2, rotation_costs(self.costs), packing)

    def within_memory(self, packed: Packed) -> _Candidate:
        """The candidate, with as few rotation keys as ``max_ram`` asks for.

        Raises:
            CompileError: it does not fit even so; or no parameters do.
        """
        choice, most = self.choose(packed), self.options.max_ram
        memory = graph_memory(choice.graph, choice.parameters)
        if most is not None and memory.total > most and (fewer := memory.affordable_keys(most)) > 1:
            packed = self.pack(fewer - 1)
            choice = self.choose(packed)
        _check_memory(choice, most)
        return _Candidate(packed, choice)

    def choose(self, packed: Packed) -> CkksChoice:
        """Parameters and levels."""
        given = [run(packed.prologue, sample) for sample in self.samples]
        candidate = Candidate(packed.server, given, packed.client)
        return _choose(candidate, self.room, self.costs, self.reach, self.options.margin)


def rotation_costs(costs: UnitCosts) -> RotationCosts:
    """What packing takes steps to cost, by what units of work cost."""
    return RotationCosts(**step_costs(costs, REFERENCE_RING, REFERENCE_LIMBS))


def _check_memory(choice: CkksChoice, max_ram: int | None) -> None:
    """Refuse a candidate that needs more memory than there may be.

    Raises:
        CompileError: says how much of what.
    """
    memory = graph_memory(choice.graph, choice.parameters)
    if max_ram is not None and memory.total > max_ram:
        parts = ", ".join(
            f"{getattr(memory, name) / 1e9:.2f} GB of {name}" for name in ("keys", "plaintexts", "ciphertexts")
        )
        raise CompileError(
            f"at ring dimension {choice.parameters.ring_dim} the server needs {parts}, max_ram is {max_ram / 1e9:.2f}"
            " GB: allow more, fewer rotation keys (max_rotation_keys), or a larger tolerance"
        )


def _choose(candidate: Candidate, tolerance: float, costs: UnitCosts, reach: float, margin: float) -> CkksChoice:
    """With room for all that outputs can reach where the ring has it, for the margin otherwise."""
    try:
        return choose_for(candidate, tolerance, costs, reach)
    except CompileError:
        return choose_for(candidate, tolerance, costs, margin)


def _can_hold(ring_dim: int, levels: int) -> bool:
    """Whether a ring has room for so many levels at a small scale; larger rings have no small primes."""
    digits = [count for count in range(levels + 1, 0, -1) if is_even_cut(levels + 1, count)]
    return any(_is_secure(ring_dim, levels, bits, count) for bits in SMALL_SCALES for count in digits)


def _is_secure(ring_dim: int, levels: int, scale_bits: int, digits: int) -> bool:
    try:
        CkksParameters(ring_dim, levels, scale_bits, scale_bits + 1, digits)
    except ParameterError:
        return False
    return True


def _refused(levels: int, refusals: Sequence[str]) -> str:
    if refusals:
        return "; ".join(dict.fromkeys(refusals))
    return (
        f"the model takes {levels} levels, more than any ring dimension up to {max(MAX_MODULUS_BITS)} holds: ask for a"
        " larger tolerance, replace activations by trained polynomials (enclair.torch.polynomialise), or compile with"
        " mode='split'"
    )


def _program(
    prepared: Graph,
    approximated: Approximated,
    candidate: _Candidate,
    ranges: Mapping[str, Range],
    tolerance: float,
    largest: float,
    options: FullOptions,
) -> Program:
    packed, choice = candidate.packed, candidate.choice
    dump("server", choice.graph)
    inputs = tuple(
        InputSpec(
            value.name,
            getattr(value.type, "shape", ()),
            *input_limits(value.name, ranges, options.input_ranges, options.margin),
        )
        for value in prepared.inputs
    )
    round_ = Round(choice.graph, packed.client, exchange_of(choice.graph, packed.prologue, packed.client))
    noise = choice.error_bound
    facts: dict[str, Any] = {
        "mode": "full",
        "margin": options.margin,
        "tolerance": tolerance,
        "gap_bound": {"value": approximated.bound, "kind": approximated.bound_kind},
        "noise_bound": {"value": noise, "kind": "predicted", "bits": log2(max(largest, 1e-300) / max(noise, 1e-300))},
        "activations": [activation.facts() for activation in approximated.activations],
        "layouts": {name: repr(UnpackReals(layout)) for name, layout in packed.layouts.items()},
        "values": dict(packed.names),
        "node_ms": dict(choice.cost.nodes),
        "cost": _cost(choice, calibrated=options.costs is not None),
        "ranges": {name: [range_.low, range_.high] for name, range_ in sorted(ranges.items())},
    }
    outputs = tuple(value.name for value in prepared.outputs)
    return Program(
        prepared.name, choice.parameters, inputs, outputs, packed.prologue, (round_,), approximated.graph, facts=facts
    )


def _cost(choice: CkksChoice, *, calibrated: bool) -> dict[str, Any]:
    """What a run is estimated to take."""
    cost = choice.cost
    threaded = ThreadedCost(choice.graph, cost.nodes)
    spans = {str(threads): threaded.on(threads) for threads in THREADS}
    memory = graph_memory(choice.graph, choice.parameters)
    return {
        "server_ms": cost.total,
        "critical_ms": threaded.critical_path,
        "threads_ms": spans,
        "client_ms": _client_ms(choice),
        "memory_bytes": memory.total,
        "calibrated": calibrated,
    }


def _client_ms(choice: CkksChoice) -> float:
    """Encoding and encrypting the uploads, decrypting and decoding the answers: OpenFHE's work."""
    unit = choice.parameters.ring_dim * log2(choice.parameters.ring_dim) * 1e-6
    sent, back = (
        sum(v.type.count * ((v.type.level or 0) + 1) for v in values if isinstance(v.type, CkksType))
        for values in (choice.graph.inputs, choice.graph.outputs)
    )
    return unit * (sent * ENCRYPT_NS + back * DECRYPT_NS)
