"""The bits of primes: how large scales must be for a tolerance, and by how much the first prime must exceed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log2

from enclair.compiler.ckks_parameters import MAX_PRIME_BITS, MIN_SCALE_BITS, CkksParameters, fitting_parameters
from enclair.compiler.errors import CompileError
from enclair.compiler.parameters import INSECURE, SECURE, ParameterError
from enclair.compiler.planner.ckks_candidates import Candidate

REFERENCE_BITS = 40
"""Noise is estimated at this scale, and goes down by half with each bit."""
LEAST_REACH = 3.0
"""By what share outputs may be larger than on the samples, at least, where more room would cost much."""
ROOM_BITS = 0.5
"""Values may be so many bits larger than the margin says before they could outgrow their modulus. They would have to be
large in many slots: a coefficient is as large as the largest slot only where slots line up.
"""


@dataclass(frozen=True, slots=True)
class PrimeBits:
    """Bits to try.

    Args:
        scale: scale_bits.
        firsts: first_bits that leave more room than values need, from most to least.
        least: first_bits that leave what they need, for where those are too many; None rules it out.
    """

    scale: int
    firsts: tuple[int, ...]
    least: int | None = None

    def fitting(self, ring_dim: int, levels: int, security: str = SECURE) -> list[list[CkksParameters]]:
        """Parameters for each of the first primes for which there are any, the fewest digits first."""
        found = [list(fitting_parameters(ring_dim, levels, self.scale, first, security)) for first in self.firsts]
        if not any(found) and self.least is not None:
            found = [list(fitting_parameters(ring_dim, levels, self.scale, self.least, security))]
        return [choices for choices in found if choices]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a candidate asks of primes.

    Args:
        scale_bits: that its noise needs, about.
        rooms: by how many bits the first prime should exceed scales, so that values may get as large as can be proven,
            or ``LEAST_REACH`` larger at least.
        least_room: by how many it has to.
    """

    scale_bits: int
    rooms: tuple[int, ...]
    least_room: int


def needs_of(candidate: Candidate, tolerance: float, margin: float, reach: float | None = None) -> Needs:
    """scale_bits by the noise at a reference scale, rooms by the values of the calibration samples.

    Args:
        candidate: the graph and samples.
        tolerance: for the noise.
        margin: by what share values may be larger than on the samples.
        reach: the same, where primes have the bits for it; at least the margin.

    Raises:
        CompileError: more than primes can have.
    """
    reference = CkksParameters(candidate.ring_dim, candidate.levels, REFERENCE_BITS, MAX_PRIME_BITS, 1, INSECURE)
    leveled = candidate.leveled(reference)
    _, error_bound = candidate.predicted(leveled, reference, 1)
    scale_bits = max(MIN_SCALE_BITS, REFERENCE_BITS + ceil(log2(max(error_bound, 1e-300) / tolerance)))
    if scale_bits >= MAX_PRIME_BITS:
        raise too_fine(candidate, tolerance)
    own = max(candidate.room_bits(leveled, reference), -MAX_PRIME_BITS)
    *rooms, least = (max(ceil(own + log2(1 + share) + ROOM_BITS), 0) for share in _reaches(margin, reach))
    if scale_bits + least > MAX_PRIME_BITS:
        raise CompileError(
            f"at ring dimension {candidate.ring_dim} the last prime would need {scale_bits + least} bits,"
            f" {scale_bits} for the tolerance of {tolerance:.3g} and {least} for values up to 2^{least - 1}; it"
            f" can have {MAX_PRIME_BITS}: ask for a larger tolerance, or scale the outputs down"
        )
    return Needs(scale_bits, tuple(rooms), least)


def _reaches(margin: float, reach: float | None) -> tuple[float, float, float]:
    """By what shares values may be larger than on the samples, the largest first; the last is needed."""
    most = max(reach or 0.0, margin)
    return most, max(min(most, LEAST_REACH), margin), margin


def larger_bits(
    ring_dim: int, levels: int, scale_bits: int, rooms: Sequence[int], least_room: int | None = None
) -> Iterator[PrimeBits]:
    """These and larger scales for which there are primes, each with the first primes that leave room.

    Args:
        ring_dim: N.
        levels: that there are to be.
        scale_bits: the smallest scale.
        rooms: by how many bits the first prime may exceed scales, the most first.
        least_room: the same where those are too many; None rules it out.
    """
    for scale in range(scale_bits, MAX_PRIME_BITS):
        *firsts, least = (_sum_below(scale, room) for room in (*rooms, least_room))
        bits = PrimeBits(scale, tuple(dict.fromkeys(first for first in firsts if first is not None)), least)
        largest = bits.firsts[0] if bits.firsts else least
        if largest is not None and _has_primes(ring_dim, levels, scale, largest):
            yield bits


def _sum_below(scale: int, room: int | None) -> int | None:
    return None if room is None or scale + room > MAX_PRIME_BITS else scale + room


def _has_primes(ring_dim: int, levels: int, scale_bits: int, first_bits: int) -> bool:
    try:
        CkksParameters(ring_dim, levels, scale_bits, first_bits, levels + 1, INSECURE)
    except ParameterError:
        return False
    return True


def too_fine(candidate: Candidate, tolerance: float) -> CompileError:
    """For a tolerance that no scale keeps."""
    return CompileError(
        f"a tolerance of {tolerance:.3g} cannot be met at ring dimension {candidate.ring_dim}: even scales of"
        f" {MAX_PRIME_BITS - 1} bits leave more noise; ask for a larger tolerance"
    )
