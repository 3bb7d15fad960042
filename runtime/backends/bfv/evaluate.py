"""The server's side of BFV: operations on ciphertexts and encryptions of zero under the client's public key.

No rotation and no product of ciphertexts is needed, so there are no evaluation keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np

from enclair.compiler.ir.ops.packed import terms
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.context import Ciphertext, Context, Plaintext, open_contexts
from enclair.runtime.backends.bfv.frame import Limbs
from enclair.runtime.backends.bfv.noise import FloodNoise, open_noise
from enclair.runtime.backends.bfv.threads import cores, parallel_map
from enclair.runtime.backends.bfv.wire import key_id_of, read_payload, read_public_key
from enclair.runtime.backends.integers import centred, check_integers
from enclair.runtime.backends.interface import Integers

BfvCipher: TypeAlias = tuple[Ciphertext, ...]
"""The same slots under each plaintext modulus."""

ENCODED_AT_ONCE = 64
"""Plaintexts of weights held in memory together: 64 x about 0.3 MB at N = 8192."""


@dataclass(frozen=True, slots=True, eq=False)
class Residue:
    """What one plaintext modulus needs: a context and the client's public key in it."""

    context: Context
    public_key: Any
    tag: bytes
    zero_plaintext: Plaintext

    def zero(self) -> Ciphertext:
        """A fresh encryption of zero."""
        return self.context.scheme.Encrypt(self.public_key, self.zero_plaintext)

    def empty_sum(self) -> Ciphertext:
        """The ciphertext (0, 0): zero without noise.

        An answer adds a fresh encryption of zero to it as to any other.
        """
        return self.context.read_ciphertext(np.zeros(self.context.ciphertext.shape, dtype=np.uint64), self.tag)


class BfvEvaluator:
    """The operations of ``interface.Evaluator`` under one client's public key."""

    def __init__(self, parameters: BfvParameters, public_key: bytes) -> None:
        """Read the public key.

        Raises:
            PayloadError: the bytes are not a public key of these parameters.
            OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
        """
        self.parameters = parameters
        self._key_id = key_id_of(public_key)
        contexts = open_contexts(parameters)
        keys = read_public_key(public_key, contexts)
        self._residues = tuple(
            Residue(context, context.read_public_key(limbs, tag), tag, context.encode_constant(0))
            for context, (tag, limbs) in zip(contexts, keys, strict=True)
        )
        self._noise: FloodNoise = open_noise(parameters)

    @property
    def key_id(self) -> str:
        """32 hex digits that name the client's key."""
        return self._key_id

    def load(self, payload: bytes, count: int) -> list[BfvCipher]:
        """The ciphertexts of a payload; see ``Evaluator.load``."""
        limbs = read_payload(payload, count, len(self._residues), self._residues[0].context.ciphertext)
        return parallel_map(self._read, limbs)

    def dump(self, x: list[BfvCipher]) -> bytes:
        """The payload of ciphertexts."""
        return b"".join(parallel_map(self._write, x))

    def linear_combination(
        self, x: list[BfvCipher], gather: Integers, weights: Integers, scatter: Integers, outputs: int
    ) -> list[BfvCipher]:
        """Sums of ciphertexts times integers; see ``Evaluator.linear_combination``.

        Each different weight is encoded once; equal weights of a result share a product.
        """
        check_integers("a weight", weights, self.parameters.largest_value)
        rows, cols, values = terms(gather, weights, scatter)
        return self._each(x, lambda residue, part: _combine(residue, part, rows, cols, values, outputs))

    def slot_combination(
        self, x: list[BfvCipher], rows: Integers, cols: Integers, vectors: Integers, outputs: int
    ) -> list[BfvCipher]:
        """Sums of ciphertexts times vectors; see ``Evaluator.slot_combination``."""
        check_integers("a factor", vectors, self.parameters.largest_value)
        return self._each(x, lambda residue, part: _combine_slots(residue, part, rows, cols, vectors, outputs))

    def add_vectors(self, x: list[BfvCipher], vectors: Integers) -> list[BfvCipher]:
        """Each ciphertext plus its vector; see ``Evaluator.add_vectors``."""
        check_integers("a summand", vectors, self.parameters.largest_value)
        return self._each(x, lambda residue, part: _add_vectors(residue.context, part, vectors))

    def add(self, x: list[BfvCipher], y: list[BfvCipher]) -> list[BfvCipher]:
        """The sums, ciphertext by ciphertext."""
        return [
            tuple(r.context.scheme.EvalAdd(a, b) for r, a, b in self._pairs(p, q)) for p, q in zip(x, y, strict=True)
        ]

    def subtract(self, x: list[BfvCipher], y: list[BfvCipher]) -> list[BfvCipher]:
        """The differences, ciphertext by ciphertext."""
        return [
            tuple(r.context.scheme.EvalSub(a, b) for r, a, b in self._pairs(p, q)) for p, q in zip(x, y, strict=True)
        ]

    def answer(self, x: list[BfvCipher]) -> bytes:
        """The payload to send back: plus an encryption of zero, flooded, dropped to one prime."""
        return b"".join(parallel_map(self._answer, x))

    def _pairs(self, x: BfvCipher, y: BfvCipher) -> Iterator[tuple[Residue, Ciphertext, Ciphertext]]:
        return zip(self._residues, x, y, strict=True)

    def _each(self, x: list[BfvCipher], work: Any) -> list[BfvCipher]:
        """Do the work under each plaintext modulus."""
        parts = [work(residue, [cipher[i] for cipher in x]) for i, residue in enumerate(self._residues)]
        return list(zip(*parts, strict=True))

    def _read(self, limbs: Limbs) -> BfvCipher:
        return tuple(r.context.read_ciphertext(part, r.tag) for r, part in zip(self._residues, limbs, strict=True))

    def _write(self, cipher: BfvCipher) -> bytes:
        parts = (r.context.write_ciphertext(part) for r, part in zip(self._residues, cipher, strict=True))
        return b"".join(part.tobytes() for part in parts)

    def _answer(self, cipher: BfvCipher) -> bytes:
        parts = (self._flooded(residue, part) for residue, part in zip(self._residues, cipher, strict=True))
        return b"".join(part.tobytes() for part in parts)

    def _flooded(self, residue: Residue, ciphertext: Ciphertext) -> Limbs:
        context = residue.context
        limbs = context.write_ciphertext(context.scheme.EvalAdd(ciphertext, residue.zero()))
        primes = np.array(context.ciphertext.primes, dtype=np.uint64)[:, None]
        limbs[0] = (limbs[0] + self._noise.sample()) % primes
        flooded = context.read_ciphertext(limbs, residue.tag)
        return context.write_answer(context.scheme.Compress(flooded, 1))


