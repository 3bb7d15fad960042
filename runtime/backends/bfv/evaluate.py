"""The server's side of BFV: operations on the limbs of ciphertexts, and encryptions of zero under the client's key.

A batch is an array (count, moduli, 2, limbs, N) of residues in evaluation form, as on OpenFHE's wire. No rotation and
no product of ciphertexts is needed, so there are no evaluation keys; OpenFHE encrypts the zeros of the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from enclair.compiler.ir.ops.packed import LEAST_SPAN, dense_polynomials
from enclair.compiler.ir.types import Encoding
from enclair.compiler.parameters import BfvParameters, flood_noise_bits
from enclair.runtime.backends.bfv.context import Context, Plaintext, open_contexts
from enclair.runtime.backends.bfv.ring import Plaintexts, Ring, open_plaintexts
from enclair.runtime.backends.bfv.wire import (
    CIPHERTEXTS_AT_ONCE,
    key_id_of,
    read_payload,
    read_public_key,
    write_payload,
)
from enclair.runtime.backends.frames import Limbs
from enclair.runtime.backends.integers import centred, check_integers
from enclair.runtime.backends.interface import Flags, Integers, Payload
from enclair.runtime.flood import flooding_noise, uniform_integers
from enclair.runtime.limbs.answers import flood_and_drop
from enclair.runtime.limbs.elementwise import add_rows, sum_products
from enclair.runtime.limbs.polynomials import WeightCache, polynomial_combination
from enclair.runtime.limbs.sums import linear_combination, rows_of
from enclair.runtime.limbs.transformed import transformed_combination
from enclair.runtime.limbs.workers import parallel_map, parallel_parts

VECTORS_AT_ONCE = 256
"""Different plaintext vectors held as limbs together: 256 x 64 KB at N = 4096."""


@dataclass(frozen=True, slots=True, eq=False)
class Residue:
    """What one plaintext modulus needs: a context, the client's public key in it, and its plaintexts."""

    context: Context
    public_key: Any
    plaintexts: Plaintexts
    zero_plaintext: Plaintext

    @property
    def modulus(self) -> int:
        """The plaintext modulus."""
        return self.context.plaintext_modulus

    def zero(self) -> Limbs:
        """Residues (2, limbs, N) of a fresh encryption of zero."""
        return self.context.write_ciphertext(self.context.scheme.Encrypt(self.public_key, self.zero_plaintext))

    def coefficients(self, vectors: Integers, encoding: Encoding) -> Integers:
        """The coefficients (rows, N), in [0, t), of vectors (rows, N) of slots or coefficients."""
        if encoding is Encoding.COEFFICIENTS:
            return vectors % self.modulus
        return self.plaintexts.coefficients(vectors)


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
            Residue(
                context,
                context.read_public_key(limbs, tag),
                open_plaintexts(parameters, context.plaintext_modulus),
                context.zero_plaintext(),
            )
            for context, (tag, limbs) in zip(contexts, keys, strict=True)
        )
        self._weights = WeightCache()

    @property
    def key_id(self) -> str:
        """32 hex digits that name the client's key."""
        return self._key_id

    @property
    def _ring(self) -> Ring:
        return self._residues[0].plaintexts.ring

    def load(self, payload: Payload, count: int) -> Limbs:
        """The ciphertexts of a payload; see ``Evaluator.load``."""
        return read_payload(payload, count, len(self._residues), self._residues[0].context.ciphertext)

    def dump(self, x: Limbs) -> Payload:
        """The payload of ciphertexts."""
        frame = self._residues[0].context.ciphertext
        return write_payload(len(x), len(self._residues), frame, lambda number: x[number], CIPHERTEXTS_AT_ONCE)

    def count(self, x: Limbs) -> int:
        """Number of ciphertexts."""
        return len(x)

    def split(self, x: Limbs, counts: Sequence[int]) -> list[Limbs]:
        """Runs of so many ciphertexts each, without a copy."""
        return np.split(x, np.cumsum(counts)[:-1])

    def concat(self, batches: Sequence[Limbs]) -> Limbs:
        """All ciphertexts of the batches, one after another."""
        return batches[0] if len(batches) == 1 else np.concatenate(batches)

    def select(self, x: Limbs, numbers: Integers) -> Limbs:
        """The ciphertexts with these numbers."""
        return x[numbers]

    def linear_combination(
        self, x: Limbs, gather: Integers, weights: Integers, scatter: Integers, outputs: int
    ) -> Limbs:
        """Sums of ciphertexts times integers; see ``Evaluator.linear_combination``."""
        check_integers("a weight", weights, self.parameters.largest_value)
        reduced = [centred(weights, residue.modulus) for residue in self._residues]
        return linear_combination(x, gather, reduced, scatter, outputs, self._ring.primes)

    def slot_combination(self, x: Limbs, rows: Integers, cols: Integers, vectors: Integers, outputs: int) -> Limbs:
        """Sums of ciphertexts times vectors; see ``Evaluator.slot_combination``."""
        check_integers("a factor", vectors, self.parameters.largest_value)
        out = np.zeros((outputs, *x.shape[1:]), dtype=np.uint64)
        distinct, which = _distinct(vectors)
        for terms in _runs(rows, VECTORS_AT_ONCE):
            used, numbers = np.unique(which[terms], return_inverse=True)
            for modulus, residue in enumerate(self._residues):
                factors = _encode(residue, distinct[used], Encoding.SLOTS, residue.plaintexts.factors)
                self._sum_products(x, modulus, rows[terms], cols[terms], numbers, factors, out)
        return out

    def polynomial_combination(self, x: Limbs, weights: Integers, powers: Integers, blocks: int, chunks: int) -> Limbs:
        """Sums of ciphertexts times polynomials; see ``Evaluator.polynomial_combination``."""
        check_integers("a weight", weights, self.parameters.largest_value)
        if not powers.any():
            return self._sums_for_each(x, weights.sum(axis=2), chunks)
        span, transforms = self.parameters.ring_dim // blocks, self._ring.transforms
        reduced = [centred(weights, residue.modulus) for residue in self._residues]
        if span < LEAST_SPAN:
            return transformed_combination(x, reduced, powers * span, chunks, transforms)
        dense = [dense_polynomials(modulo, powers, blocks) for modulo in reduced]
        pieces = [self._weights.get(polynomials, transforms) for polynomials in dense]
        return polynomial_combination(x, pieces, chunks, len(weights))

    def _sums_for_each(self, x: Limbs, weights: Integers, chunks: int) -> Limbs:
        """out[chunk, o] = sum_k weights[o, k] x[chunk, k]."""
        each, outputs = np.arange(len(x), dtype=np.int64).reshape(1, chunks, -1), len(weights)
        scatter = np.arange(chunks * outputs, dtype=np.int64).reshape(1, chunks, outputs).swapaxes(1, 2)
        return self.linear_combination(x, each, weights[None], scatter, chunks * outputs)

    def add_vectors(self, x: Limbs, vectors: Integers, encoding: Encoding = Encoding.SLOTS) -> Limbs:
        """Each ciphertext plus its vector; see ``Evaluator.add_vectors``. Equal vectors are encoded once."""
        check_integers("a summand", vectors, self.parameters.largest_value)
        distinct, which = _distinct(vectors)
        out = x.copy()
        for start in range(0, len(distinct), VECTORS_AT_ONCE):
            some = distinct[start : start + VECTORS_AT_ONCE]
            full = np.broadcast_to(some, (len(some), self.parameters.slots))
            targets = np.flatnonzero((which >= start) & (which < start + len(some)))
            targets = targets[some[which[targets] - start].any(axis=1)]
            for modulus, residue in enumerate(self._residues):
                summands = _encode(residue, full, encoding, residue.plaintexts.summands)
                self._add_to(out, modulus, targets, summands, which[targets] - start)
        return out

    def hide(self, x: Limbs, unheld: Flags, encoding: Encoding = Encoding.SLOTS) -> Limbs:
        """Each ciphertext plus random integers where nothing is held; see ``Evaluator.hide``."""
        out, targets = x.copy(), np.flatnonzero(unheld.any(axis=1))

        def work(number: int) -> None:
            for modulus, residue in enumerate(self._residues):
                drawn = np.where(unheld[number], uniform_integers(residue.modulus, self.parameters.slots), 0)
                summand = residue.plaintexts.summands(residue.coefficients(drawn[None], encoding))[0]
                add_rows(out[number, modulus, 0], summand, self._primes, False, out[number, modulus, 0])

        parallel_map(work, targets.tolist())
        return out

    def add(self, x: Limbs, y: Limbs) -> Limbs:
        """The sums, ciphertext by ciphertext."""
        return self._add(x, y, subtract=False)

    def subtract(self, x: Limbs, y: Limbs) -> Limbs:
        """The differences, ciphertext by ciphertext."""
        return self._add(x, y, subtract=True)

    def answer(self, x: Limbs) -> Payload:
        """The payload to send back: plus an encryption of zero, flooded, dropped to one prime."""
        bits, tables, ring_dim = flood_noise_bits(self.parameters), self._ring.drop_tables, self.parameters.ring_dim

        def make(number: int) -> Limbs:
            out = np.empty((len(self._residues), 2, ring_dim), dtype=np.uint64)
            for modulus, residue in enumerate(self._residues):
                noise = flooding_noise(bits, ring_dim)
                flood_and_drop(x[number, modulus], residue.zero(), noise, *tables, out[modulus])
            return out

        return write_payload(len(x), len(self._residues), self._residues[0].context.answer, make)

    @property
    def _primes(self) -> Limbs:
        return np.array(self._ring.primes, dtype=np.uint64)

    def _add(self, x: Limbs, y: Limbs, *, subtract: bool) -> Limbs:
        out = np.empty(x.shape, dtype=np.uint64)
        rows, primes = (-1, x.shape[-1]), self._primes

        def work(start: int, stop: int) -> None:
            left, right, to = (array[start:stop].reshape(rows) for array in (x, y, out))
            add_rows(left, right, primes, subtract, to)

        parallel_parts(work, len(x))
        return out

    def _add_to(self, out: Limbs, modulus: int, targets: Integers, summands: Limbs, which: Integers) -> None:
        """Add limbs (vectors, limbs, N) to the first polynomials, in place."""
        primes = self._primes

        def work(start: int, stop: int) -> None:
            for target, number in zip(targets[start:stop].tolist(), which[start:stop].tolist(), strict=True):
                to = out[target, modulus, 0]
                add_rows(to, summands[number], primes, False, to)

        parallel_parts(work, len(targets), at_least=16)

    def _sum_products(
        self, x: Limbs, modulus: int, rows: Integers, cols: Integers, which: Integers, factors: Limbs, out: Limbs
    ) -> None:
        """Sums of products with factors (vectors, limbs, N); ``rows`` are sorted."""
        limbs, constants = self.parameters.limbs, self._ring.constants
        flat = rows_of(x)
        bounds = np.flatnonzero(np.diff(rows, prepend=-1, append=np.iinfo(np.int64).max)).tolist()

        def work(job: tuple[int, int]) -> None:
            start, stop = job
            for polynomial, limb in np.ndindex(2, limbs):
                plane = (modulus * 2 + polynomial) * limbs + limb
                to = out[rows[start], modulus, polynomial, limb]
                sum_products(flat, plane, cols[start:stop], factors, limb, which[start:stop], constants[limb], to)

        parallel_map(work, pairwise(bounds))


