"""What of a program can be obfuscated: for each answer whether, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from enclair.compiler.ir.layouts import Index
from enclair.compiler.ir.ops.packed import Unpack
from enclair.compiler.obfuscation.flow import Flow
from enclair.compiler.obfuscation.orders import Order
from enclair.compiler.obfuscation.scales import largest_factors
from enclair.compiler.program import Program


@dataclass(frozen=True, slots=True)
class SplitPoint:
    """An answer, and what can be hidden of it.

    Args:
        round: of the answer.
        value: what the client decrypts.
        channels: how many the server can permute; 0 for none.
        not_permuted: why none.
        largest_factor: by which a channel can be multiplied; 1 where there is no room.
        not_scaled: why not.
    """

    round: int
    value: str
    channels: int
    not_permuted: str
    largest_factor: int
    not_scaled: str


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """Ciphertexts that cross the wire in an order of the server's.

    Args:
        numbers: (channels, positions), the ciphertexts of each channel.
        runs: number of the permutation (-1 for the identity) and how many channels it is of, one after another.
    """

    numbers: Index
    runs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Obfuscation:
    """What a server does to obfuscate a program.

    Args:
        points: every answer, in order.
        crossings: what crosses in another order, by the name of the ciphertext array.
        channels: the ciphertexts of each answer that share a factor, (channels, positions).
        factors: the largest ones, by the name of the answer's ciphertext array.
    """

    points: tuple[SplitPoint, ...]
    crossings: Mapping[str, Crossing] = field(repr=False)
    channels: Mapping[str, Index] = field(repr=False)
    factors: Mapping[str, int] = field(repr=False)


def analyse(program: Program) -> Obfuscation:
    """Find out which channels can be permuted together, and by how much each can be multiplied."""
    flow = Flow()
    for graph in (program.prologue, *(round_.client for round_ in program.rounds)):
        flow.follow(graph)
    flow.fix_outputs(program.outputs)
    factors = {name: (factor, reason) for name, factor, reason in largest_factors(program)}
    return Obfuscation(
        tuple(_points(program, flow, factors)),
        dict(_crossings(flow)),
        dict(_channels(program, flow)),
        {name: factor for name, (factor, _) in factors.items()},
    )


def _points(program: Program, flow: Flow, factors: Mapping[str, tuple[int, str]]) -> Iterator[SplitPoint]:
    for number, round_ in enumerate(program.rounds, 1):
        for node in round_.client.nodes:
            if isinstance(node.op, Unpack):
                name = node.args[0].name
                channels, reason = _permutable(flow, name)
                yield SplitPoint(number, node.out.name, channels, reason, *factors[name])


def _permutable(flow: Flow, name: str) -> tuple[int, str]:
    if name in flow.refused:
        return 0, flow.refused[name]
    ((permutation, channels),) = flow.answers[name].runs
    reason = flow.permutations.reason(permutation)
    return (0, reason) if reason else (channels, "")


def _crossings(flow: Flow) -> Iterator[tuple[str, Crossing]]:
    orders: dict[str, Order] = flow.answers | flow.uploads
    for name, order in orders.items():
        runs = flow.permutations.named(order.runs)
        if any(permutation >= 0 for permutation, _ in runs):
            yield name, Crossing(flow.blocks[name].numbers, runs)


def _channels(program: Program, flow: Flow) -> Iterator[tuple[str, Index]]:
    """A ciphertext that holds several channels is one of its own."""
    for round_ in program.rounds:
        for name, type_ in round_.exchange.answers:
            blocks = flow.blocks.get(name)
            yield name, np.arange(type_.count)[:, None] if blocks is None else blocks.numbers
