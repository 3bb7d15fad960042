"""By how much an answer may be multiplied: the room that proven ranges and noise leave."""

from __future__ import annotations

from collections.abc import Iterator

from enclair.compiler.approx.intervals import intervals
from enclair.compiler.ckks_parameters import bfv_parameters
from enclair.compiler.ir.ops.packed import Unpack
from enclair.compiler.parameters import slot_vector_bits, sum_room_bits
from enclair.compiler.planner.costs import noise_growth
from enclair.compiler.program import LARGEST_FACTOR, Program


def largest_factors(program: Program) -> Iterator[tuple[str, int, str]]:
    """For each answer its ciphertext array, the largest factor (1: none), and why there is none."""
    known = intervals(program.fixed)
    growth: dict[str, float] = {}
    for round_ in program.rounds:
        growth |= noise_growth(round_.server, slot_vector_bits(bfv_parameters(program.parameters)), growth)
        for node in round_.client.nodes:
            if isinstance(node.op, Unpack):
                name, interval = node.args[0].name, known.get(node.out.name)
                magnitude = None if interval is None else interval.magnitude
                yield name, *_largest_factor(program, magnitude, growth[name])


def _largest_factor(program: Program, magnitude: int | None, growth_bits: float) -> tuple[int, str]:
    if magnitude is None:
        return 1, "no range of it is proven"
    parameters = bfv_parameters(program.parameters)
    by_range = parameters.largest_value // max(magnitude, 1)
    by_noise = int(2.0 ** min(max(sum_room_bits(parameters) - growth_bits, 0.0), 16.0))
    largest = min(by_range, by_noise, LARGEST_FACTOR)
    if largest > 1:
        return largest, ""
    if by_range <= 1:
        needed = (2 * magnitude).bit_length()
        return 1, f"its range fills the plaintext modulus ({needed} bits of {parameters.modulus.bit_length()})"
    return 1, "its noise leaves no room"
