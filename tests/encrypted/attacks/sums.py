"""Queries of a client and what servers answer, as residues: sums of its ciphertexts, or a round of a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tests.encrypted.attacks.limbs import DroppingEvaluator, of_answer, of_upload
from tests.encrypted.attacks.networks import noise_image

from enclair.compiler.parameters import BfvParameters
from enclair.compiler.program import Program
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.frames import Limbs
from enclair.runtime.backends.interface import Integers
from enclair.runtime.client import Client
from enclair.runtime.protocol import read_message
from enclair.runtime.server import Server


@dataclass(frozen=True, slots=True)
class Sums:
    """A client's query, of which servers make sums.

    Args:
        keys: the client's.
        query: residues (terms, 2, limbs, N) under the first plaintext modulus.
        payload: the bytes of the upload.
    """

    keys: BfvKeyHolder
    query: Limbs
    payload: bytes

    def answers(self, server: type[BfvEvaluator], weights: Integers) -> Limbs:
        """The answers (filters, 2, limbs or 1, N) to sums with weights (filters, terms)."""
        return _reader(server)(self.keys.parameters, self._answer(server, weights), len(weights))[:, 0]

    def decrypted(self, weights: Integers) -> Integers:
        """The slots (filters, N) of the answers as they are sent."""
        return self.keys.decrypt(self._answer(BfvEvaluator, weights), len(weights))

    def _answer(self, server: type[BfvEvaluator], weights: Integers) -> bytes:
        evaluator = server(self.keys.parameters, self.keys.public_key())
        x = evaluator.load(self.payload, len(self.query))
        gather = np.arange(weights.shape[1])[None, None]
        scatter = np.arange(len(weights))[None, :, None]
        return evaluator.answer(evaluator.linear_combination(x, gather, weights[None], scatter, len(weights)))


def asked(keys: BfvKeyHolder, values: Integers) -> Sums:
    """A query with values (terms, N)."""
    payload = keys.encrypt(values)
    return Sums(keys, of_upload(keys.parameters, payload, len(values))[:, 0], payload)


def first_round(program: Program, keys: BfvKeyHolder, server: type[BfvEvaluator]) -> tuple[Limbs, Limbs]:
    """Residues (count, 2, limbs, N) of the upload and the answer of the first round of a session."""
    (spec,) = program.inputs
    client = Client(program.for_client(), keys)
    upload = client.upload(client.start(noise_image(spec.shape[-1], 10)))
    answer = Server(program, server(keys.parameters, keys.public_key())).run_round(upload)
    exchange = program.rounds[0].exchange
    (_, sent), (_, got) = read_message(upload), read_message(answer)
    return (
        of_upload(keys.parameters, sent, exchange.upload_count)[:, 0],
        _reader(server)(keys.parameters, got, exchange.answer_count)[:, 0],
    )


def _reader(server: type[BfvEvaluator]) -> Callable[[BfvParameters, bytes, int], Limbs]:
    """How this server's answers are read: those of one prime, or of all."""
    return of_answer if server in {BfvEvaluator, DroppingEvaluator} else of_upload
