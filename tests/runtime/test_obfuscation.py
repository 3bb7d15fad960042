"""A server that obfuscates: another order and other sizes of channels in every session, and the same outputs."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models import Net
from tests.strategies import samples_of

from enclair import compiler
from enclair.compiler import Program, SplitOptions
from enclair.compiler.ir.graph import Array
from enclair.compiler.ir.ops.packed import Unpack
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import Encoding
from enclair.compiler.obfuscation.analysis import Crossing
from enclair.compiler.program import LARGEST_FACTOR
from enclair.runtime.backends.clear import ClearEvaluator, ClearKeyHolder
from enclair.runtime.backends.interface import Integers, Payload
from enclair.runtime.client import Client, ClientState
from enclair.runtime.client_state import load_state, save_state
from enclair.runtime.errors import ObfuscationError, PayloadError, StateError, UnevenAnswer, WrongType
from enclair.runtime.factors import FACTOR_BYTES, split_factors, with_factors
from enclair.runtime.obfuscation import channel_order, check_kinds, kinds_of, permutation
from enclair.runtime.protocol import MessageType, read_message, seal
from enclair.runtime.server import Server, kept_types
from enclair.runtime.session import Session
from enclair.runtime.store import DirectoryStore, Store

CHANNELS, EXTENT = 6, 4
BOTH = ("permute", "scale")


class Diary(ClearKeyHolder):
    """Keeps what it decrypts."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.parameters)
        self.answers: list[Integers] = []

    def decrypt(self, payload: Payload, count: int, encoding: Encoding = Encoding.SLOTS) -> Integers:
        self.answers.append(super().decrypt(payload, count, encoding))
        return self.answers[-1]


@pytest.fixture(scope="module")
def program() -> Program:
    """Six channels, ReLU, six channels, ReLU, one channel."""
    net = Net()
    h = net.conv(net.input(1, 1, EXTENT, EXTENT), CHANNELS)
    h = net.relu(net.conv(net.relu(h), CHANNELS))
    graph = net.graph(net.conv(h, 1))
    return compiler.compile(graph, samples_of(graph), options=SplitOptions(activation_bits=8, weight_bits=8))


@pytest.fixture(scope="module")
def inputs(program: Program) -> dict[str, Array]:
    (spec,) = program.inputs
    return {"x": np.random.default_rng(1).uniform(spec.low, spec.high, spec.shape)}


@pytest.fixture(scope="module")
def wanted(program: Program, inputs: dict[str, Array]) -> Array:
    return next(iter(run(program.fixed, inputs).values()))


def serve(program: Program, kinds: Sequence[str], store: Store[Any] | None = None) -> Server[Any]:
    return Server(program, ClearEvaluator(program.parameters), store, obfuscate=kinds)


def decrypted(program: Program, inputs: dict[str, Array], kinds: Sequence[str]) -> tuple[list[Integers], Array]:
    """The rows of each answer of a session, as the client decrypts them where they hold something, and the output."""
    diary = Diary(program)
    client, server = Client(program.for_client(), diary), serve(program, kinds)
    state = client.start(inputs)
    for _ in program.rounds:
        client.receive(state, server.run_round(client.upload(state)))
    layouts = [node.op.layout for r in program.rounds for node in r.client.nodes if isinstance(node.op, Unpack)]
    held = [np.where(x.index() >= 0, rows, 0) for x, rows in zip(layouts, diary.answers, strict=True)]
    return held, next(iter(client.outputs(state).values()))


def by_channel(rows: Integers) -> list[bytes]:
    return [channel.tobytes() for channel in rows.reshape(CHANNELS, -1)]


@pytest.mark.parametrize("kinds", [(), ("permute",), ("scale",), BOTH])
@pytest.mark.parametrize("backend", ["clear", "simulated"])
def test_outputs_stay_as_they_are(program, inputs, wanted, backend: str, kinds: tuple[str, ...]) -> None:
    for _ in range(3):
        result = Session(program, backend, obfuscate=kinds).run(inputs)
        np.testing.assert_array_equal(next(iter(result.outputs.values())), wanted)


