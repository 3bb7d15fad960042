"""Sums of ciphertexts times integers on their limbs: matrix products modulo each prime.

A piece of work is the sums of one position in one group; it goes over the rows of residues, in blocks of columns whose
digits stay in a core's caches.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from enclair.runtime.limbs.compiled import Floats, Integers, Words
from enclair.runtime.limbs.digits import (
    EXACT,
    Scheme,
    choose_scheme,
    choose_unsigned,
    cut_residues,
    cut_weights,
    recombine,
    sum_directly,
)
from enclair.runtime.limbs.workers import one_blas_thread, parallel_map

DIGIT_BYTES = 4 << 20
"""Of the digits that one product of BLAS reads: wide blocks, for BLAS packs the weights anew for each."""

FEW_RESULTS = 3
"""Up to so many results for the same ciphertexts are summed without BLAS."""

FEW_COLUMNS = 1024

MOST_TERMS = 2048
"""Longer sums are added up in pieces: their digits would not stay in the cache."""


@dataclass(frozen=True)
class Product:
    """What the sums of one position are: out[rows] (+)= weights @ x[cols], weights (rows, cols)."""

    weights: Integers
    cols: Integers
    rows: Integers
    add: bool


def linear_combination(
    x: Words, gather: Integers, weights: list[Integers], scatter: Integers, outputs: int, primes: tuple[int, ...]
) -> Words:
    """out[scatter[g, o, p]] = sum_k weights[g, o, k] x[gather[g, p, k]], modulo each prime.

    Args:
        x: (count, moduli, 2, limbs, N).
        gather: (groups, positions, taps), -1 for none.
        weights: (groups, channels, taps) for each plaintext modulus.
        scatter: (groups, channels, positions), -1 for none; no result twice.
        outputs: number of results; those without a term are zero.
        primes: one per limb.
    """
    _, moduli, polynomials, limbs, ring_dim = x.shape
    out = np.zeros((outputs, moduli, polynomials, limbs, ring_dim), dtype=np.uint64)
    flat, to = rows_of(x), rows_of(out)
    jobs = [
        (modulus, group, position)
        for modulus in range(moduli)
        for group in range(gather.shape[0])
        for position in range(gather.shape[1])
    ]

    def work(job: tuple[int, int, int]) -> None:
        modulus, group, position = job
        planes = range(modulus * polynomials * limbs, (modulus + 1) * polynomials * limbs)
        for product in _pieces(weights[modulus][group], gather[group, position], scatter[group, :, position]):
            run_product(flat, product, to, [(plane, primes[plane % limbs]) for plane in planes])

    with one_blas_thread():
        parallel_map(work, jobs)
    return out


def rows_of(x: Words) -> Words:
    """The same memory as (count, planes, N): a plane is a limb of a polynomial of a plaintext modulus."""
    return x.reshape(len(x), math.prod(x.shape[1:4]), x.shape[4])


def run_product(x: Words, product: Product, out: Words, planes: list[tuple[int, int]]) -> None:
    """One product on rows of residues x (count, planes, N), for planes with their primes."""
    magnitudes = np.abs(product.weights)
    row_sum, largest = int(magnitudes.sum(axis=1).max(initial=0)), int(magnitudes.max(initial=0))
    few = len(product.rows) <= FEW_RESULTS and row_sum < EXACT >> 8
    made: dict[int, tuple[Scheme, Floats]] = {}
    for plane, prime in planes:
        if prime not in made:
            scheme = choose_scheme(prime, row_sum, product.cols.size, largest)
            made[prime] = scheme, cut_weights(product.weights, scheme.weights)
        scheme, digits = made[prime]
        columns = range(x.shape[2])
        if few:
            _add_few(x, product, out, plane, prime, row_sum)
        else:
            add_product(x, plane, product.cols, scheme, digits, columns, product.rows, out, add=product.add)


def add_product(
    x: Words,
    plane: int,
    cols: Integers,
    scheme: Scheme,
    digits: Floats,
    columns: range,
    rows: Integers,
    out: Words,
    *,
    add: bool,
) -> None:
    """out[rows, plane, columns] (+)= weights @ x[cols, plane, columns], where ``digits`` are the weights'."""
    cut, size = scheme.residues, _block(cols.size * scheme.residues.count)
    for start in range(columns.start, columns.stop, size):
        n = min(size, columns.stop - start)
        b = _buffer("digits", cols.size, cut.count * n)
        cut_residues(x, plane, cols, start, start + n, scheme.prime, cut.count, cut.bits, b)
        c = _buffer("sums", len(digits), cut.count * n)
        np.matmul(digits, b, out=c)
        recombine(c, n, scheme.terms, scheme.prime, add, rows, plane, start, out)


def _add_few(x: Words, product: Product, out: Words, plane: int, prime: int, row_sum: int) -> None:
    """``add_product`` for few results."""
    scheme = choose_unsigned(prime, row_sum)
    cut, weights, size = scheme.residues, product.weights.astype(np.float64), FEW_COLUMNS
    for start in range(0, x.shape[2], size):
        n = min(size, x.shape[2] - start)
        c = _buffer("sums", len(weights), cut.count * n)
        sum_directly(x, plane, product.cols, weights, start, start + n, cut.count, cut.bits, c)
        recombine(c, n, scheme.terms, prime, product.add, product.rows, plane, start, out)


_local = threading.local()


def _buffer(name: str, rows: int, columns: int) -> Floats:
    """Scratch memory of this thread."""
    memory = getattr(_local, name, None)
    if memory is None or memory.size < rows * columns:
        memory = np.empty(rows * columns)
        setattr(_local, name, memory)
    return memory[: rows * columns].reshape(rows, columns)


def _block(depth: int) -> int:
    """Columns of a block, when digits are ``depth`` a column."""
    return max(32, DIGIT_BYTES // (8 * max(depth, 1)) // 32 * 32)


def _pieces(weights: Integers, cols: Integers, rows: Integers) -> Iterator[Product]:
    """The terms that are there, MOST_TERMS at a time."""
    taken, wanted = np.flatnonzero((cols >= 0) & weights.any(axis=0)), np.flatnonzero(rows >= 0)
    for start in range(0, taken.size, MOST_TERMS):
        piece = taken[start : start + MOST_TERMS]
        yield Product(weights[np.ix_(wanted, piece)], cols[piece], rows[wanted], start > 0)
