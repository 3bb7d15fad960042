"""The client: keys, packing, encryption, decryption, and its own stages in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.fixed import Quantise, Requantise
from enclair.compiler.ir.ops.packed import Unpack
from enclair.compiler.ir.reference import run
from enclair.compiler.parameters import BfvParameters
from enclair.compiler.program import ClientProgram, Exchange
from enclair.runtime.backends.interface import Payload
from enclair.runtime.crossing import AnyKeyHolder, decrypt_answers, encrypt_uploads
from enclair.runtime.errors import StateError, UnevenAnswer, WrongRound
from enclair.runtime.factors import divided, split_factors
from enclair.runtime.inputs import check_inputs
from enclair.runtime.protocol import (
    Envelope,
    MessageType,
    check_due,
    new_session,
    read_message,
    registration_envelope,
    seal,
    sealed,
)
from enclair.runtime.stopwatch import Stopwatch


@dataclass(slots=True)
class ClientState:
    """Where a client is in a session: what it computed so far, and what it counted.

    Args:
        session: its id.
        round: whose upload or answer is due, from 1; one more than the program has when all is done.
        values: by name, those that are still needed.
        clipped: elements of each input that were outside of the declared range.
        saturated: elements that each rounding node cut off.
        uneven: decrypted elements that were no multiples of the factors that came with them.
    """

    session: str
    round: int
    values: dict[str, Array]
    clipped: dict[str, int] = field(default_factory=dict)
    saturated: dict[str, int] = field(default_factory=dict)
    uneven: int = 0


class Client:
    """The owner of the data.

    Args:
        program: the client's part.
        keys: made for the program's parameters.
    """

    def __init__(self, program: ClientProgram, keys: AnyKeyHolder) -> None:
        self.program = program
        self.watch = Stopwatch()
        self._keys = keys
        self._digests = (program.digest(), program.parameters.digest())

    def registration(self) -> bytes:
        """The message that gives the server the public key, and the evaluation keys that it needs."""
        return b"".join(self.registration_pieces())

    def registration_pieces(self) -> tuple[bytes, Payload, bytes]:
        """The same message in pieces: with evaluation keys it may be large."""
        program = self.program
        envelope = registration_envelope(self._digests[0], program.parameters, self._keys.key_id, program.keys)
        return sealed(envelope, self._keys.public_key())

    def start(self, inputs: Mapping[str, Array], *, clip: bool = False) -> ClientState:
        """Begin a session: check the inputs, compute what comes before the first upload.

        Raises:
            InputError: the inputs are not what the program takes.
        """
        arrays, clipped = check_inputs(self.program.inputs, inputs, clip=clip)
        state = ClientState(new_session(), 1, dict(arrays), clipped)
        self._run_stage(self.program.prologue, state)
        return state

    def upload(self, state: ClientState) -> bytes:
        """The message that the round sends to the server.

        Raises:
            WrongRound: the session is over.
        """
        exchange = self.program.exchanges[self._check_running(state) - 1]
        with self.watch("encrypt"):
            payload = encrypt_uploads(self._keys, exchange, state.values)
        return seal(self._envelope(MessageType.UPLOAD, state.session, state.round, exchange.upload_count), payload)

    def receive(self, state: ClientState, message: bytes) -> None:
        """Decrypt the round's answer and compute what comes before the next upload, or the outputs.

        Raises:
            MessageError: the message is not the answer that is due.
            PayloadError: its payload does not hold the ciphertexts.
            DecryptionFailed: a CKKS ciphertext is noise and nothing else.
        """
        exchange = self.program.exchanges[self._check_running(state) - 1]
        stage = self.program.stages[state.round - 1]
        came, payload = read_message(message)
        scaled = came.type is MessageType.SCALED_ANSWER and isinstance(self.program.parameters, BfvParameters)
        type_ = MessageType.SCALED_ANSWER if scaled else MessageType.ANSWER
        check_due(self._envelope(type_, state.session, state.round, exchange.answer_count), came)
        with self.watch("decrypt"):
            if scaled:
                self._receive_scaled(state, exchange, payload)
            else:
                state.values |= decrypt_answers(self._keys, exchange, payload)
        state.round += 1
        self._run_stage(stage, state)

    def outputs(self, state: ClientState) -> dict[str, Array]:
        """The model's outputs.

        Raises:
            WrongRound: rounds are still due.
            UnevenAnswer: an answer was no multiple of its factors. Said only now: to stop before would tell the server
                something about decrypted values.
        """
        if state.round <= len(self.program.exchanges):
            raise WrongRound(f"the outputs come after round {len(self.program.exchanges)}, round {state.round} is due")
        if state.uneven:
            raise UnevenAnswer(
                f"{state.uneven} decrypted values are no multiples of the factors that came with them: an answer was"
                " altered, or made for another session; start a new session"
            )
        return {name: state.values[name] for name in self.program.outputs}

    def _receive_scaled(self, state: ClientState, exchange: Exchange, payload: Payload) -> None:
        """Divide each ciphertext of an answer by its factor."""
        factors, ciphers = split_factors(payload, exchange.answer_count)
        layouts = _layouts(self.program.stages[state.round - 1])
        start = 0
        for name, rows in decrypt_answers(self._keys, exchange, ciphers).items():
            state.values[name], uneven = divided(layouts[name], rows, factors[start : start + len(rows)])
            state.uneven, start = state.uneven + uneven, start + len(rows)

    def _run_stage(self, stage: Graph, state: ClientState) -> None:
        def count_saturations(node: Node, args: tuple[Array, ...], _: Array) -> None:
            if isinstance(node.op, Quantise | Requantise):
                state.saturated[node.out.name] = node.op.saturations(args[0])

        with self.watch("stages"):
            _check_present(stage, state)
            state.values |= run(stage, state.values, count_saturations)
        needed = self._needed_from(state.round)
        state.values = {name: array for name, array in state.values.items() if name in needed}

    def _needed_from(self, round_: int) -> set[str]:
        """Names of the values that uploads and stages from this round on, or the outputs, take."""
        uploads = {name for exchange in self.program.exchanges[round_ - 1 :] for name, _ in exchange.uploads}
        stages = {value.name for stage in self.program.stages[round_ - 1 :] for value in stage.inputs}
        return uploads | stages | set(self.program.outputs)

    def _check_running(self, state: ClientState) -> int:
        if state.round > len(self.program.exchanges):
            raise WrongRound(f"the session is over after round {len(self.program.exchanges)}: start a new one")
        return state.round

    def _envelope(self, type_: MessageType, session: str, round_: int, count: int) -> Envelope:
        return Envelope(type_, *self._digests, self._keys.key_id, session, round_, count)


def _layouts(stage: Graph) -> dict[str, Layout]:
    """The layout of each ciphertext array that a stage unpacks."""
    return {node.args[0].name: node.op.layout for node in stage.nodes if isinstance(node.op, Unpack)}


def _check_present(stage: Graph, state: ClientState) -> None:
    missing = [value.name for value in stage.inputs if value.name not in state.values]
    if missing:
        raise StateError(
            f"the session lacks {', '.join(missing)}, which the client computed before: start a new session"
        )
