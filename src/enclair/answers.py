"""What the client decrypts, recorded: the values by which executions can be told apart layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Array, Graph, Node, Value
from enclair.compiler.ir.ops.packed import Unpack
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import Encoding, TensorType
from enclair.compiler.program import Program
from enclair.runtime.backends.interface import Integers, KeyHolder, Payload
from enclair.runtime.inputs import one_after_another

Answers = dict[str, list[Integers]]
"""Value name -> its integers, one array for each batch."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A value that the client decrypts.

    Args:
        value: with its fixed-point type.
        round: in which it comes.
        origin: the user's source line or module.
    """

    value: Value
    round: int
    origin: str

    @property
    def step(self) -> float:
        """The real number that the integer 1 stands for."""
        type_ = self.value.type
        return 2.0 ** -(type_.scale_bits or 0) if isinstance(type_, TensorType) else 1.0


def seen_by_client(program: Program) -> list[Seen]:
    """The values that the client decrypts, in the order in which they come."""
    makers = program.fixed.producers()
    return [
        Seen(node.out, number, makers[node.out.name].origin)
        for number, round_ in enumerate(program.rounds, 1)
        for node in _unpacking(round_.client)
        if node.out.name in makers
    ]


def reference_answers(
    program: Program, batches: Sequence[Mapping[str, Array]]
) -> tuple[dict[str, NDArray[np.float64]], Answers]:
    """Outputs and client-visible values of the fixed-point reference; the outputs of all batches in one array."""
    answers: Answers = {seen.value.name: [] for seen in seen_by_client(program)}

    def record(node: Node, _: tuple[Array, ...], result: Array) -> None:
        if node.out.name in answers:
            answers[node.out.name].append(result)

    return joined([run(program.fixed, batch, record) for batch in batches]), answers


class RecordingKeys:
    """A key holder that notes what it decrypts; see ``KeyHolder``.

    ``answers`` holds the values by name, one array for each batch run in turn.
    """

    def __init__(self, program: Program, keys: KeyHolder) -> None:
        self.answers: Answers = {}
        self._due = cycle(
            {node.args[0].name: node for node in _unpacking(round_.client)}.get(name)
            for round_ in program.rounds
            for name, _ in round_.exchange.answers
        )
        self._keys = keys

    @property
    def key_id(self) -> str:
        """32 hex digits that name the key."""
        return self._keys.key_id

    def encrypt(self, values: Integers, encoding: Encoding = Encoding.SLOTS) -> Payload:
        """The payload of (count, slots) integers."""
        return self._keys.encrypt(values, encoding)

    def decrypt(self, payload: Payload, count: int, encoding: Encoding = Encoding.SLOTS) -> Integers:
        """The (count, slots) integers of the array of an answer that is due."""
        rows = self._keys.decrypt(payload, count, encoding)
        self._record(next(self._due), rows)
        return rows

    def public_key(self) -> bytes:
        """The bytes that the server needs."""
        return self._keys.public_key()

    def _record(self, node: Node | None, rows: Integers) -> None:
        if node is not None:
            self.answers.setdefault(node.out.name, []).append(node.op.evaluate(rows))


def joined(results: Sequence[Mapping[str, Array]]) -> dict[str, NDArray[np.float64]]:
    """The outputs of batches run in turn, along the leading axis; a single batch as it is."""
    return one_after_another(results)


def _unpacking(client: Graph) -> list[Node]:
    return [node for node in client.nodes if isinstance(node.op, Unpack)]