def _distinct(vectors: Integers) -> tuple[Integers, Integers]:
    """The different rows, and which of them each row is."""
    numbers: dict[bytes, int] = {}
    which = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in vectors], dtype=np.int64)
    _, first = np.unique(which, return_index=True)
    return vectors[first], which


def _runs(rows: Integers, most: int) -> list[slice]:
    """Runs of terms of about ``most`` each; the terms of a row, which are together, stay together."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1)).tolist()
    cuts: list[int] = []
    for start, stop in zip(starts, [*starts[1:], rows.size], strict=True):
        if not cuts or stop - cuts[-1] > most:
            cuts.append(start)
    return [slice(start, stop) for start, stop in zip(cuts, [*cuts[1:], rows.size], strict=True)]


def _encode(residue: Residue, vectors: Integers, encoding: Encoding, make: Any) -> Limbs:
    """Limbs (rows, limbs, N) of vectors (rows, N), on all cores."""
    limbs, ring_dim = residue.plaintexts.ring.primes, vectors.shape[1]
    out = np.empty((len(vectors), len(limbs), ring_dim), dtype=np.uint64)

    def work(start: int, stop: int) -> None:
        out[start:stop] = make(residue.coefficients(vectors[start:stop], encoding))

    parallel_parts(work, len(vectors))
    return out
