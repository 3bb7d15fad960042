"""Client and server exchange bytes; whatever is wrong with them is refused, and nothing is served twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.runtime.programs import SMALL, SMALL_CRT, tiny_program, tiny_reference

from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.keys import save_keys
from enclair.runtime.backends.bfv.secret import BfvKeyHolder, make_keys
from enclair.runtime.client import Client, ClientState
from enclair.runtime.errors import (
    Altered,
    InsecureParameters,
    PayloadError,
    RepeatedRound,
    RuntimeFailure,
    SecretKeyOffered,
    StateError,
    Truncated,
    WrongCount,
    WrongKey,
    WrongParameters,
    WrongProgram,
    WrongRound,
    WrongSession,
    WrongType,
)
from enclair.runtime.executor import apply, run_server_graph
from enclair.runtime.protocol import MessageType, read_message, seal
from enclair.runtime.server import Server, check_key, kept_after, kept_types, read_registration
from enclair.runtime.store import DirectoryStore

PROGRAM = tiny_program()
X = {"x": np.linspace(-1, 1, 8)[None]}


@pytest.fixture
def client(keys: BfvKeyHolder) -> Client:
    return Client(PROGRAM.for_client(), keys)


@pytest.fixture
def server(evaluator: BfvEvaluator) -> Server:
    return Server(PROGRAM, evaluator, allow_insecure=True)


@pytest.fixture
def state(client: Client) -> ClientState:
    return client.start(X)


def test_both_rounds(client: Client, server: Server, state: ClientState) -> None:
    for _ in PROGRAM.rounds:
        client.receive(state, server.run_round(client.upload(state)))
    np.testing.assert_array_equal(client.outputs(state)["out"], tiny_reference(X["x"]))
    assert set(state.values) == {"out"}
    assert state.saturated.keys() == {"x.rounded", "relu"}


def test_sessions_side_by_side(client: Client, server: Server) -> None:
    inputs = [{"x": np.full((1, 8), value)} for value in (-0.5, 0.25)]
    states = [client.start(x) for x in inputs]
    for _ in PROGRAM.rounds:
        for state in states:
            client.receive(state, server.run_round(client.upload(state)))
    for state, x in zip(states, inputs, strict=True):
        np.testing.assert_array_equal(client.outputs(state)["out"], tiny_reference(x["x"]))


def test_repeated_round(client: Client, server: Server, state: ClientState) -> None:
    upload = client.upload(state)
    client.receive(state, server.run_round(upload))
    with pytest.raises(RepeatedRound, match=r"round 1 of session .*\.\.\. was served already: start a new session"):
        server.run_round(upload)


def test_rounds_out_of_order(client: Client, server: Server, state: ClientState) -> None:
    _, payload = read_message(client.upload(state))
    envelope, _ = read_message(client.upload(state))
    second = seal(replace(envelope, round=2, count=4), payload[: len(payload) // 2])
    with pytest.raises(WrongRound, match=r"round 1 of session .* is due, got 2: send the rounds in order"):
        server.run_round(second)
    for round_ in (0, 3):
        with pytest.raises(WrongRound, match=f"the program has rounds 1 to 2, got {round_}: start a new session"):
            server.run_round(seal(replace(envelope, round=round_), payload))


def change(field: str, value: object) -> Callable[[bytes], bytes]:
    def changed(message: bytes) -> bytes:
        envelope, payload = read_message(message)
        return seal(replace(envelope, **{field: value}), payload)

    return changed


@pytest.mark.parametrize(
    ("alter", "error"),
    [
        (change("program", tiny_program(seed=1).digest()), WrongProgram),
        (change("parameters", SMALL_CRT.digest()), WrongParameters),
        (change("key", "00" * 16), WrongKey),
        (change("type", MessageType.ANSWER), WrongType),
        (change("count", 9), WrongCount),
        (lambda message: message[:-1], Truncated),
        (lambda message: message[:500] + bytes(1 - message[500] % 2) + message[501:], (Altered, Truncated)),
    ],
)
def test_altered_uploads_and_answers(client, server, state, alter: Callable[[bytes], bytes], error) -> None:
    upload = client.upload(state)
    with pytest.raises(error):
        server.run_round(alter(upload))
    answer = server.run_round(upload)
    if alter(answer) != answer:
        with pytest.raises(error):
            client.receive(state, alter(answer))
    client.receive(state, answer)


def test_residues_beyond_their_prime_do_not_use_up_the_round(
    client: Client, server: Server, state: ClientState
) -> None:
    envelope, payload = read_message(client.upload(state))
    with pytest.raises(PayloadError, match="not below its prime"):
        server.run_round(seal(envelope, b"\xff" * len(payload)))
    with pytest.raises(PayloadError, match="8 x ciphertext need 15360 bytes, got 15352"):
        server.run_round(seal(envelope, payload[:-8]))
    client.receive(state, server.run_round(seal(envelope, payload)))


def test_answers_of_another_session_or_round(client: Client, server: Server) -> None:
    one, other = client.start(X), client.start(X)
    answer = server.run_round(client.upload(one))
    with pytest.raises(WrongSession, match="a message of session"):
        client.receive(other, answer)
    client.receive(one, answer)
    with pytest.raises(WrongRound, match="a message of round 2 is due, got 1"):
        client.receive(one, answer)


def test_another_key(server: Server) -> None:
    stranger = Client(PROGRAM.for_client(), make_keys(SMALL))
    with pytest.raises(WrongKey, match="register the public key that belongs to the secret key in use"):
        server.run_round(stranger.upload(stranger.start(X)))


def test_client_out_of_turn(client: Client, server: Server, state: ClientState) -> None:
    with pytest.raises(WrongRound, match="the outputs come after round 2, round 1 is due"):
        client.outputs(state)
    for _ in PROGRAM.rounds:
        client.receive(state, server.run_round(client.upload(state)))
    for attempt in (lambda: client.upload(state), lambda: client.receive(state, b"")):
        with pytest.raises(WrongRound, match="the session is over after round 2: start a new one"):
            attempt()


def test_client_that_lost_a_value(client: Client, server: Server, state: ClientState) -> None:
    client.receive(state, server.run_round(client.upload(state)))
    answer = server.run_round(client.upload(state))
    client._needed_from = lambda _: set()
    stage = PROGRAM.rounds[1].client
    lost = ClientState(state.session, 2, {})
    with pytest.raises(
        StateError, match="the session lacks total, which the client computed before: start a new session"
    ):
        client._run_stage(stage, lost)
    client.receive(state, answer)


def test_registration(client: Client, keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    message = client.registration()
    assert read_registration(PROGRAM, message, allow_insecure=True) == keys.public_key()
    check_key(evaluator, read_message(message)[0].key)
    with pytest.raises(WrongProgram, match="a message for program"):
        read_registration(tiny_program(seed=1), message, allow_insecure=True)
    with pytest.raises(
        WrongKey, match=r"the registration names key 000000000000.*, its public key is .*: send it again"
    ):
        check_key(evaluator, "0" * 32)


def test_secret_key_offered_to_the_server(tmp_path: Path, keys: BfvKeyHolder, server: Server) -> None:
    save_keys(keys, tmp_path / "my.key")
    secret = (tmp_path / "my.key").read_bytes()
    for attempt in (lambda: read_registration(PROGRAM, secret, allow_insecure=True), lambda: server.run_round(secret)):
        with pytest.raises(
            SecretKeyOffered, match="this is a secret key: it must never leave the client; send the public"
        ):
            attempt()


def test_insecure_parameters(client: Client, evaluator: BfvEvaluator) -> None:
    for attempt in (lambda: Server(PROGRAM, evaluator), lambda: read_registration(PROGRAM, client.registration())):
        with pytest.raises(
            InsecureParameters, match="INSECURE_FOR_TESTS: they protect nothing; compile it with secure"
        ):
            attempt()


def test_kept_values() -> None:
    assert [kept_after(PROGRAM, round_) for round_ in (0, 1, 2)] == [{"hidden"}, {"hidden"}, set()]
    assert {name: type_.count for name, type_ in kept_types(PROGRAM).items()} == {"hidden": 4}


def test_a_process_per_round(tmp_path: Path, client: Client, evaluator: BfvEvaluator, state: ClientState) -> None:
    def fresh_server() -> Server:
        store = DirectoryStore(tmp_path / "state", evaluator, kept_types(PROGRAM))
        return Server(PROGRAM, evaluator, store, allow_insecure=True)

    first = client.upload(state)
    client.receive(state, fresh_server().run_round(first))
    with pytest.raises(RepeatedRound, match=r"round 1 of session .* was served already"):
        fresh_server().run_round(first)
    client.receive(state, fresh_server().run_round(client.upload(state)))
    np.testing.assert_array_equal(client.outputs(state)["out"], tiny_reference(X["x"]))
    assert not list((tmp_path / "state" / evaluator.key_id / state.session).glob("*.ciphers"))


@pytest.mark.parametrize("fault", ["altered", "missing"])
def test_kept_values_that_are_gone(tmp_path, client, evaluator, state, fault: str) -> None:
    server = Server(PROGRAM, evaluator, DirectoryStore(tmp_path, evaluator, kept_types(PROGRAM)), allow_insecure=True)
    client.receive(state, server.run_round(client.upload(state)))
    (file,) = (tmp_path / evaluator.key_id / state.session).glob("*.ciphers")
    data = file.read_bytes()
    file.unlink()
    if fault == "altered":
        file.write_bytes(data[:-1] + b"\0" if data[-1] else data[:-1] + b"\1")
    message = (
        "was altered or cut: start a new session" if fault == "altered" else "%hidden is missing: an earlier round"
    )
    with pytest.raises(StateError, match=message):
        server.run_round(client.upload(state))


def test_sessions_belong_to_a_key(tmp_path: Path) -> None:
    """Who learns the name of another's session cannot use up its rounds."""

    def store(key_id: str) -> DirectoryStore[Any]:
        return DirectoryStore(tmp_path, SimpleNamespace(key_id=key_id), {})

    store("a" * 32).claim("0" * 32, 1)
    store("b" * 32).claim("0" * 32, 1)
    with pytest.raises(RepeatedRound, match=r"round 1 of session .* was served already"):
        store("b" * 32).claim("0" * 32, 1)


def test_refusals_name_the_node(evaluator: BfvEvaluator) -> None:
    graph = PROGRAM.rounds[0].server
    broken = replace(graph, arrays=graph.arrays | {"weights": graph.arrays["weights"] + 2**60})
    ciphers = evaluator.linear_combination(evaluator.load(b"", 0), *[np.full((1, 1, 1), -1)] * 3, 8)
    with pytest.raises(RuntimeFailure, match=r"a weight must lie within(.|\n)*in %linearcombination"):
        run_server_graph(broken, {"x.packed": ciphers}, evaluator)
    with pytest.raises(
        RuntimeFailure, match=r"the server cannot run Pack.*: it does not work on ciphertexts; this is a bug"
    ):
        apply(PROGRAM.prologue.nodes[-1].op, [ciphers], evaluator)