def test_each_session_shows_the_same_channels_in_another_order(program, inputs) -> None:
    plain, _ = decrypted(program, inputs, ())
    sessions = [decrypted(program, inputs, ("permute",))[0] for _ in range(8)]
    for number in (0, 1):
        orders = {tuple(by_channel(answers[number])) for answers in sessions}
        assert len(orders) > 1
        assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(by_channel(plain[number])))}
    np.testing.assert_array_equal(sessions[0][2], plain[2])


def test_layers_of_a_session_have_orders_of_their_own(program, inputs) -> None:
    plain, _ = decrypted(program, inputs, ())
    found = []
    for _ in range(8):
        answers, _ = decrypted(program, inputs, ("permute",))
        found.append([[by_channel(plain[n]).index(row) for row in by_channel(answers[n])] for n in (0, 1)])
    assert any(first != second for first, second in found)


def test_each_channel_is_a_multiple_of_itself(program, inputs) -> None:
    plain, _ = decrypted(program, inputs, ())
    scaled, _ = decrypted(program, inputs, ("scale",))
    one, other = plain[0].reshape(CHANNELS, -1), scaled[0].reshape(CHANNELS, -1)
    factors = np.array([np.abs(b).max() // np.abs(a).max() for a, b in zip(one, other, strict=True)])
    np.testing.assert_array_equal(one * factors[:, None], other)
    assert len(set(factors.tolist())) > 1


def test_a_process_per_round_keeps_the_order(program, inputs, wanted, tmp_path: Path) -> None:
    evaluator = ClearEvaluator(program.parameters)
    client = Client(program.for_client(), Diary(program))
    state = client.start(inputs)
    for number, kinds in enumerate((BOTH, (), ("permute",))):
        store = DirectoryStore(tmp_path / "server", evaluator, kept_types(program))
        client.receive(state, serve(program, kinds, store).run_round(client.upload(state)))
        save_state(state, program.digest(), tmp_path / f"client{number}")
        state = load_state(program.digest(), tmp_path / f"client{number}")
    np.testing.assert_array_equal(next(iter(client.outputs(state).values())), wanted)
    (kept,) = (tmp_path / "server").rglob("permutations")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("altered", "permutations was altered or cut: start a new session"),
        ("missing", r"session .*\.\.\. began without permutations, or they are gone: start a new one"),
    ],
)
def test_a_seed_that_is_gone(program, inputs, tmp_path: Path, fault: str, message: str) -> None:
    store = DirectoryStore(tmp_path, ClearEvaluator(program.parameters), kept_types(program))
    client, server = Client(program.for_client(), Diary(program)), serve(program, BOTH, store)
    state = client.start(inputs)
    client.receive(state, server.run_round(client.upload(state)))
    (kept,) = tmp_path.rglob("permutations")
    data = kept.read_bytes()
    kept.unlink()
    if fault == "altered":
        kept.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StateError, match=message):
        server.run_round(client.upload(state))


def test_a_session_that_began_plain_cannot_be_permuted_later(program, inputs) -> None:
    client = Client(program.for_client(), Diary(program))
    state = client.start(inputs)
    plain = serve(program, ())
    client.receive(state, plain.run_round(client.upload(state)))
    with pytest.raises(StateError, match=r"began without permutations, or they are gone: start a new one"):
        serve(program, ("permute",), plain._store).run_round(client.upload(state))


@pytest.mark.parametrize("kinds", [("shuffle",), ("permute", "hide")])
def test_unknown_kinds(program: Program, kinds: tuple[str, ...]) -> None:
    message = f"obfuscation is permute or scale, got '{kinds[-1]}'"
    for attempt in (lambda: serve(program, kinds), lambda: Session(program, "clear", obfuscate=kinds)):
        with pytest.raises(ObfuscationError, match=message):
            attempt()


def test_kinds_in_a_text() -> None:
    assert kinds_of("") == ()
    assert kinds_of("permute, scale") == BOTH
    with pytest.raises(ObfuscationError, match="obfuscation is permute or scale, got ''"):
        kinds_of("permute,")
    with pytest.raises(ObfuscationError, match="obfuscate takes several of permute, scale, got the text 'scale'"):
        check_kinds("scale")


