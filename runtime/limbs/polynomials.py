"""Sums of ciphertexts times polynomials in Y = X^span, on their limbs.

In evaluation form a product of polynomials is a product at every point, and Y takes one value on each run of ``span``
points. So each run is a matrix product with weights as wide as the prime: ``w(y)`` for the run's y.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from enclair.runtime.limbs.compiled import Floats, Integers, Words
from enclair.runtime.limbs.digits import Scheme, choose_scheme, cut_weights
from enclair.runtime.limbs.ntt import Transform, forward
from enclair.runtime.limbs.sums import add_product, rows_of
from enclair.runtime.limbs.workers import one_blas_thread, parallel_map, parallel_parts

TERMS_AT_ONCE = 1000
"""Inputs whose products are added up exactly with the fewest digits: 6 for primes of 54 bits."""

CACHE_BYTES = 1 << 29


@dataclass(frozen=True, eq=False)
class Piece:
    """Values of the weights at every y for some of the inputs: digits (blocks, weight digits * outputs, inputs)."""

    scheme: Scheme
    inputs: Integers
    digits: Floats


class WeightCache:
    """Values of weights that were used last, so that a layer's are made once for all sessions."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[tuple[bytes, tuple[int, ...]], list[list[Piece]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, weights: Integers, transforms: tuple[Transform, ...]) -> list[list[Piece]]:
        """``evaluate_weights`` for each transform."""
        digest = hashlib.sha256(np.ascontiguousarray(weights).data).digest()
        key = digest, weights.shape
        with self._lock:
            pieces = self._kept.pop(key, None)
        if pieces is None:
            pieces = [evaluate_weights(weights, transform) for transform in transforms]
        with self._lock:
            self._kept[key] = pieces
            while len(self._kept) > 1 and sum(map(_bytes_of, self._kept.values())) > self._most:
                self._kept.popitem(last=False)
        return pieces


def evaluate_weights(weights: Integers, transform: Transform) -> list[Piece]:
    """The weights (outputs, inputs, blocks) at the values of Y, modulo the transform's prime, in digits."""
    outputs, inputs, blocks = weights.shape
    prime, half = transform.prime, transform.prime // 2
    values = (weights.reshape(-1, blocks) % prime).astype(np.uint64)
    in_y = _of_y(transform, blocks)

    def work(start: int, stop: int) -> None:
        forward(values[start:stop], in_y.forward_roots, prime)

    parallel_parts(work, len(values))
    signed = values.reshape(outputs, inputs, blocks).astype(np.int64)
    centred = np.where(signed > half, signed - prime, signed).transpose(2, 0, 1)
    starts = range(0, inputs, TERMS_AT_ONCE)
    return [_piece(centred, np.arange(start, min(start + TERMS_AT_ONCE, inputs)), prime) for start in starts]


def polynomial_combination(x: Words, pieces: list[list[list[Piece]]], chunks: int, outputs: int) -> Words:
    """out[chunk, o] = sum_k weights[o, k](Y) x[chunk, k], modulo each prime.

    Args:
        x: (chunks * inputs, moduli, 2, limbs, N).
        pieces: of the weights, by plaintext modulus and limb.
        chunks: that the ciphertexts are in.
        outputs: for each chunk.
    """
    count, moduli, polynomials, limbs, ring_dim = x.shape
    inputs = count // chunks
    out = np.zeros((chunks * outputs, moduli, polynomials, limbs, ring_dim), dtype=np.uint64)
    flat, to = rows_of(x), rows_of(out)
    blocks = len(pieces[0][0][0].digits)
    span = ring_dim // blocks
    jobs = [(*job, block) for job in np.ndindex(chunks, moduli, polynomials, limbs) for block in range(blocks)]

    def work(job: tuple[int, ...]) -> None:
        chunk, modulus, polynomial, limb, block = job
        plane = (modulus * polynomials + polynomial) * limbs + limb
        rows = np.arange(chunk * outputs, (chunk + 1) * outputs)
        for number, piece in enumerate(pieces[modulus][limb]):
            cols = chunk * inputs + piece.inputs
            columns = range(block * span, (block + 1) * span)
            add_product(flat, plane, cols, piece.scheme, piece.digits[block], columns, rows, to, add=number > 0)

    with one_blas_thread():
        parallel_map(work, jobs)
    return out


def _of_y(transform: Transform, blocks: int) -> Transform:
    """The transform of polynomials in Y: its points are the values of Y on the runs of points, in their order."""
    root = pow(transform.root, transform.ring_dim // blocks, transform.prime)
    return Transform(transform.prime, blocks, root)


def _piece(centred: Integers, inputs: Integers, prime: int) -> Piece:
    outputs = centred.shape[1]
    most = prime // 2 * inputs.size
    scheme = choose_scheme(prime, most, inputs.size, prime // 2)
    digits = np.stack([cut_weights(block[:, inputs], scheme.weights) for block in centred])
    return Piece(scheme, inputs, digits.reshape(len(centred), scheme.weights.count * outputs, inputs.size))


def _bytes_of(limbs: list[list[Piece]]) -> int:
    return sum(piece.digits.nbytes for pieces in limbs for piece in pieces)
