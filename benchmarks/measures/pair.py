"""Run a compiled program with client and server in two processes that exchange files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import enclair
from enclair.runtime.backends.evaluators import make_evaluator
from enclair.runtime.backends.key_holders import make_key_holder
from enclair.runtime.client import Client
from enclair.runtime.server import Server, read_registration
from measures.compiled import CLIENT, PROGRAM, load_inputs
from measures.processes import SPAWN, collect, start
from measures.timing import median_of, peak_memory, timed

Outputs = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Side:
    """What one side took: median seconds by part, peak bytes of memory, and seconds to get ready."""

    parts: dict[str, float]
    peak_memory: int
    ready_seconds: float


@dataclass(frozen=True)
class ClientSide(Side):
    """The client's, with the bytes of one run and the answers of all."""

    up: int
    down: int
    outputs: list[Outputs]


def run_pair(folder: Path, runs: int) -> tuple[ClientSide, Side]:
    """Run the program in a folder on the inputs beside it.

    Raises:
        ProcessFailed: one side failed.
    """
    ours, theirs = SPAWN.Pipe()
    client, server = collect([start(run_client, folder, runs, ours), start(run_server, folder, theirs)])
    return client, server


def run_client(folder: Path, runs: int, server: Connection) -> ClientSide:
    """The client's process."""
    program = enclair.load_client(folder / CLIENT)
    seconds, client = timed(lambda: Client(program, make_key_holder("bfv", program.parameters)))
    exchange(folder, server, client.registration())
    inputs, sizes = load_inputs(folder), (0, 0)
    tables, outputs = [], []
    for _ in range(runs):
        answer, sizes = run_once(client, inputs, folder, server)
        outputs.append(answer)
        tables.append(client.watch.take())
    server.send(None)
    return ClientSide(median_of(tables), peak_memory(), seconds, *sizes, outputs)


def run_once(
    client: Client, inputs: Mapping[str, Any], folder: Path, server: Connection
) -> tuple[Outputs, tuple[int, int]]:
    """All rounds; the outputs, and the bytes each way."""
    state, up, down = client.start(inputs, clip=True), 0, 0
    for _ in client.program.exchanges:
        upload = client.upload(state)
        up += len(upload)
        answer = exchange(folder, server, upload)
        del upload
        down += len(answer)
        client.receive(state, answer)
        del answer
    return client.outputs(state), (up, down)


def run_server(folder: Path, client: Connection) -> Side:
    """The server's process: a registration, then uploads until there are no more."""
    program = enclair.load(folder / PROGRAM)
    registration = Path(client.recv()).read_bytes()
    seconds, evaluator = timed(
        lambda: make_evaluator("bfv", program.parameters, read_registration(program, registration))
    )
    server: Server[Any] = Server(program, evaluator)
    reply(folder, client, b"")
    tables = []
    while (path := client.recv()) is not None:
        answer = server.run_round(Path(path).read_bytes())
        reply(folder, client, answer)
        del answer
        tables.append(server.watch.take())
    return Side(median_of(by_run(tables, len(program.rounds))), peak_memory(), seconds)


def by_run(tables: list[dict[str, float]], rounds: int) -> list[dict[str, float]]:
    """Seconds of each round, added up to seconds of each run."""
    runs = [tables[first : first + rounds] for first in range(0, len(tables), rounds)]
    return [{part: sum(table[part] for table in run) for part in run[0]} for run in runs]


def exchange(folder: Path, server: Connection, message: Any) -> bytes:
    """Send a message, and wait for the answer. Files carry them: a pipe would need the memory several times."""
    path = folder / "up.msg"
    path.write_bytes(message)
    server.send(str(path))
    return Path(server.recv()).read_bytes()


def reply(folder: Path, client: Connection, message: Any) -> None:
    """Send an answer."""
    path = folder / "down.msg"
    path.write_bytes(message)
    client.send(str(path))
