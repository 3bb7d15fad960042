"""Ciphertexts as residues, and servers that leave out one protection each.

The only module here that knows how ciphertexts lie in bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.context import open_contexts
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.wire import read_payload, read_public_key, write_payload
from enclair.runtime.backends.frames import Limbs


class BareEvaluator(BfvEvaluator):
    """Answers with the sums as they are: all primes, the mask of the query, no noise of their own."""

    def answer(self, x: Any) -> bytes:
        """The sums."""
        return self.dump(x)


class DroppingEvaluator(BfvEvaluator):
    """Drops the primes of the bare sums, and does nothing else to hide the weights."""

    def answer(self, x: Any) -> bytes:
        """The sums with one prime left."""
        return dropped_payload(self.parameters, of_upload(self.parameters, self.dump(x), len(x)))


class RerandomisingEvaluator(BfvEvaluator):
    """Adds an encryption of zero under the public key, but no flooding noise, and keeps all primes."""

    def __init__(self, parameters: BfvParameters, public_key: bytes) -> None:
        super().__init__(parameters, public_key)
        self._public_key = public_key

    def answer(self, x: Any) -> bytes:
        """The sums with fresh masks."""
        return self.dump(self.add(x, encrypted_zeros(self.parameters, self._public_key, len(x))))


def of_upload(parameters: BfvParameters, payload: bytes, count: int) -> Limbs:
    """Residues (count, moduli, 2, limbs, N) of an upload, or of bare sums."""
    (first, *_) = open_contexts(parameters)
    return read_payload(payload, count, len(parameters.plaintext_moduli), first.ciphertext)


def of_answer(parameters: BfvParameters, payload: bytes, count: int) -> Limbs:
    """Residues (count, moduli, 2, 1, N) of an answer."""
    (first, *_) = open_contexts(parameters)
    return read_payload(payload, count, len(parameters.plaintext_moduli), first.answer)


def encrypted_zeros(parameters: BfvParameters, public_key: bytes, count: int) -> Limbs:
    """Residues (count, moduli, 2, limbs, N) of encryptions of zero that whoever has the public key can make."""
    contexts = open_contexts(parameters)
    keys = [
        context.read_public_key(limbs, tag)
        for context, (tag, limbs) in zip(contexts, read_public_key(public_key, contexts), strict=True)
    ]
    rows = [
        [c.write_ciphertext(c.scheme.Encrypt(key, c.encode_constant(0))) for c, key in zip(contexts, keys, strict=True)]
        for _ in range(count)
    ]
    return np.array(rows, dtype=np.uint64)


def dropped_payload(parameters: BfvParameters, limbs: Limbs) -> bytes:
    """Ciphertexts (count, moduli, 2, limbs, N) with one prime left, as an answer is sent."""
    (first, *_) = open_contexts(parameters)
    rows = [_dropped(parameters, cipher) for cipher in limbs]
    return write_payload(len(rows), len(parameters.plaintext_moduli), first.answer, lambda number: rows[number])


def _dropped(parameters: BfvParameters, cipher: Limbs) -> Limbs:
    """A ciphertext (moduli, 2, limbs, N) with its first prime alone, by OpenFHE."""
    tag = b"0" * 32
    return np.stack(
        [
            context.write_answer(context.scheme.Compress(context.read_ciphertext(part, tag), 1))
            for context, part in zip(open_contexts(parameters), cipher, strict=True)
        ]
    )
