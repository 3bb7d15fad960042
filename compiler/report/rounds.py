"""What each round computes, sends and needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import log2
from typing import Literal

from enclair.compiler.approx.intervals import Interval, intervals
from enclair.compiler.ckks_parameters import bfv_parameters
from enclair.compiler.ir.graph import Graph, Node, Value
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.stages import CLIENT_PACKING, FIXED_POINT
from enclair.compiler.ir.types import CiphersType
from enclair.compiler.parameters import BfvParameters, noise_room_bits, slot_vector_bits, sum_room_bits
from enclair.compiler.planner.costs import OpCosts, noise_growth, stage_cost
from enclair.compiler.program import Program, Round
from enclair.compiler.report.layout_text import describe
from enclair.compiler.report.model import RoundReport, Step, Transfer
from enclair.compiler.report.views import packed, unpacked


def round_reports(program: Program) -> Iterator[RoundReport]:
    """A report for each round, in order."""
    known, before = intervals(program.fixed), program.prologue
    growth: dict[str, float] = {}
    names = program.facts.get("layouts", [])
    for number, round_ in enumerate(program.rounds, 1):
        growth |= noise_growth(round_.server, slot_vector_bits(bfv_parameters(program.parameters)), growth)
        layout = names[number - 1] if len(names) >= number else ""
        yield _report(program, number, before, known, growth, layout)
        before = round_.client


def _report(
    program: Program,
    number: int,
    before: Graph,
    known: Mapping[str, Interval],
    growth: Mapping[str, float],
    layout: str,
) -> RoundReport:
    round_, parameters = program.rounds[number - 1], bfv_parameters(program.parameters)
    grown = max((growth[name] for name, _ in round_.exchange.answers), default=0.0)
    return RoundReport(
        number,
        tuple(_steps(_placed(program.fixed, "server", number))),
        tuple(_steps(_placed(program.fixed, "client", number))),
        layout,
        _transfers(round_.exchange.uploads, packed(before), parameters.ciphertext_bytes),
        _transfers(round_.exchange.answers, unpacked(round_.client), parameters.answer_bytes),
        _sum_bits(program.fixed, number, known),
        parameters.modulus.bit_length(),
        grown,
        sum_room_bits(parameters),
        _flood_distance_bits(parameters, round_.exchange.answer_count, grown),
        _milliseconds(round_, parameters),
    )


def _placed(fixed: Graph, side: Literal["client", "server"], number: int) -> list[Node]:
    return [node for node in fixed.nodes if node.place and (node.place.side, node.place.round) == (side, number)]


def _steps(nodes: Iterable[Node]) -> Iterator[Step]:
    """The model's ops among nodes: without those that only round or pack."""
    for node in nodes:
        if not isinstance(node.op, FIXED_POINT + CLIENT_PACKING):
            yield Step(repr(node.op), node.out.name, node.origin)


def _transfers(
    ciphers: Iterable[tuple[str, CiphersType]], coded: Mapping[str, tuple[Value, Layout]], cipher_bytes: int
) -> tuple[Transfer, ...]:
    return tuple(
        Transfer(name, describe(coded[name][1]), type_.count, type_.count * cipher_bytes) for name, type_ in ciphers
    )


def _sum_bits(fixed: Graph, number: int, known: Mapping[str, Interval]) -> int:
    """Bits of the largest magnitude in a round of the server, with a sign."""
    nodes = _placed(fixed, "server", number)
    names = {value.name for node in nodes for value in (*node.args, node.out) if not fixed.is_constant(value)}
    return max(((2 * known[name].magnitude).bit_length() for name in names), default=0)


def _flood_distance_bits(parameters: BfvParameters, answers: int, growth_bits: float) -> float:
    """-log2 of the statistical distance of answers from some that depend on the decrypted values alone.

    The smudging lemma bounds it for each coefficient by the noise of the sums over the width of the flooding noise
    (``runtime/flood.py``); over coefficients, plaintext moduli and answers it adds up. The width is a power of a prime,
    up to a thousandth below the power of two that is counted on.
    """
    coefficients = max(1, answers) * len(parameters.plaintext_moduli) * parameters.ring_dim
    return noise_room_bits(parameters) - growth_bits - log2(1.001 * coefficients)


def _milliseconds(round_: Round, parameters: BfvParameters) -> float:
    cost = stage_cost(round_.server, round_.exchange.upload_count, round_.exchange.answer_count)
    each = cost.milliseconds(parameters.ring_dim, parameters.limbs, OpCosts())
    return each * len(parameters.plaintext_moduli)
