"""The server: bytes in, bytes out, round by round. It has no secret key and cannot import the code that reads one."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from enclair.compiler.ckks_parameters import CkksParameters, Parameters
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.types import CiphersType, CipherType, CkksType
from enclair.compiler.program import Program, Round
from enclair.runtime.backends.interface import Payload
from enclair.runtime.crossing import AnyEvaluator, answer_payload, load_uploads
from enclair.runtime.dataflow import Record, prepare, run_dataflow
from enclair.runtime.errors import InsecureParameters, ObfuscationError, StateError, WrongKey, WrongRound
from enclair.runtime.executor import run_server_graph
from enclair.runtime.factors import with_factors
from enclair.runtime.limbs.memory import give_back
from enclair.runtime.obfuscation import PERMUTE, SCALE, SEED_BYTES, Obfuscator, check_kinds
from enclair.runtime.protocol import (
    Envelope,
    MessageType,
    check_due,
    read_message,
    read_pieces,
    registration_envelope,
    seal,
)
from enclair.runtime.stopwatch import Stopwatch
from enclair.runtime.store import MemoryStore, Store, only

Batch = TypeVar("Batch")


class Server(Generic[Batch]):
    """Serves a program to the owner of one key.

    Args:
        program: with the weights.
        evaluator: the operations under the client's public key, in the program's scheme.
        store: what is remembered between rounds; in memory if not given.
        allow_insecure: serve parameters without security, for tests.
        observe: called after each node.
        obfuscate: ``permute`` the channels of answers, ``scale`` them, or both, where the program allows it. Sessions
            that began permuted stay so, whatever is asked for later.

    Raises:
        InsecureParameters: the program's parameters protect nothing, and ``allow_insecure`` is not given.
        ObfuscationError: there is no such obfuscation, or none in the program's scheme.
    """

    def __init__(
        self,
        program: Program,
        evaluator: Any,
        store: Store[Batch] | None = None,
        *,
        allow_insecure: bool = False,
        observe: Callable[[Node], None] | None = None,
        obfuscate: Collection[str] = (),
    ) -> None:
        check_secure(program.parameters, allow_insecure=allow_insecure)
        self.program = program
        self.watch = Stopwatch()
        self._is_ckks = isinstance(program.parameters, CkksParameters)
        self._evaluator = evaluator
        self._store: Store[Batch] = MemoryStore() if store is None else store
        self.observe = observe
        self.record: Record | None = None
        self._kinds = _check_obfuscation(program.parameters, obfuscate)
        self._prepared: dict[int, dict[str, Any]] = {}
        self._obfuscator = Obfuscator(program, evaluator)
        self._digests = (program.digest(), program.parameters.digest())

    def run_round(self, message: bytes) -> bytes:
        """The answer to an upload.

        Raises:
            MessageError: the message is not the one that is due; the subclass says why.
            PayloadError: the payload does not hold the ciphertexts.
            RuntimeFailure: a sum could not be computed.
            StateError: the server asks for permutations, and the session began without them.
        """
        came, payload = read_message(message)
        envelope = self._check_due(came)
        round_ = self.program.rounds[envelope.round - 1]
        with self.watch("load"):
            inputs: dict[str, Batch] = load_uploads(self._evaluator, round_.exchange, payload)
        self._store.claim(envelope.session, envelope.round)
        seed = self._seed(envelope)
        inputs = inputs if seed is None else self._obfuscator.restored(inputs, seed)
        inputs = self._store.kept(envelope.session) | inputs
        self.prepare()
        with self.watch("sums"):
            values = only(inputs, kept_after(self.program, envelope.round))
            values |= self._run(envelope.round, round_.server, inputs)
        self._store.keep(envelope.session, only(values, kept_after(self.program, envelope.round)))
        with self.watch("answer"):
            type_, answers = self._answer(round_, values, seed)
        return seal(replace(envelope, type=type_, count=round_.exchange.answer_count), answers)

    def _check_due(self, came: Envelope) -> Envelope:
        """The envelope of the upload. Session and round are the client's to choose; the store checks their order."""
        due = replace(came, type=MessageType.UPLOAD, program=self._digests[0], parameters=self._digests[1])
        due = replace(due, key=self._evaluator.key_id)
        check_due(due, came)
        rounds = len(self.program.rounds)
        if not 1 <= came.round <= rounds:
            raise WrongRound(f"the program has rounds 1 to {rounds}, got {came.round}: start a new session")
        check_due(replace(due, count=self.program.rounds[came.round - 1].exchange.upload_count), came)
        return due

    def prepare(self) -> None:
        """Make beforehand what uploads do not change: encode the weights of CKKS programs. The first round does it
        otherwise.
        """
        if self._is_ckks and not self._prepared:
            with self.watch("prepare"):
                rounds = enumerate(self.program.rounds, 1)
                self._prepared = {number: prepare(round_.server, self._evaluator) for number, round_ in rounds}
                give_back()

    def _run(self, number: int, graph: Graph, inputs: dict[str, Batch]) -> dict[str, Batch]:
        if not self._is_ckks:
            return run_server_graph(graph, inputs, self._evaluator, self.observe)
        return run_dataflow(
            graph,
            inputs,
            self._evaluator,
            observe=self.observe,
            record=self.record,
            prepared=self._prepared[number],
        )

    def _seed(self, envelope: Envelope) -> bytes | None:
        """From what the session's permutations follow: drawn in its first round, and kept before anything leaves."""
        if envelope.round > 1:
            seed = self._store.seed(envelope.session)
            if seed is None and PERMUTE in self._kinds:
                raise StateError(
                    f"session {envelope.session[:12]}... began without permutations, or they are gone: start a new one"
                )
            return seed
        if PERMUTE not in self._kinds:
            return None
        self._store.keep_seed(envelope.session, seed := os.urandom(SEED_BYTES))
        return seed

    def _answer(self, round_: Round, values: Mapping[str, Batch], seed: bytes | None) -> tuple[MessageType, Payload]:
        exchange = round_.exchange
        answers = {name: values[name] for name, _ in exchange.answers}
        if seed is not None:
            answers = self._obfuscator.permuted(answers, seed)
        if SCALE not in self._kinds:
            return MessageType.ANSWER, answer_payload(self._evaluator, answers, exchange)
        answers, factors = self._obfuscator.scaled(answers)
        return MessageType.SCALED_ANSWER, with_factors(factors, answer_payload(self._evaluator, answers, exchange))


