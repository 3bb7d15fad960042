"""The command of who serves the model: serve-stage. It reads public keys only, and refuses secret ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enclair.cli.files import check_output, map_file, read_file, write_file
from enclair.cli.obfuscation import report_obfuscation
from enclair.cli.options import Force, Json, MessageIn, Obfuscate, Output, ProgramFile
from enclair.cli.output import emit, progress_bar, size_text
from enclair.runtime.errors import SecretKeyOffered

if TYPE_CHECKING:
    from enclair.compiler.program import Program
    from enclair.runtime.progress import Report


def serve_stage(
    program: ProgramFile,
    public_key: Annotated[Path, typer.Option("--public-key", help="The client's public.key.")],
    state: Annotated[Path, typer.Option("--state", help="Folder in which the server remembers sessions.")],
    message: MessageIn,
    output: Output,
    obfuscate: Obfuscate = "",
    key_bytes: Annotated[
        int | None, typer.Option(help="Full mode: memory for rotation keys; others are read again and again.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Compute one round on ciphertexts. A round is served once."""
    import enclair
    from enclair.runtime.obfuscation import kinds_of
    from enclair.runtime.protocol import read_message, split_messages

    kinds = kinds_of(obfuscate)
    check_output(output, force=force)
    _refuse_secret_keys(state)
    loaded = enclair.load(program)
    registration = map_file(public_key, "the client's public.key")
    uploads = split_messages(read_file(message, "the client's upload"))
    envelopes = [read_message(upload)[0] for upload in uploads]
    start = time.perf_counter()
    with progress_bar() as progress:
        answers = _serve(loaded, registration, state, uploads, kinds, progress, key_bytes)
    write_file(output, b"".join(answers), force=force)
    size, seconds = sum(map(len, answers)), time.perf_counter() - start
    data = {
        "output": str(output),
        "session": envelopes[0].session,
        "round": envelopes[0].round,
        "rounds": len(loaded.rounds),
        "batches": len(uploads),
        "bytes": {"up": sum(map(len, uploads)), "down": size},
        "seconds": seconds,
        "obfuscation": report_obfuscation(loaded, kinds, envelopes[0].round),
    }
    text = f"{output}: answer of round {envelopes[0].round} of {len(loaded.rounds)}, {size_text(size)}, {seconds:.1f} s"
    emit(data, text, as_json=as_json)


def _serve(
    program: Program,
    registration: memoryview,
    state: Path,
    uploads: list[bytes],
    kinds: tuple[str, ...],
    progress: Report | None,
    key_bytes: int | None,
) -> list[bytes]:
    from enclair.runtime.backends.evaluators import encrypting_backend, make_evaluator
    from enclair.runtime.progress import Meter, graph_work, node_work
    from enclair.runtime.protocol import read_message
    from enclair.runtime.server import Server, check_key, kept_types, read_registration
    from enclair.runtime.store import DirectoryStore

    backend, public_key = encrypting_backend(program.parameters), read_registration(program, registration)
    evaluator = make_evaluator(
        backend, program.parameters, public_key, program.keys, key_bytes=key_bytes, key_uses=program.key_uses
    )
    check_key(evaluator, read_message(registration)[0].key)
    store: DirectoryStore[Any] = DirectoryStore(state, evaluator, kept_types(program))
    server: Server[Any] = Server(program, evaluator, store, obfuscate=kinds)
    graphs = {number: round_.server for number, round_ in enumerate(program.rounds, 1)}
    graph = graphs.get(read_message(uploads[0])[0].round)
    if graph is not None:
        meter = Meter(len(uploads) * graph_work(graph), progress)
        server.observe = lambda node: meter.advance(node_work(graph, node), str(node.out))
    return [server.run_round(upload) for upload in uploads]


def _refuse_secret_keys(state: Path) -> None:
    from enclair.runtime.protocol import SECRET_KEY_MAGIC

    for path in sorted(state.rglob("*")) if state.is_dir() else ():
        if path.is_file() and _start(path, len(SECRET_KEY_MAGIC)) == SECRET_KEY_MAGIC:
            raise SecretKeyOffered(
                f"{path} is a secret key: it must never be on the server; remove it and make new keys"
            )


def _start(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)


COMMANDS = {"serve-stage": serve_stage}
