"""Programs of full mode through registration, server, client and session."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.runtime.ckks.programs import TINY, TINY_SECURE, tiny_inputs, tiny_outputs, tiny_program
from tests.runtime.programs import tiny_program as tiny_bfv_program

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import KeyNeeds
from enclair.compiler.ir.reference import run
from enclair.compiler.program import Program
from enclair.runtime.backends.ckks.keys import generate_keys, save_keys
from enclair.runtime.backends.ckks.secret import CkksKeyHolder
from enclair.runtime.backends.evaluators import encrypting_backend, make_evaluator
from enclair.runtime.backends.key_holders import load_key_file, make_key_file, make_key_holder
from enclair.runtime.client import Client
from enclair.runtime.crossing import join_arrays, split_arrays
from enclair.runtime.errors import (
    InsecureParameters,
    KeyFileError,
    MessageError,
    ObfuscationError,
    PayloadError,
    RepeatedRound,
    RuntimeFailure,
    SecretKeyOffered,
    WrongCount,
    WrongKey,
    WrongType,
)
from enclair.runtime.protocol import CHECKSUM_BYTES, MessageType, read_message, seal
from enclair.runtime.server import Server, check_key, kept_types, read_registration
from enclair.runtime.session import Session
from enclair.runtime.store import DirectoryStore

PROGRAM = tiny_program()


@cache
def keys_of(parameters: CkksParameters = TINY) -> CkksKeyHolder:
    return generate_keys(parameters, tiny_program(parameters).keys)


@pytest.fixture
def client() -> Client:
    return Client(PROGRAM.for_client(), keys_of())


def make_server(client: Client, program: Program = PROGRAM, **options: object) -> Server:
    registration = read_registration(program, client.registration(), allow_insecure=True)
    evaluator = make_evaluator("ckks", program.parameters, registration, program.keys)
    return Server(program, evaluator, allow_insecure=True, **options)


@pytest.mark.parametrize("backend", ["clear", "simulated", "ckks", None])
def test_every_backend_runs_the_program(backend: str | None) -> None:
    keys = keys_of() if backend in {"ckks", None} else None
    inputs = tiny_inputs()
    result = Session(PROGRAM, backend, keys=keys, allow_insecure=True).run(inputs)
    np.testing.assert_allclose(result.outputs["out"], tiny_outputs(**inputs), atol=1e-7)
    assert (result.rounds, result.batches) == (1, 1)
    assert result.traffic.up > 0 < result.traffic.down


def test_the_reference_is_what_the_program_computes() -> None:
    inputs = tiny_inputs()
    np.testing.assert_allclose(run(PROGRAM.fixed, inputs)["out"], tiny_outputs(**inputs), atol=1e-12)


def test_with_secure_parameters_and_fresh_keys() -> None:
    program, inputs = tiny_program(TINY_SECURE), tiny_inputs(TINY_SECURE)
    session = Session(program)
    result = session.run(inputs)
    np.testing.assert_allclose(result.outputs["out"], tiny_outputs(**inputs), atol=1e-6)
    assert program.keys.levels == (1, 2, 2, 2, 2)
    keys = 4 * TINY_SECURE.key_bytes + TINY_SECURE.key_bytes_at(1)
    assert result.traffic.keys == 156 + TINY_SECURE.public_key_bytes + keys
    levels = [type_.level for _, type_ in program.rounds[0].exchange.uploads]
    assert levels == [2, 0]
    assert result.traffic.up == 156 + sum(8 + TINY_SECURE.ciphertext_bytes(level) for level in levels)
    assert result.traffic.down == 156 + 8 + TINY_SECURE.ciphertext_bytes(0)


def test_batches_are_run_in_turn() -> None:
    parts = [tiny_inputs(seed=seed) for seed in (1, 2)]
    inputs = {name: np.concatenate([part[name] for part in parts]) for name in ("x", "y")}
    result = Session(PROGRAM, keys=keys_of(), allow_insecure=True).run(inputs)
    assert result.batches == 2
    wanted = np.concatenate([tiny_outputs(**part) for part in parts])
    np.testing.assert_allclose(result.outputs["out"], wanted, atol=1e-7)


def test_weights_are_encoded_once(client: Client) -> None:
    server = make_server(client)
    server.prepare()
    (prepared,) = server._prepared.values()
    state = client.start(tiny_inputs())
    client.receive(state, server.run_round(client.upload(state)))
    assert server._prepared[1] is prepared
    np.testing.assert_allclose(client.outputs(state)["out"], tiny_outputs(**tiny_inputs()), atol=1e-7)


def test_registration_says_how_many_keys(client: Client) -> None:
    came, payload = read_message(client.registration())
    assert (came.type, came.count) == (MessageType.PUBLIC_KEY, PROGRAM.keys.count)
    assert payload == keys_of().public_key()
    assert PROGRAM.keys == KeyNeeds((1, 2, 4, 12), relinearise=True, levels=(1, 2, 2, 2, 2))


def test_registration_with_other_keys(client: Client) -> None:
    came, payload = read_message(client.registration())
    fewer = seal(replace(came, count=came.count - 1), payload[: -TINY.key_bytes])
    with pytest.raises(WrongCount, match="with count 5 is due, got 4: use the client program exported"):
        read_registration(PROGRAM, fewer, allow_insecure=True)
    cut = read_registration(PROGRAM, seal(came, payload[: -TINY.key_bytes]), allow_insecure=True)
    with pytest.raises(PayloadError, match=r"a public key of these parameters with 5 evaluation keys has \d+ bytes"):
        make_evaluator("ckks", TINY, cut, PROGRAM.keys)


def test_registration_that_names_another_key(client: Client) -> None:
    message = client.registration()
    evaluator = make_evaluator("ckks", TINY, read_message(message)[1], PROGRAM.keys)
    check_key(evaluator, keys_of().key_id)
    with pytest.raises(WrongKey, match=r"the registration names key 000000000000..., its public key is"):
        check_key(evaluator, "0" * 32)


def test_insecure_parameters_are_refused(client: Client) -> None:
    message = client.registration()
    evaluator = make_evaluator("ckks", TINY, read_message(message)[1], PROGRAM.keys)
    for attempt in (
        lambda: Session(PROGRAM),
        lambda: Server(PROGRAM, evaluator),
        lambda: read_registration(PROGRAM, message),
    ):
        with pytest.raises(InsecureParameters, match="INSECURE_FOR_TESTS: they protect nothing"):
            attempt()


def test_secret_keys_are_refused(client: Client, tmp_path: object) -> None:
    save_keys(keys_of(), tmp_path / "secret.key")
    secret = (tmp_path / "secret.key").read_bytes()
    server = make_server(client)
    for attempt in (lambda: read_registration(PROGRAM, secret, allow_insecure=True), lambda: server.run_round(secret)):
        with pytest.raises(SecretKeyOffered, match="this is a secret key: it must never leave the client"):
            attempt()


def test_obfuscation_is_for_split_mode(client: Client) -> None:
    with pytest.raises(ObfuscationError, match="is for the answers of split mode, got permute, scale for a program of"):
        make_server(client, obfuscate=("scale", "permute"))
    with pytest.raises(ObfuscationError, match="obfuscation is for the answers of split mode"):
        Session(PROGRAM, keys=keys_of(), allow_insecure=True, obfuscate=("scale",))


def test_a_scaled_answer_is_refused(client: Client) -> None:
    state = client.start(tiny_inputs())
    came, payload = read_message(make_server(client).run_round(client.upload(state)))
    scaled = seal(replace(came, type=MessageType.SCALED_ANSWER), payload)
    with pytest.raises(WrongType, match="a message of type ANSWER is due, got SCALED_ANSWER"):
        client.receive(state, scaled)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:4], r"the payload ends within %x.packed of type ckks<1x128, level 2"),
        (lambda p: p[:-1], r"the payload ends within %y.packed of type ckks<1x128, level 0"),
        (lambda p: p + b"1234", "4 bytes follow the last array"),
        (lambda p: struct.pack("<Q", 2**63) + p[8:], r"the payload ends within %x.packed"),
        (
            lambda p: struct.pack("<Q", len(p) - 16) + p[8:-8] + bytes(8),
            r"1 times a ciphertext of level 2 needs \d+ by",
        ),
        (lambda p: p[:8] + b"\xff" * 8 + p[16:], "a residue of a ciphertext of level 2 is not below its prime"),
    ],
)
def test_malformed_uploads(client: Client, change: object, message: str) -> None:
    came, payload = read_message(client.upload(client.start(tiny_inputs())))
    server = make_server(client)
    with pytest.raises(PayloadError, match=message):
        server.run_round(seal(came, change(bytes(payload))))


def test_altered_and_repeated_uploads(client: Client) -> None:
    upload, server = client.upload(client.start(tiny_inputs())), make_server(client)
    altered = bytearray(upload)
    altered[200] ^= 1
    with pytest.raises(MessageError, match="checksum does not fit"):
        server.run_round(bytes(altered))
    server.run_round(upload)
    with pytest.raises(RepeatedRound, match="was served already"):
        server.run_round(upload)
    assert len(upload) > CHECKSUM_BYTES


def test_a_process_per_round(client: Client, tmp_path: object) -> None:
    evaluator = make_evaluator("ckks", TINY, keys_of().public_key(), PROGRAM.keys)
    assert kept_types(PROGRAM) == {}
    store = DirectoryStore(tmp_path, evaluator, kept_types(PROGRAM))
    state = client.start(tiny_inputs())
    upload = client.upload(state)
    client.receive(state, Server(PROGRAM, evaluator, store, allow_insecure=True).run_round(upload))
    np.testing.assert_allclose(client.outputs(state)["out"], tiny_outputs(**tiny_inputs()), atol=1e-7)
    with pytest.raises(RepeatedRound, match="was served already"):
        Server(PROGRAM, evaluator, store, allow_insecure=True).run_round(upload)


def test_a_store_keeps_ciphertexts_by_their_type(tmp_path: object) -> None:
    evaluator = make_evaluator("ckks", TINY, keys_of().public_key(), PROGRAM.keys)
    types = dict(PROGRAM.rounds[0].exchange.uploads)
    type_, values = types["x.packed"], tiny_inputs()["x"]
    store = DirectoryStore(tmp_path, evaluator, types)
    store.claim("0" * 32, 1)
    store.keep("0" * 32, {"x.packed": evaluator.load(keys_of().encrypt(values, type_), type_)})
    (kept,) = store.kept("0" * 32).values()
    np.testing.assert_allclose(keys_of().decrypt(evaluator.dump(kept), type_), values, atol=1e-7)


def test_arrays_behind_their_lengths() -> None:
    arrays = tuple(PROGRAM.rounds[0].exchange.uploads)
    payload = join_arrays([b"", b"abc"])
    assert [bytes(part) for part in split_arrays(payload, arrays)] == [b"", b"abc"]


@pytest.mark.parametrize(
    ("program", "names"),
    [(PROGRAM, "clear, simulated, ckks"), (tiny_bfv_program(), "clear, simulated, bfv")],
    ids=["ckks", "bfv"],
)
def test_unknown_backends(program: Program, names: str) -> None:
    parameters = program.parameters
    assert encrypting_backend(parameters) == names.split(", ")[2]
    for make in (
        lambda: make_evaluator("tfhe", parameters, b"", program.keys),
        lambda: make_key_holder("tfhe", parameters, program.keys),
    ):
        with pytest.raises(RuntimeFailure, match=re.escape(f"the backends are {names}, got 'tfhe'")):
            make()


@pytest.mark.parametrize("program", [PROGRAM, tiny_bfv_program()], ids=["ckks", "bfv"])
def test_key_files_of_either_scheme(program: Program, tmp_path: object) -> None:
    made = make_key_file(program.parameters, program.keys, tmp_path / "secret.key")
    assert load_key_file(program.parameters, tmp_path / "secret.key").key_id == made.key_id


@pytest.mark.parametrize(("program", "other"), [(PROGRAM, tiny_bfv_program()), (tiny_bfv_program(), PROGRAM)])
def test_a_key_file_of_the_other_scheme(program: Program, other: Program, tmp_path: object) -> None:
    make_key_file(program.parameters, program.keys, tmp_path / "secret.key")
    with pytest.raises(
        KeyFileError, match=r"secret.key is not valid: .*(CKKS parameters must have|parameters must be)"
    ):
        load_key_file(other.parameters, tmp_path / "secret.key")
