"""Programs of full mode on ciphertexts: as far from the slots in the clear as was predicted, and no farther."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import log2
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.full_strategies import full_models, options_for, small_ring
from tests.models import classifier, convolutions
from tests.strategies import samples_of

from enclair import compiler
from enclair.compiler import FullOptions, Program
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.ops.activations import Sigmoid
from enclair.compiler.ir.ops.ckks import LinearTransform, Rescale
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.report import inspect
from enclair.runtime.backends.ckks.ciphers import Counts
from enclair.runtime.backends.ckks_interface import CkksKeyHolder
from enclair.runtime.backends.ckks_simulated import CkksSimulatedKeyHolder
from enclair.runtime.backends.evaluators import make_evaluator
from enclair.runtime.backends.key_holders import make_key_holder
from enclair.runtime.client import Client
from enclair.runtime.errors import (
    Altered,
    DecryptionFailed,
    InsecureParameters,
    PayloadError,
    RepeatedRound,
    WrongKey,
    WrongProgram,
)
from enclair.runtime.protocol import read_message, seal
from enclair.runtime.server import Server, read_registration
from enclair.runtime.session import Session

RING_DIM = 512


def compiled(graph: Graph, options: FullOptions) -> Program:
    with small_ring(RING_DIM):
        return compiler.compile(graph, samples_of(graph), options=options)


def gap(one: dict[str, Array], other: dict[str, Array]) -> float:
    return max(float(np.abs(one[name] - other[name]).max(initial=0.0)) for name in other)


def counts_of(session: Session) -> Counts:
    counts = session.evaluator.counts  # type: ignore[union-attr]
    assert isinstance(counts, Counts)
    return counts


@settings(max_examples=settings().max_examples // 4)
@given(graph=full_models(), share=st.sampled_from((1e-3, 0.01, 0.05, 0.2)), seed=st.integers(0, 99))
def test_random_programs_are_within_the_predicted_noise(graph: Graph, share: float, seed: int) -> None:
    program = compiled(graph, options_for(graph, share))
    limits = {spec.name: (spec.low, spec.high) for spec in program.inputs}
    inputs = {name: np.clip(array, *limits[name]) for name, array in samples_of(graph, 1, seed)[0].items()}
    simulated = CkksSimulatedKeyHolder(program.parameters)
    wanted = Session(program, "simulated", keys=simulated, allow_insecure=True).run(inputs).outputs
    clear = Session(program, "clear", allow_insecure=True).run(inputs).outputs
    assert all(np.array_equal(clear[name], array) for name, array in wanted.items())
    session = Session(program, allow_insecure=True)
    found = gap(session.run(inputs).outputs, wanted)
    event(f"bound is {round(log2(simulated.error_bound / max(found, 1e-300)))} bits above the gap")
    assert found <= simulated.error_bound
    check_counts(program, counts_of(session))


def integer_products(program: Program) -> int:
    """With weights that are apart from vectors: they are no plaintexts."""
    server, found = program.rounds[0].server, 0
    for node in server.nodes:
        if isinstance(node.op, LinearTransform) and node.op.weight_scale is not None:
            rows, cols, rotations, which, weights = (server.constant(arg) for arg in node.args[1:6])
            kept = np.stack([rows, cols, rotations, which])[:, weights != 0]
            found += len(np.unique(kept, axis=1).T)
    return found


def check_counts(program: Program, counts: Counts) -> None:
    """The report counts what the evaluator does for the graph. It rescales a ciphertext polynomial by polynomial, and
    the zeros, made one level higher, that it adds to answers.
    """
    told = inspect(program).operations
    assert (told.hoisted, told.rotations) == (counts.hoisted_rotations, counts.rotations)
    assert told.plain_products == counts.plain_products + counts.constant_products - integer_products(program)
    assert (told.products, told.relinearisations) == (counts.products, counts.relinearisations)
    types = [node.out.type for node in program.rounds[0].server.nodes if isinstance(node.op, Rescale)]
    ciphers = [type_ for type_ in types if isinstance(type_, CkksType)]
    assert told.rescales == sum(type_.count for type_ in ciphers)
    answers = [type_ for _, type_ in program.rounds[0].exchange.answers if isinstance(type_, CkksType)]
    zeros = sum(2 * type_.count for type_ in answers if type_.level != program.parameters.levels)
    assert counts.rescales == sum(type_.count * type_.parts for type_ in ciphers) + zeros


def test_the_predicted_noise_is_a_few_bits_above_the_noise_at_most() -> None:
    graph = convolutions(2, activation=Sigmoid())
    for tolerance in (0.1, 1e-2, 1e-3):
        program = compiled(graph, FullOptions(tolerance=tolerance))
        simulated = CkksSimulatedKeyHolder(program.parameters)
        wanted = Session(program, "simulated", keys=simulated, allow_insecure=True).run(INPUTS).outputs
        found = gap(Session(program, allow_insecure=True).run(INPUTS).outputs, wanted)
        for bound in (simulated.error_bound, program.facts["noise_bound"]["value"]):
            assert bound / 16 < found <= bound


@pytest.mark.parametrize("graph", [convolutions(2, activation=Sigmoid()), classifier()], ids=["sigmoid", "classifier"])
def test_programs_with_secure_parameters_keep_their_tolerance(graph: Graph) -> None:
    samples = samples_of(graph)
    program = compiler.compile(graph, samples, options=FullOptions(tolerance=0.2))
    assert program.parameters.secure
    result = Session(program).run(samples[0])
    assert gap(result.outputs, run(graph, samples[0])) <= 0.2


# --- what is refused ---


@cache
def program() -> Program:
    return compiled(convolutions(1), FullOptions(tolerance=0.05))


@cache
def keys() -> CkksKeyHolder:
    return make_key_holder("ckks", program().parameters, program().keys)


@cache
def other_keys() -> CkksKeyHolder:
    return make_key_holder("ckks", program().parameters, program().keys)


INPUTS = samples_of(convolutions(1))[0]


def make_client(holder: CkksKeyHolder | None = None) -> Client:
    return Client(program().for_client(), holder or keys())


def make_server(of: Program | None = None) -> Server[Any]:
    of = of or program()
    registration = read_registration(of, make_client().registration(), allow_insecure=True)
    return Server(of, make_evaluator("ckks", of.parameters, registration, of.keys), allow_insecure=True)


def upload(client: Client) -> bytes:
    return client.upload(client.start(INPUTS))


def resealed(message: bytes, **changes: object) -> bytes:
    """With another envelope, and a checksum that fits."""
    envelope, payload = read_message(message)
    return seal(replace(envelope, **changes), payload)  # type: ignore[arg-type]


def test_the_keys_of_another_program_are_refused() -> None:
    other = compiled(convolutions(1, extent=4), FullOptions(tolerance=0.05))
    with pytest.raises(WrongProgram, match=r"a message for program .* is due, got"):
        make_server(other)
    with pytest.raises(WrongProgram, match=r"a message for program .* is due, got"):
        make_server().run_round(resealed(upload(make_client()), program=other.digest()))


def test_an_upload_under_another_key_is_refused() -> None:
    with pytest.raises(WrongKey, match=r"register the public key that belongs to the secret key in use"):
        make_server().run_round(upload(make_client(other_keys())))


def test_an_answer_to_another_key_decrypts_to_nothing() -> None:
    """The envelope is forged: what the key cannot read is told apart from an answer."""
    server, mine, other = make_server(), make_client(), make_client(other_keys())
    state = mine.start(INPUTS)
    answer = server.run_round(resealed(other.upload(other.start(INPUTS)), key=keys().key_id, session=state.session))
    with pytest.raises(DecryptionFailed, match=r"decrypts to noise: it was made under another key or another program"):
        mine.receive(state, answer)


def test_altered_payloads_are_refused_by_both_sides() -> None:
    client, server = make_client(), make_server()
    state = client.start(INPUTS)
    message = client.upload(state)
    for position in (200, len(message) // 2, len(message) - 1):
        broken = bytearray(message)
        broken[position] ^= 1
        with pytest.raises(Altered, match="checksum does not fit, so it was altered on the way: send it again"):
            server.run_round(bytes(broken))
    answer = bytearray(server.run_round(message))
    answer[len(answer) // 2] ^= 1
    with pytest.raises(Altered, match="checksum does not fit"):
        client.receive(state, bytes(answer))
    with pytest.raises(RepeatedRound, match="was served already: start a new session"):
        server.run_round(message)


def test_payloads_of_another_length_or_with_impossible_residues_are_refused() -> None:
    envelope, payload = read_message(upload(make_client()))
    with pytest.raises(PayloadError, match="the message is of another program or cut"):
        make_server().run_round(seal(envelope, payload[:-8]))
    with pytest.raises(PayloadError, match="follow the last array: the message is of another program"):
        make_server().run_round(seal(envelope, bytes(payload) + bytes(8)))
    with pytest.raises(PayloadError, match=r"residue"):
        make_server().run_round(seal(envelope, bytes(payload[:8]) + b"\xff" * (len(payload) - 8)))


def test_insecure_programs_are_refused() -> None:
    with pytest.raises(InsecureParameters, match="they protect nothing; compile it with secure parameters"):
        Session(program())
    with pytest.raises(InsecureParameters, match="INSECURE_FOR_TESTS: they protect nothing"):
        Server(program(), None)
    with pytest.raises(InsecureParameters, match="they protect nothing"):
        read_registration(program(), make_client().registration())
