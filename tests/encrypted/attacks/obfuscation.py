"""A client against a server that obfuscates: factors by greatest common divisors, filters up to their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tests.encrypted.attacks.equations import Solution, solve_convolution
from tests.encrypted.attacks.observation import Diary, Seen, seen_in

from enclair.compiler.ir.graph import Array
from enclair.compiler.ir.ops.packed import Unpack
from enclair.compiler.obfuscation.blocks import channel_blocks
from enclair.compiler.program import ClientProgram, Program
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.interface import Integers
from enclair.runtime.client import Client
from enclair.runtime.factors import split_factors
from enclair.runtime.protocol import read_message
from enclair.runtime.server import Server

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first answer of a session is, before anything is divided.

    Args:
        channels: (channels, values), as decrypted.
        factors: (channels,), those that came with it.
    """

    channels: Numbers
    factors: Numbers

    def divisors(self) -> Numbers:
        """The greatest common divisor of each channel: what a client finds that is told no factors."""
        return np.gcd.reduce(self.channels, axis=1)


def obfuscated_query(program: Program, keys: BfvKeyHolder, inputs: dict[str, Array]) -> tuple[Answer, list[Seen]]:
    """A session with permutations and factors: its first answer, and what the client sees once it has divided.

    It divides by the divisors that it finds, not by the factors that it is told.
    """
    diary = Diary(keys)
    client = Client(program.for_client(), diary)
    evaluator = BfvEvaluator(keys.parameters, keys.public_key())
    server, state = Server(program, evaluator, obfuscate=("permute", "scale")), client.start(inputs)
    answers = []
    for exchange in client.program.exchanges:
        message = server.run_round(client.upload(state))
        answers.append(split_factors(read_message(message)[1], exchange.answer_count)[0])
        client.receive(state, message)
    first, *_ = found = [
        Answer(_channels(client.program, number, rows), factors)
        for number, (rows, factors) in enumerate(zip(diary.answers, answers, strict=True))
    ]
    positions = len(answers[0]) // len(first.channels)
    told = Answer(first.channels, first.factors.reshape(-1, positions)[:, 0])
    divided = [_divided(rows, answer.divisors()) for rows, answer in zip(diary.answers, found, strict=True)]
    return told, list(seen_in(client.program, inputs, divided))


def sorted_filters(solution: Solution) -> tuple[Numbers, Numbers]:
    """Filters with their biases as rows in an order that depends on nothing but themselves, and that order."""
    rows = rows_of(solution.weights, solution.biases)
    order = np.lexsort(rows.T[::-1])
    return rows[order], order


def rows_of(weights: Array, biases: Array) -> Numbers:
    """A filter and its bias in a row."""
    return np.hstack([weights.reshape(len(weights), -1), biases[:, None]]).astype(np.int64)


def linked(sessions: Sequence[list[Seen]], number: int, kernel: int) -> Solution:
    """The layer behind ``number`` from several sessions: the filters of that layer say which channel is which."""
    sent, received = [], []
    for rounds in sessions:
        first = rounds[number]
        _, order = sorted_filters(solve_convolution([first.sent], [first.received], kernel, 0))
        sent.append(rounds[number + 1].sent[:, order])
        received.append(rounds[number + 1].received)
    return solve_convolution(sent, received, 3, 1)


def _channels(program: ClientProgram, number: int, rows: Integers) -> Numbers:
    """The values that an answer holds, channel by channel."""
    (layout,) = [node.op.layout for node in program.stages[number].nodes if isinstance(node.op, Unpack)]
    blocks = channel_blocks(layout)
    assert blocks is not None
    held = np.where(layout.index() >= 0, rows, 0)[blocks.numbers]
    return held.reshape(len(held), -1)


def _divided(rows: Integers, divisors: Numbers) -> Integers:
    factors = np.repeat(np.maximum(divisors, 1), len(rows) // len(divisors))
    return rows // factors[:, None]
