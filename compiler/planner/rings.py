"""Choose ring, primes and plaintext modulus: the cheapest on which every stage packs, holds its sums and its noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from enclair.compiler.approx.intervals import largest_sum
from enclair.compiler.errors import DoesNotFit, PackingError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.packing.assemble import Assembled, assemble, round_count
from enclair.compiler.packing.packed_stage import Ring
from enclair.compiler.parameters import (
    MODULUS_CHOICES,
    SECURE,
    BfvParameters,
    ParameterError,
    choose_plaintext_moduli,
    slot_vector_bits,
    sum_room_bits,
)


def parameter_choices(largest: int, flood_bits: int, security: str = SECURE) -> Iterator[BfvParameters]:
    """Every known ring that holds values up to ``largest``, cheapest first."""
    for ring_dim, limbs, prime_bits in MODULUS_CHOICES:
        try:
            moduli = choose_plaintext_moduli(largest, ring_dim, prime_bits)
            yield BfvParameters(ring_dim, limbs, prime_bits, moduli, flood_bits, security)
        except ParameterError:
            continue


def choose_ring(fixed: Graph, flood_bits: int, *, finishing_sums: bool = True) -> tuple[BfvParameters, Assembled]:
    """The parameters with the least estimated time, and the program packed for them.

    Raises:
        DoesNotFit: no plaintext modulus holds the sums of a layer.
        PackingError: on no ring every stage packs.
        CompileError: the server has nothing to do.
    """
    round_count(fixed)
    name, largest = largest_sum(fixed)
    best: tuple[float, BfvParameters, Assembled] | None = None
    failure: PackingError | None = None
    for parameters in parameter_choices(largest, flood_bits):
        try:
            assembled = assemble(fixed, replace(ring_of(parameters), finishing_sums=finishing_sums))
        except PackingError as error:
            failure = error
            continue
        milliseconds = assembled.milliseconds() * len(parameters.plaintext_moduli)
        if best is None or milliseconds < best[0]:
            best = (milliseconds, parameters, assembled)
    if best is not None:
        return best[1], best[2]
    if failure is not None:
        raise failure
    raise DoesNotFit(name, f"its sums need {(2 * largest).bit_length()} bits")


def ring_of(parameters: BfvParameters) -> Ring:
    """What packing must know of the parameters."""
    return Ring(parameters.ring_dim, parameters.limbs, sum_room_bits(parameters), slot_vector_bits(parameters))
