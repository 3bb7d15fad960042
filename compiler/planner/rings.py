"""Choose ring, primes and plaintext modulus: the cheapest on which every stage packs, holds its sums and its noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from enclair.compiler.approx.intervals import intervals
from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.packing.assemble import Assembled, assemble
from enclair.compiler.packing.stage import Ring
from enclair.compiler.parameters import (
    MODULUS_CHOICES,
    SECURE,
    BfvParameters,
    ParameterError,
    choose_plaintext_moduli,
    slot_vector_bits,
    sum_room_bits,
)


@dataclass(frozen=True, slots=True)
class DoesNotFit(Exception):
    """No ring holds the sums of a layer."""

    node: str
    needed_bits: int
    reason: str


def largest_sum(fixed: Graph) -> tuple[str, int]:
    """The value with the widest proven interval that the server makes or gets, and its largest magnitude."""
    known = intervals(fixed)
    on_server = [node for node in fixed.nodes if node.place and node.place.side == "server"]
    seen = {arg.name for node in on_server for arg in (*node.args, node.out) if not fixed.is_constant(arg)}
    name = max(sorted(seen), key=lambda value: known[value].magnitude)
    return name, known[name].magnitude


def parameter_choices(largest: int, flood_bits: int, security: str = SECURE) -> Iterator[BfvParameters]:
    """Every known ring that holds values up to ``largest``, cheapest first."""
    for ring_dim, limbs, prime_bits in MODULUS_CHOICES:
        try:
            moduli = choose_plaintext_moduli(largest, ring_dim, prime_bits)
            yield BfvParameters(ring_dim, limbs, prime_bits, moduli, flood_bits, security)
        except ParameterError:
            continue


def choose_ring(fixed: Graph, flood_bits: int) -> tuple[BfvParameters, Assembled]:
    """The parameters with the least estimated time, and the program packed for them.

    Raises:
        DoesNotFit: no plaintext modulus holds the sums of a layer.
        PackingError: on no ring every stage packs.
    """
    name, largest = largest_sum(fixed)
    best: tuple[float, BfvParameters, Assembled] | None = None
    failure: PackingError | None = None
    for parameters in parameter_choices(largest, flood_bits):
        try:
            assembled = assemble(fixed, ring_of(parameters))
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
    bits = (2 * largest).bit_length()
    raise DoesNotFit(name, bits, f"its sums need {bits} bits")


def ring_of(parameters: BfvParameters) -> Ring:
    """What packing must know of the parameters."""
    return Ring(parameters.ring_dim, parameters.limbs, sum_room_bits(parameters), slot_vector_bits(parameters))