def test_permutations_follow_from_the_seed() -> None:
    first = permutation(b"a" * 32, 0, 50)
    np.testing.assert_array_equal(first, permutation(b"a" * 32, 0, 50))
    assert sorted(first.tolist()) == list(range(50))
    for seed, number in ((b"b" * 32, 0), (b"a" * 32, 1)):
        assert (permutation(seed, number, 50) != first).any()


def test_permutations_are_uniform() -> None:
    """Each of the 6 orders of 3 channels about 1000 times: 200 off is beyond 6 standard deviations."""
    drawn = [tuple(permutation(b"a" * 32, number, 3).tolist()) for number in range(6000)]
    counts = [drawn.count(order) for order in sorted(set(drawn))]
    assert len(counts) == 6
    assert max(abs(count - 1000) for count in counts) < 200


def test_runs_are_permuted_one_by_one() -> None:
    crossing = Crossing(np.arange(9)[:, None], ((4, 4), (-1, 2), (7, 3)))
    order = channel_order(crossing, b"a" * 32)
    np.testing.assert_array_equal(order[:4], permutation(b"a" * 32, 4, 4))
    np.testing.assert_array_equal(order[4:6], (4, 5))
    np.testing.assert_array_equal(order[6:], 6 + permutation(b"a" * 32, 7, 3))


def scaled_answer(program: Program, inputs: dict[str, Array]) -> tuple[Client, ClientState, bytes]:
    client = Client(program.for_client(), Diary(program))
    state = client.start(inputs)
    return client, state, serve(program, ("scale",)).run_round(client.upload(state))


def test_the_message_says_that_factors_come_first(program, inputs) -> None:
    client, state, answer = scaled_answer(program, inputs)
    envelope, payload = read_message(answer)
    count = program.rounds[0].exchange.answer_count
    assert (envelope.type, envelope.count) == (MessageType.SCALED_ANSWER, count)
    factors, rest = split_factors(payload, count)
    assert len(payload) - len(rest) == FACTOR_BYTES * count
    assert with_factors(factors, rest) == payload
    client.receive(state, answer)


@pytest.mark.parametrize("factor", [0, LARGEST_FACTOR + 1, 2**32 - 1])
def test_factors_out_of_range(program, inputs, factor: int) -> None:
    client, state, answer = scaled_answer(program, inputs)
    envelope, payload = read_message(answer)
    wrong = factor.to_bytes(4, "little") + payload[FACTOR_BYTES:]
    with pytest.raises(PayloadError, match=f"a factor must be 1 to {LARGEST_FACTOR}, got {factor}: send the answer"):
        client.receive(state, seal(envelope, wrong))
    client.receive(state, answer)


def test_factors_that_are_cut(program, inputs) -> None:
    client, state, answer = scaled_answer(program, inputs)
    envelope, payload = read_message(answer)
    count = program.rounds[0].exchange.answer_count
    with pytest.raises(PayloadError, match=f"{count} factors need {4 * count} bytes, got 7: send the answer again"):
        client.receive(state, seal(envelope, payload[:7]))


def test_an_upload_does_not_pass_for_a_scaled_answer(program, inputs) -> None:
    client, state, answer = scaled_answer(program, inputs)
    envelope, payload = read_message(answer)
    with pytest.raises(WrongType, match="a message of type ANSWER is due, got UPLOAD"):
        client.receive(state, seal(replace(envelope, type=MessageType.UPLOAD), payload))


def test_other_factors_are_said_when_the_server_cannot_hear_it(program, inputs, tmp_path: Path) -> None:
    """The client goes on to the end: to stop would tell the server about decrypted values."""
    client = Client(program.for_client(), Diary(program))
    server, state = serve(program, ("scale",)), client.start(inputs)
    for number in range(len(program.rounds)):
        envelope, payload = read_message(server.run_round(client.upload(state)))
        if number == 0:
            factors, ciphers = split_factors(payload, envelope.count)
            payload = with_factors(np.full_like(factors, 65521), ciphers)
        client.receive(state, seal(envelope, payload))
        save_state(state, program.digest(), tmp_path / "state")
        state = load_state(program.digest(), tmp_path / "state")
    message = (
        r"\d+ decrypted values are no multiples of the factors that came with them: an answer was altered, or made"
    )
    with pytest.raises(UnevenAnswer, match=message):
        client.outputs(state)
