"""Commands of who owns the data: keygen, encrypt, client-stage, decrypt. Secret keys are read here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclair.cli import sessions
from enclair.cli.files import arrays_as_bytes, check_output, map_file, read_arrays, read_file, write_file
from enclair.cli.model_commands import note_limits
from enclair.cli.options import ClientFile, Clip, Force, Inputs, Json, Keys, MessageIn, Output, SessionFolder
from enclair.cli.output import emit, size_text
from enclair.runtime.errors import KeyFileError, MessageError, StateError, WrongRound

if TYPE_CHECKING:
    from enclair.compiler.program import ClientProgram
    from enclair.runtime.client import Client, ClientState

SECRET_KEY, PUBLIC_KEY = "secret.key", "public.key"
"""Files in the folder of keys. The second is for the server."""


def keygen(program: ClientFile, keys: Keys, as_json: Json = False) -> None:
    """Make keys for a program: secret.key, which stays here, and public.key, which goes to the server."""
    from enclair.runtime.backends.key_holders import make_key_file
    from enclair.runtime.client import Client

    client_program = _load(program)
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (SECRET_KEY, PUBLIC_KEY):
        if (keys / name).exists():
            raise KeyFileError(f"{keys / name} exists: keys are never overwritten; choose another folder")
    made = make_key_file(client_program.parameters, client_program.keys, keys / SECRET_KEY)
    registration = Client(client_program, made).registration_pieces()
    size = sum(map(len, registration))
    write_file(keys / PUBLIC_KEY, *registration, force=False)
    data = {
        "secret_key": str(keys / SECRET_KEY),
        "public_key": str(keys / PUBLIC_KEY),
        "key": made.key_id,
        "program": client_program.digest(),
        "bytes": size,
    }
    text = f"{keys / SECRET_KEY} stays here; {keys / PUBLIC_KEY} ({size_text(size)}) goes to the server"
    emit(data, text, as_json=as_json)


def encrypt(
    program: ClientFile,
    keys: Keys,
    inputs: Inputs,
    output: Output,
    state: SessionFolder = None,
    clip: Clip = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Begin a session: encrypt the inputs for the first round."""
    from enclair.runtime.inputs import split_batch

    check_output(output, force=force)
    client = _client(program, keys)
    batches = split_batch(client.program.inputs, read_arrays(inputs))
    states = [client.start(batch, clip=clip) for batch in batches]
    _send(client, states, output, state or _sessions(keys), force=force, as_json=as_json)


def client_stage(
    program: ClientFile,
    keys: Keys,
    message: MessageIn,
    output: Output,
    state: SessionFolder = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Decrypt a round's answer, apply the client's layers, encrypt for the next round."""
    check_output(output, force=force)
    client, folder = _client(program, keys), state or _sessions(keys)
    answers, states = _answers(client, message, folder)
    rounds = len(client.program.exchanges)
    if states[0].round == rounds:
        raise WrongRound(f"the answer of round {rounds} is the last: enclair decrypt makes the outputs of it")
    _receive(client, states, answers)
    _send(client, states, output, folder, force=force, as_json=as_json)


def decrypt(
    program: ClientFile,
    keys: Keys,
    message: MessageIn,
    output: Output,
    state: SessionFolder = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Decrypt the last round's answer, write the model's outputs, end the session."""
    from enclair.runtime.inputs import one_after_another

    check_output(output, force=force)
    client, folder = _client(program, keys), state or _sessions(keys)
    answers, states = _answers(client, message, folder)
    rounds = len(client.program.exchanges)
    if states[0].round != rounds:
        raise WrongRound(
            f"the answer of round {states[0].round} of {rounds} is due, which is not the last: use enclair client-stage"
        )
    _receive(client, states, answers)
    joined = one_after_another([client.outputs(each) for each in states])
    write_file(output, arrays_as_bytes(joined), force=force, mode=0o600)
    sessions.end(folder, states[0].session)
    counts = _counts(states)
    data = {
        "output": str(output),
        "outputs": {name: list(array.shape) for name, array in joined.items()},
        "session": states[0].session,
        "rounds": rounds,
        "batches": len(states),
        **counts,
    }
    note_limits(**counts)
    emit(data, f"{output}: {', '.join(joined)} after {rounds} rounds", as_json=as_json)


def _load(path: Path) -> ClientProgram:
    import enclair

    return enclair.load_client(path)


def _client(path: Path, keys: Path) -> Client:
    """The client, once its keys are found to be this program's."""
    from enclair.runtime.backends.key_holders import load_key_file
    from enclair.runtime.client import Client
    from enclair.runtime.protocol import open_message, registration_envelope

    program = _load(path)
    secret = load_key_file(program.parameters, keys / SECRET_KEY)
    registration = map_file(keys / PUBLIC_KEY, "the public key that enclair keygen made beside the secret one")
    try:
        due = registration_envelope(program.digest(), program.parameters, secret.key_id, program.keys)
        open_message(registration, due)
    except MessageError as error:
        raise KeyFileError(
            f"the keys in {keys} are not for {path} ({error}); make keys for this program with enclair keygen"
        ) from None
    return Client(program, secret)


def _sessions(keys: Path) -> Path:
    return keys / "sessions"


def _answers(client: Client, message: Path, folder: Path) -> tuple[list[bytes], list[ClientState]]:
    """The answers in a file, and the sessions they continue."""
    from enclair.runtime.protocol import read_message, split_messages

    answers = split_messages(read_file(message, "the server's answer"))
    states = sessions.resume(folder, client.program.digest(), read_message(answers[0])[0].session)
    if len(answers) != len(states):
        raise StateError(
            f"the session has {len(states)} batches, {message} holds {len(answers)} answers: give the whole file"
        )
    return answers, states


def _receive(client: Client, states: Sequence[ClientState], answers: Sequence[bytes]) -> None:
    for state, answer in zip(states, answers, strict=True):
        client.receive(state, answer)


def _send(
    client: Client, states: Sequence[ClientState], output: Path, folder: Path, *, force: bool, as_json: bool
) -> None:
    """Write the uploads of a round, then keep the sessions: if only the first succeeds, the command can be repeated."""
    uploads = [client.upload(state) for state in states]
    size = sum(map(len, uploads))
    write_file(output, b"".join(uploads), force=force)
    path = sessions.keep(folder, client.program.digest(), states)
    rounds, round_, counts = len(client.program.exchanges), states[0].round, _counts(states)
    data = {
        "output": str(output),
        "state": str(path),
        "session": states[0].session,
        "round": round_,
        "rounds": rounds,
        "batches": len(states),
        "bytes": size,
        **counts,
    }
    note_limits(**counts)
    emit(data, f"{output}: upload of round {round_} of {rounds}, {size_text(size)}", as_json=as_json)


def _counts(states: Sequence[ClientState]) -> dict[str, Any]:
    def total(kind: str) -> dict[str, int]:
        names = {name for state in states for name in getattr(state, kind)}
        return {name: sum(getattr(state, kind).get(name, 0) for state in states) for name in sorted(names)}

    return {"clipped": total("clipped"), "saturated": total("saturated")}


COMMANDS = {"keygen": keygen, "encrypt": encrypt, "client-stage": client_stage, "decrypt": decrypt}
