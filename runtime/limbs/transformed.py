"""Sums of ciphertexts times polynomials of any powers of X, on their limbs: the weights go to evaluation form.

There a product of polynomials is a product at every point. The values of all weights would take gigabytes, so those of
one result at a time are made and used. With few powers they are a matrix product, of the weights and the powers at some
points; with many, transforms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enclair.runtime.limbs.compiled import BIT, INT, WORD, Integers, Words, compiled, high_product, read, write
from enclair.runtime.limbs.digits import choose_scheme, cut_residues, cut_weights, recombine
from enclair.runtime.limbs.elementwise import LAZY_TERMS, reduce_wide, reduction_constants
from enclair.runtime.limbs.ntt import Transform, forward
from enclair.runtime.limbs.sums import rows_of
from enclair.runtime.limbs.workers import one_blas_thread, parallel_map

FEW_POWERS = 128
"""Up to so many the matrix product takes less time than the transforms."""

COLUMNS = 512
"""Points of a piece of work: the inputs' residues there, 8 KB each, stay in a core's cache."""

INPUTS_AT_ONCE = 64
"""Weights of a result whose transforms are held together."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What is to be summed: out[chunk, o] = sum_k weights[o, k](X) x[chunk, k].

    Args:
        x: (chunks * inputs, planes, N): a plane is a limb of a polynomial of a plaintext modulus.
        out: (chunks * outputs, planes, N).
        weights: (outputs, inputs, taps), coefficients of ``powers``.
        powers: (taps,) of X, below N.
        chunks: that the ciphertexts are in.
    """

    x: Words
    out: Words
    weights: Integers
    powers: Integers
    chunks: int

    def add(self, planes: tuple[int, ...], o: int, first: int, values: Words, start: int, constants: Words) -> None:
        """Add the products with values (inputs, points) of weights[o, first:] to the results, from point ``start``."""
        outputs, inputs, _ = self.weights.shape
        for chunk in range(self.chunks):
            for plane in planes:
                begin, row = chunk * inputs + first, chunk * outputs + o
                add_products(self.x, plane, begin, values, start, first > 0, constants, self.out, row)


def transformed_combination(
    x: Words, weights: list[Integers], powers: Integers, chunks: int, transforms: tuple[Transform, ...]
) -> Words:
    """out[chunk, o] = sum_k weights[o, k](X) x[chunk, k], modulo each prime.

    Args:
        x: (chunks * inputs, moduli, 2, limbs, N).
        weights: (outputs, inputs, taps) for each plaintext modulus.
        powers: (taps,) of X, below N.
        chunks: that the ciphertexts are in.
        transforms: one per limb.
    """
    _, moduli, polynomials, limbs, ring_dim = x.shape
    out = np.zeros((chunks * len(weights[0]), moduli, polynomials, limbs, ring_dim), dtype=np.uint64)
    sums = [Sums(rows_of(x), rows_of(out), w, powers, chunks) for w in weights]
    add = _add_by_products if powers.size <= FEW_POWERS else _add_by_transforms
    with one_blas_thread():
        for modulus, limb in np.ndindex(moduli, limbs):
            planes = tuple((modulus * polynomials + i) * limbs + limb for i in range(polynomials))
            add(sums[modulus], planes, transforms[limb])
    return out


def _add_by_products(sums: Sums, planes: tuple[int, ...], transform: Transform) -> None:
    """A piece of work is a run of points."""
    outputs, inputs, taps = sums.weights.shape
    magnitudes, prime = np.abs(sums.weights), transform.prime
    scheme = choose_scheme(prime, int(magnitudes.sum(axis=2).max()), taps, int(magnitudes.max()))
    digits = [cut_weights(rows, scheme.weights) for rows in sums.weights]
    points = _monomials(sums.powers, transform)[:, None]
    every, each, cut = np.arange(taps), np.arange(inputs), scheme.residues
    constants = reduction_constants((prime,))[0]

    def work(start: int) -> None:
        n = min(COLUMNS, transform.ring_dim - start)
        residues, parts = np.empty((taps, cut.count * n)), np.empty((len(digits[0]), cut.count * n))
        values = np.empty((inputs, 1, n), dtype=np.uint64)
        cut_residues(points, 0, every, start, start + n, prime, cut.count, cut.bits, residues)
        for o in range(outputs):
            np.matmul(digits[o], residues, out=parts)
            recombine(parts, n, scheme.terms, prime, False, each, 0, 0, values)
            sums.add(planes, o, 0, values[:, 0], start, constants)

    parallel_map(work, range(0, transform.ring_dim, COLUMNS))


def _add_by_transforms(sums: Sums, planes: tuple[int, ...], transform: Transform) -> None:
    """A piece of work is a result."""
    outputs, inputs, _ = sums.weights.shape
    constants = reduction_constants((transform.prime,))[0]

    def work(o: int) -> None:
        for first in range(0, inputs, INPUTS_AT_ONCE):
            values = evaluated(sums.weights[o, first : first + INPUTS_AT_ONCE], sums.powers, transform)
            sums.add(planes, o, first, values, 0, constants)

    parallel_map(work, range(outputs))


def evaluated(weights: Integers, powers: Integers, transform: Transform) -> Words:
    """Polynomials (rows, N) in evaluation form, of coefficients (rows, taps) of the given powers, each once."""
    values = np.zeros((len(weights), transform.ring_dim), dtype=np.uint64)
    values[:, powers] = weights % transform.prime
    forward(values, transform.forward_roots, transform.prime)
    return values


def _monomials(powers: Integers, transform: Transform) -> Words:
    """(taps, N): each power of X in evaluation form."""
    return np.concatenate([evaluated(np.ones((1, 1), dtype=np.int64), power[None], transform) for power in powers])


@compiled(read(WORD, 3), INT, INT, read(WORD, 2), INT, BIT, read(WORD, 1), write(WORD, 3), INT)
def add_products(
    x: Words, plane: int, first: int, factors: Words, start: int, add: bool, constants: Words, out: Words, row: int
) -> None:
    """out[row, plane, start:] (+)= sum_i factors[i] x[first + i, plane, start:], as many points as ``factors`` has.

    ``factors`` (rows, points) are below the prime of ``constants``.
    """
    prime, one, carry, carry_quotient = constants[0], constants[1], constants[2], constants[3]
    points, block = factors.shape[1], 512
    high, low = np.empty(block, dtype=np.uint64), np.empty(block, dtype=np.uint64)
    for begin in range(0, points, block):
        n = min(block, points - begin)
        to = out[row, plane, start + begin : start + begin + n]
        for c in range(n):
            high[c], low[c] = np.uint64(0), to[c] if add else np.uint64(0)
        for i in range(factors.shape[0]):
            if i % LAZY_TERMS == LAZY_TERMS - 1:
                for c in range(n):
                    low[c] = reduce_wide(high[c], low[c], prime, one, carry, carry_quotient)
                    high[c] = np.uint64(0)
            values, factor = x[first + i, plane, start + begin : start + begin + n], factors[i, begin : begin + n]
            for c in range(n):
                product = values[c] * factor[c]
                total = low[c] + product
                high[c] += high_product(values[c], factor[c]) + (np.uint64(1) if total < product else np.uint64(0))
                low[c] = total
        for c in range(n):
            to[c] = reduce_wide(high[c], low[c], prime, one, carry, carry_quotient)
