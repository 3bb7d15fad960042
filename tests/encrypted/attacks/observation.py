"""What a client that keeps to the protocol sees: its own key holder writes down what it decrypts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.ops.packed import Pack, Unpack
from enclair.compiler.ir.reference import run
from enclair.compiler.program import ClientProgram, Program
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.interface import Integers
from enclair.runtime.client import Client
from enclair.runtime.server import Server


@dataclass(frozen=True, slots=True)
class Seen:
    """A round as the client sees it: the value that it sends, and the one that it gets for it, in the clear."""

    sent: Array
    received: Array


class Diary(BfvKeyHolder):
    """A key holder that keeps what it decrypts."""

    def __init__(self, keys: BfvKeyHolder) -> None:
        super().__init__(keys.parameters, keys._residues, keys.public_key())
        self.answers: list[Integers] = []

    def decrypt(self, payload: bytes, count: int, *how: Any) -> Integers:
        """The slots, written down."""
        self.answers.append(super().decrypt(payload, count, *how))
        return self.answers[-1]


def query(program: Program, keys: BfvKeyHolder, inputs: Mapping[str, Array]) -> list[Seen]:
    """What the client sees in a session on ciphertexts, round by round.

    The server is there to be asked; of the program, what is made from it is the client's part alone.
    """
    diary = Diary(keys)
    client, server = (
        Client(program.for_client(), diary),
        Server(program, BfvEvaluator(keys.parameters, keys.public_key())),
    )
    state = client.start(inputs)
    for _ in program.rounds:
        client.receive(state, server.run_round(client.upload(state)))
    return list(seen_in(client.program, inputs, diary.answers))


def seen_in(program: ClientProgram, inputs: Mapping[str, Array], answers: list[Integers]) -> Iterator[Seen]:
    """The client's own graphs, run again on the slots of each answer, tell what the slots that it decrypted are."""
    values: dict[str, Array] = dict(inputs)
    before, rows = _run(program.prologue, values), iter(np.concatenate(answers))
    for stage, exchange in zip(program.stages, program.exchanges, strict=True):
        values |= {name: np.stack([next(rows) for _ in range(type_.count)]) for name, type_ in exchange.answers}
        after = _run(stage, values)
        yield Seen(before["Pack"], after["Unpack"])
        before = after


def _run(graph: Graph, values: dict[str, Array]) -> dict[str, Array]:
    """Run a stage; the value that it packs, and the one that it unpacks."""
    found: dict[str, Array] = {}

    def note(node: Node, args: tuple[Array, ...], result: Array) -> None:
        if isinstance(node.op, Pack):
            found["Pack"] = args[0]
        if isinstance(node.op, Unpack):
            found["Unpack"] = result

    values |= run(graph, values, note)
    return found
