"""Put a report together."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2
from typing import Any

from enclair.compiler.ckks_parameters import bfv_parameters
from enclair.compiler.ir.types import TensorType
from enclair.compiler.obfuscation import analyse
from enclair.compiler.parameters import MAX_MODULUS_BITS, BfvParameters
from enclair.compiler.program import Program
from enclair.compiler.report.exposure import exposures, readers
from enclair.compiler.report.model import ClientParameter, Exposure, ParametersReport, PrecisionReport
from enclair.compiler.report.report import Report
from enclair.compiler.report.rounds import round_reports

SPLIT_NOTE = (
    "split protects the data from the server, not the model from the client: the client decrypts every value listed"
    " here, and can solve linear equations for the weights behind it."
)
QUERIES_NOTE = (
    "Equations are counted by slot, sums that a layout leaves beyond the border included. Queries are counted for"
    " inputs in general position: no fewer suffice by least squares, and more are needed while a channel stays constant"
    " (behind a ReLU that is always 0). A client that chooses what it sends needs no more."
)
OBFUSCATION_NOTE = (
    "Obfuscation (permute, scale) hides which channel is which, not the weights up to their order: least squares still"
    " gives every filter up to the permutation, and the layers of one session can be matched. Scaling is undone by"
    " anybody: the client is given the factors, and a greatest common divisor gives them too. Neither protects against"
    " a client that knows the structure of the model, and sessions can be linked by matching filters."
)
CLIENT_NOTE = (
    "The client's artifact also tells shapes, layouts, scales, and the calibrated limits to which the client saturates."
)


def inspect(program: Program) -> Report:
    """What a program computes, costs and reveals: rounds, parameters, precision, and what the client sees.

    All of it is derived from the program's graphs and parameters, but for how it was compiled, which is in its facts.
    """
    facts, seen = program.facts, tuple(exposures(program))
    return Report(
        program.name,
        facts.get("mode", "split"),
        program.digest(),
        tuple((spec.name, spec.shape, spec.low, spec.high) for spec in program.inputs),
        program.outputs,
        tuple(round_reports(program)),
        tuple(facts.get("moved_to_client", ())),
        tuple(facts.get("refreshed", ())),
        _parameters(bfv_parameters(program.parameters)),
        _precision(facts),
        tuple(_client_parameters(program)),
        seen,
        analyse(program).points,
        tuple(_notes(seen)),
    )


def _parameters(parameters: BfvParameters) -> ParametersReport:
    bits = sum(log2(prime) for prime in parameters.primes)
    return ParametersReport(
        "BFV",
        parameters.ring_dim,
        parameters.primes,
        round(bits, 3),
        MAX_MODULUS_BITS.get(parameters.ring_dim),
        parameters.plaintext_moduli,
        parameters.modulus.bit_length(),
        parameters.flood_bits,
        parameters.security,
        parameters.secure,
        _security(parameters, bits),
        parameters.ciphertext_bytes,
    )


def _security(parameters: BfvParameters, bits: float) -> str:
    if not parameters.secure:
        return f"{parameters.security}: these parameters protect nothing"
    most = MAX_MODULUS_BITS[parameters.ring_dim]
    return (
        f"128 bits against classical attacks by {parameters.security} (Homomorphic Encryption Standard 2018, table 1,"
        f" ternary secret): log2 Q is {bits:.1f}, at ring dimension {parameters.ring_dim} at most {most}"
    )


def _precision(facts: dict[str, Any]) -> PrecisionReport:
    bound = facts.get("gap_bound", {})
    return PrecisionReport(
        facts.get("activation_bits"),
        facts.get("weight_bits"),
        facts.get("margin"),
        facts.get("tolerance"),
        bound.get("value"),
        bound.get("kind"),
        dict(facts.get("samples", {})),
    )


def _client_parameters(program: Program) -> Iterator[ClientParameter]:
    """The constants in the client's graphs."""
    for number, graph in enumerate((program.prologue, *(round_.client for round_ in program.rounds))):
        for value in graph.constants:
            shape = value.type.shape if isinstance(value.type, TensorType) else ()
            yield ClientParameter(value.name, shape, number, readers(graph, value.name, ()))


def _notes(seen: tuple[Exposure, ...]) -> Iterator[str]:
    yield SPLIT_NOTE
    if any(exposure.queries is not None for exposure in seen):
        yield QUERIES_NOTE
    yield OBFUSCATION_NOTE
    yield CLIENT_NOTE
