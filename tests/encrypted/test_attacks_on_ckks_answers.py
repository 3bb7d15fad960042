"""What a client can read off the ciphertexts of an answer: everything as it was computed, nothing as it is sent."""

from __future__ import annotations

import numpy as np
from tests.runtime.ckks.parameters import SECURE, cipher_type, shared_keys

from enclair.compiler.ir.key_needs import NO_KEYS
from enclair.runtime.backends.ckks.answers import AnsweringEvaluator
from enclair.runtime.rns.wire import read_ciphertexts

WEIGHT, PLAIN_SCALE = -0.37251, 2.0**20


def quotients(answer: bytes, upload: bytes) -> np.ndarray:
    """The second part of an answer over that of the upload, modulo the first prime, at every place."""
    prime = SECURE.primes[0]
    parts = [read_ciphertexts(payload, 1, SECURE.primes[:3], SECURE.ring_dim)[0][1, 0] for payload in (answer, upload)]
    above, below = (part.astype(object) for part in parts)
    return np.array([int(a) * pow(int(b), -1, prime) % prime for a, b in zip(above, below, strict=True)])


def test_the_weight_is_read_off_an_answer_as_it_was_computed() -> None:
    keys, type_ = shared_keys(SECURE), cipher_type(SECURE, 1, 2)
    evaluator = AnsweringEvaluator(SECURE, NO_KEYS, keys.public_key())
    upload = keys.encrypt(np.random.default_rng(1).uniform(-1, 1, (1, SECURE.slots)), type_)
    product = evaluator.multiply_plain(evaluator.load(upload, type_), np.array([[WEIGHT]]), PLAIN_SCALE)
    seen = quotients(evaluator.dump(product), upload)
    assert set(seen.tolist()) == {round(WEIGHT * PLAIN_SCALE) % SECURE.primes[0]}
    assert len(set(quotients(evaluator.answer(product), upload).tolist())) == SECURE.ring_dim