def read_registration(
    program: Program, message: bytes | memoryview | tuple[bytes, Payload, bytes], *, allow_insecure: bool = False
) -> Payload:
    """The public key in a registration message, whole or in pieces, with evaluation keys, not copied; an evaluator
    checks its bytes.

    Raises:
        InsecureParameters: the program's parameters protect nothing, and ``allow_insecure`` is not given.
        SecretKeyOffered: it is a secret key.
        MessageError: the message is not a registration for this program.
    """
    check_secure(program.parameters, allow_insecure=allow_insecure)
    came, public_key = read_pieces(*message) if isinstance(message, tuple) else read_message(message)
    check_due(registration_envelope(program.digest(), program.parameters, came.key, program.keys), came)
    return public_key


def check_key(evaluator: AnyEvaluator, key_id: str) -> None:
    """Refuse a public key that is not the one its message names.

    Raises:
        WrongKey: it is another.
    """
    if evaluator.key_id != key_id:
        raise WrongKey(
            f"the registration names key {key_id[:12]}..., its public key is {evaluator.key_id[:12]}...: send it again"
        )


def check_secure(parameters: Parameters, *, allow_insecure: bool) -> None:
    """Refuse parameters that protect nothing.

    Raises:
        InsecureParameters: unless they are allowed.
    """
    if not parameters.secure and not allow_insecure:
        raise InsecureParameters(
            f"the program has parameters {parameters.security}: they protect nothing; compile it with secure parameters"
        )


def kept_after(program: Program, round_: int) -> set[str]:
    """Names of the values that rounds after this one take from the server."""
    later = program.rounds[round_:]
    return {value.name for r in later for value in r.server.inputs} - {
        name for r in later for name, _ in r.exchange.uploads
    }


def kept_types(program: Program) -> dict[str, CiphersType]:
    """The type of each ciphertext array that the server may keep between rounds."""
    values = {value.name: value.type for r in program.rounds for value in (*r.server.inputs, *r.server.outputs)}
    names = {name for i in range(len(program.rounds)) for name in kept_after(program, i + 1)}
    types = {name: type_ for name, type_ in values.items() if name in names}
    return {name: type_ for name, type_ in types.items() if isinstance(type_, CipherType | CkksType)}


def _check_obfuscation(parameters: Parameters, kinds: Collection[str]) -> frozenset[str]:
    checked = check_kinds(kinds)
    if checked and isinstance(parameters, CkksParameters):
        raise ObfuscationError(
            f"obfuscation is for the answers of split mode, got {', '.join(sorted(checked))} for a program of full"
            " mode: leave it out, the client sees the result alone"
        )
    return checked
