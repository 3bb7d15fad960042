"""A session: client and server of a program in one process, with nothing but bytes between them."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from enclair.compiler.ir.graph import Array
from enclair.compiler.program import Exchange, Program
from enclair.runtime.backends.evaluators import encrypting_backend, make_evaluator
from enclair.runtime.backends.key_holders import make_key_holder
from enclair.runtime.backends.simulated import SimulatedEvaluator
from enclair.runtime.client import Client
from enclair.runtime.crossing import AnyEvaluator, AnyKeyHolder
from enclair.runtime.dataflow import Record
from enclair.runtime.inputs import one_after_another, split_batch
from enclair.runtime.obfuscation import check_kinds
from enclair.runtime.progress import Meter, Report, answer_work, node_work, program_work, upload_work
from enclair.runtime.server import Server, check_secure, read_registration


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes on the wire: uploads, answers, and the public key once."""

    up: int
    down: int
    keys: int


@dataclass(frozen=True, slots=True)
class SessionResult:
    """Outputs, and what they took.

    Args:
        outputs: the model's, by name.
        rounds: of one batch.
        batches: run in turn.
        seconds: ``client``, ``server``, ``keys`` (making and registering them), ``total``.
        parts: seconds of each part: ``client.encrypt``, ``server.sums``, ...
        traffic: bytes.
        peak_rss: bytes of memory, the most that the process ever had.
        clipped: elements of each input outside of the declared range.
        saturated: elements that each rounding node cut off.
        room_left_bits: what the noise bound left of the room for sums; with the backend ``simulated`` only.
    """

    outputs: dict[str, Array]
    rounds: int
    batches: int
    seconds: dict[str, float]
    parts: dict[str, float]
    traffic: Traffic
    peak_rss: int
    clipped: dict[str, int]
    saturated: dict[str, int]
    room_left_bits: float | None


@dataclass(slots=True)
class _Tally:
    up: int = 0
    down: int = 0
    clipped: Counter[str] = field(default_factory=Counter)
    saturated: Counter[str] = field(default_factory=Counter)


class Session:
    """Runs a program on one backend. Keys are made once, when the session is.

    Args:
        program: to run.
        backend: ``clear`` (nothing is encrypted), ``simulated`` (with noise), ``bfv`` or ``ckks``; the one that
            encrypts in the program's scheme if not given.
        keys: instead of fresh ones.
        allow_insecure: run parameters without security, for tests.
        progress: called as the work goes on.
        obfuscate: ``permute`` the channels of answers, ``scale`` them, or both. It changes no output and protects
            nothing: see ``inspect``.
        key_bytes: memory that the server's rotation keys may take while they are used; no cap if not given.

    Raises:
        InsecureParameters: the program's parameters protect nothing, and ``allow_insecure`` is not given.
        ObfuscationError: there is no such obfuscation.
        WrongAnswerError: the fresh keys gave a wrong answer to a known question.
    """

    def __init__(
        self,
        program: Program,
        backend: str | None = None,
        *,
        keys: AnyKeyHolder | None = None,
        allow_insecure: bool = False,
        progress: Report | None = None,
        obfuscate: Collection[str] = (),
        key_bytes: int | None = None,
    ) -> None:
        start = time.perf_counter()
        parameters, needs = program.parameters, program.keys
        check_secure(parameters, allow_insecure=allow_insecure)
        check_kinds(obfuscate)
        self.backend = encrypting_backend(parameters) if backend is None else backend
        self.program = program
        self._progress = progress
        self._client = Client(program.for_client(), keys or make_key_holder(self.backend, parameters, needs))
        registration = self._client.registration_pieces()
        public_key = read_registration(program, registration, allow_insecure=allow_insecure)
        self.evaluator: AnyEvaluator = make_evaluator(
            self.backend, parameters, public_key, needs, key_bytes=key_bytes, key_uses=program.key_uses
        )
        self._server: Server[Any] = Server(program, self.evaluator, allow_insecure=allow_insecure, obfuscate=obfuscate)
        self._key_bytes = sum(map(len, registration))
        self._key_seconds = time.perf_counter() - start

    @property
    def record(self) -> Record | None:
        """Called with each node of a CKKS program and its ciphertexts; for whoever holds the keys and wants to look."""
        return self._server.record

    @record.setter
    def record(self, record: Record | None) -> None:
        self._server.record = record

    def run(self, inputs: Mapping[str, Array], *, clip: bool = False) -> SessionResult:
        """Run all rounds. Inputs with a leading dimension that is a multiple of the one compiled for are run in turn.

        Args:
            inputs: by the model's input names.
            clip: clip inputs to the declared range, and count, instead of refusing them.

        Raises:
            InputError: the inputs are not what the program takes.
            RuntimeFailure: a sum could not be computed.
        """
        start = time.perf_counter()
        batches = split_batch(self.program.inputs, inputs)
        tally = _Tally()
        meter = Meter(len(batches) * program_work(self.program), self._progress)
        results = [self._run_batch(batch, tally, meter, clip=clip) for batch in batches]
        return self._result(one_after_another(results), len(batches), tally, time.perf_counter() - start)

    def _run_batch(self, inputs: Mapping[str, Array], tally: _Tally, meter: Meter, *, clip: bool) -> dict[str, Array]:
        state = self._client.start(inputs, clip=clip)
        for number, round_ in enumerate(self.program.rounds, 1):
            upload = self._client.upload(state)
            tally.up += len(upload)
            meter.advance(upload_work(round_.exchange), f"round {number}: encrypted")
            answer = self._serve(upload, number, round_.exchange, meter)
            del upload
            tally.down += len(answer)
            self._client.receive(state, answer)
        tally.clipped.update(state.clipped)
        tally.saturated.update(state.saturated)
        return self._client.outputs(state)

    def _serve(self, upload: bytes, number: int, exchange: Exchange, meter: Meter) -> bytes:
        graph = self.program.rounds[number - 1].server
        self._server.observe = lambda node: meter.advance(node_work(graph, node), f"round {number}: {node.out}")
        answer = self._server.run_round(upload)
        meter.advance(answer_work(exchange), f"round {number}: answered")
        return answer

    def _result(self, outputs: dict[str, Array], batches: int, tally: _Tally, total: float) -> SessionResult:
        simulated = self.evaluator if isinstance(self.evaluator, SimulatedEvaluator) else None
        client, server = self._client.watch.take(), self._server.watch.take()
        return SessionResult(
            outputs=outputs,
            rounds=len(self.program.rounds),
            batches=batches,
            seconds=self._seconds(client, server) | {"total": total},
            parts={f"client.{k}": s for k, s in client.items()} | {f"server.{k}": s for k, s in server.items()},
            traffic=Traffic(tally.up, tally.down, self._key_bytes),
            peak_rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            clipped=dict(tally.clipped),
            saturated=dict(tally.saturated),
            room_left_bits=simulated.room_left_bits if simulated else None,
        )

    def _seconds(self, client: Mapping[str, float], server: Mapping[str, float]) -> dict[str, float]:
        return {"client": sum(client.values()), "server": sum(server.values()), "keys": self._key_seconds}