def _combine(
    residue: Residue, x: Sequence[Ciphertext], rows: Integers, cols: Integers, values: Integers, outputs: int
) -> list[Ciphertext]:
    """Sums of terms with scalar weights.

    OpenFHE lifts a plaintext to [0, t), so a factor -1 would grow the noise by t - 1: magnitudes are multiplied, signs
    are subtractions.
    """
    context = residue.context
    weights = centred(values, context.plaintext_modulus)
    magnitudes, which = np.unique(np.abs(weights), return_inverse=True)
    table = np.stack([rows, which, weights < 0, cols], axis=1)
    return _sum_products(residue, x, table, lambda i: context.encode_constant(int(magnitudes[i])), outputs)


def _combine_slots(
    residue: Residue, x: Sequence[Ciphertext], rows: Integers, cols: Integers, vectors: Integers, outputs: int
) -> list[Ciphertext]:
    """Sums of terms with vectors. Many are the same border mask."""
    context = residue.context
    numbers: dict[bytes, int] = {}
    which = np.array([numbers.setdefault(vector.tobytes(), len(numbers)) for vector in vectors], dtype=np.int64)
    distinct = [np.frombuffer(data, dtype=np.int64) for data in numbers]
    table = np.stack([rows, which, np.zeros_like(which), cols], axis=1)
    encode = partial(_encode_centred, context, distinct)
    return _sum_products(residue, x, table, encode, outputs)


def _sum_products(
    residue: Residue, x: Sequence[Ciphertext], table: Integers, encode: Callable[[int], Plaintext], outputs: int
) -> list[Ciphertext]:
    """Sums over a table of (row, factor, is negative, column), a few factors at a time: each is encoded once."""
    sums: list[Ciphertext | None] = [None] * outputs
    for start in range(0, int(table[:, 1].max(initial=-1)) + 1, ENCODED_AT_ONCE):
        stop = min(start + ENCODED_AT_ONCE, int(table[:, 1].max()) + 1)
        plaintexts = dict(zip(range(start, stop), parallel_map(encode, range(start, stop)), strict=True))
        taken = table[(table[:, 1] >= start) & (table[:, 1] < stop)]
        parallel_map(partial(_accumulate, residue.context, x, plaintexts, sums), _shares(taken))
    return [residue.empty_sum() if total is None else total for total in sums]


def _accumulate(
    context: Context,
    x: Sequence[Ciphertext],
    plaintexts: Mapping[int, Plaintext],
    sums: list[Ciphertext | None],
    table: Integers,
) -> None:
    """Add terms to the sums. No other thread has these rows; terms with the same factor share a product."""
    terms_in_order: list[list[int]] = sorted(table.tolist())
    for (row, factor, negative), group in groupby(terms_in_order, key=lambda term: term[:3]):
        product = context.scheme.EvalMult(_sum(context, [x[term[3]] for term in group]), plaintexts[factor])
        _add_to(context, sums, row, product, subtract=bool(negative))


def _shares(table: Integers) -> list[Integers]:
    """As many parts of a table as there are cores; the terms of a row stay together."""
    return [table[table[:, 0] % cores() == core] for core in range(cores())]


def _encode_centred(context: Context, vectors: Sequence[Integers], i: int) -> Plaintext:
    return context.encode(centred(vectors[i], context.plaintext_modulus))


def _add_vectors(context: Context, x: Sequence[Ciphertext], vectors: Integers) -> list[Ciphertext]:
    def work(pair: tuple[Ciphertext, Integers]) -> Ciphertext:
        ciphertext, vector = pair
        if not vector.any():
            return ciphertext
        full = np.broadcast_to(centred(vector, context.plaintext_modulus), (context.ring_dim,))
        return context.scheme.EvalAdd(ciphertext, context.encode(np.ascontiguousarray(full)))

    return parallel_map(work, list(zip(x, vectors, strict=True)))


def _sum(context: Context, ciphertexts: list[Ciphertext]) -> Ciphertext:
    if len(ciphertexts) == 1:
        return ciphertexts[0]
    total = context.scheme.EvalAdd(ciphertexts[0], ciphertexts[1])
    for ciphertext in ciphertexts[2:]:
        context.scheme.EvalAddInPlace(total, ciphertext)
    return total


def _add_to(context: Context, sums: list[Ciphertext | None], row: int, term: Ciphertext, *, subtract: bool) -> None:
    if sums[row] is None:
        sums[row] = context.scheme.EvalNegate(term) if subtract else term
    elif subtract:
        context.scheme.EvalSubInPlace(sums[row], term)
    else:
        context.scheme.EvalAddInPlace(sums[row], term)
