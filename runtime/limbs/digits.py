"""Sums of products modulo a prime, exact in float64.

float64 holds integers up to 2^53. A residue is cut in centred digits, so that ``sum |weight| * |digit|`` stays below
that; BLAS sums the products of each digit, and one pass puts the sums together again, modulo the prime. Weights as wide
as the prime are cut in digits, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from enclair.runtime.limbs.compiled import BIT, FLOAT, INT, WORD, Floats, Integers, Word, Words, compiled, read, write

EXACT = 2**53
MOST_DIGITS = 8


@dataclass(frozen=True)
class Cut:
    """How integers of magnitude at most ``largest`` are cut: ``count`` digits of ``bits`` bits, the lowest first."""

    count: int
    bits: int
    largest: int

    @property
    def largest_digit(self) -> int:
        """Bound of the magnitude of a digit; the digits below the top one are in [-2^(bits-1), 2^(bits-1))."""
        if self.count == 1:
            return self.largest
        return max(1 << (self.bits - 1), (self.largest >> (self.bits * (self.count - 1))) + 1)


@dataclass(frozen=True)
class Scheme:
    """The digits of residues and of weights for sums of products modulo a prime."""

    prime: int
    residues: Cut
    weights: Cut

    @cached_property
    def terms(self) -> Integers:
        """(terms, 3): weight digit, residue digit, and by how many bits to shift before this term is added; from the
        highest power of two to the lowest.
        """
        pairs = [(i, j) for i in range(self.weights.count) for j in range(self.residues.count)]
        powers = {(i, j): i * self.weights.bits + j * self.residues.bits for i, j in pairs}
        order = sorted(pairs, key=lambda pair: -powers[pair])
        before = [powers[order[0]], *(powers[pair] for pair in order[:-1])]
        return np.array([(*pair, last - powers[pair]) for pair, last in zip(order, before, strict=True)])

    @property
    def products(self) -> int:
        """Products of digits for one product."""
        return self.weights.count * self.residues.count


def cut_in(count: int, largest: int) -> Cut:
    """The digits of integers up to ``largest`` in magnitude when there are to be ``count``."""
    return Cut(count, math.ceil((largest.bit_length() + 1) / count), largest)


@lru_cache(maxsize=4096)
def choose_scheme(prime: int, row_sum: int, terms: int, largest_weight: int) -> Scheme:
    """The fewest products of digits that are exact.

    Args:
        prime: below 2^61.
        row_sum: bound of sum |weight| of a result.
        terms: of a result, at most 2^20.
        largest_weight: bound of |weight|.
    """
    schemes = [
        Scheme(prime, cut_in(residue_digits, prime // 2), cut_in(weight_digits, largest_weight))
        for residue_digits in range(1, MOST_DIGITS)
        for weight_digits in range(1, MOST_DIGITS)
    ]
    exact = [s for s in schemes if _bound(s, row_sum, terms) < EXACT]
    return min(exact, key=lambda s: (s.products, s.weights.count))


@lru_cache(maxsize=4096)
def choose_unsigned(prime: int, row_sum: int) -> Scheme:
    """The fewest digits in [0, 2^bits) of residues that are exact; the weights, below 2^45 together, stay whole."""
    width = prime.bit_length()
    count = next(count for count in range(1, width) if row_sum << -(-width // count) < EXACT)
    return Scheme(prime, Cut(count, -(-width // count), prime), Cut(1, 0, row_sum))


def _bound(scheme: Scheme, row_sum: int, terms: int) -> int:
    """Of the magnitude of a sum."""
    weights = row_sum if scheme.weights.count == 1 else terms * scheme.weights.largest_digit
    return weights * scheme.residues.largest_digit


def cut_weights(weights: Integers, cut: Cut) -> Floats:
    """The digits (count * rows, columns) of weights (rows, columns): all rows' lowest digits first."""
    if cut.count == 1:
        return weights.astype(np.float64)
    digits = np.empty((cut.count, *weights.shape))
    rest, half = weights.astype(np.int64), 1 << (cut.bits - 1)
    for i in range(cut.count - 1):
        low = ((rest + half) & ((1 << cut.bits) - 1)) - half
        digits[i], rest = low, (rest - low) >> cut.bits
    digits[-1] = rest
    return digits.reshape(-1, weights.shape[1])


@compiled(read(WORD, 3), INT, read(INT, 1), INT, INT, WORD, INT, INT, write(FLOAT, 2))
def cut_residues(
    x: Words, plane: int, rows: Integers, start: int, stop: int, prime: Word, count: int, bits: int, out: Floats
) -> None:
    """The digits of residues x[rows, plane, start:stop], centred: out (rows, count * (stop - start))."""
    n = stop - start
    half, mask, middle = np.int64(1) << (bits - 1), (np.int64(1) << bits) - 1, np.int64(prime >> np.uint64(1))
    signed = np.int64(prime)
    for k in range(rows.size):
        row, to = x[rows[k], plane, start:stop], out[k]
        if count == 1:
            for c in range(n):
                v = np.int64(row[c])
                to[c] = v - (signed if v > middle else 0)
        elif count == 2:
            for c in range(n):
                v = np.int64(row[c])
                v -= signed if v > middle else 0
                low = ((v + half) & mask) - half
                to[c] = low
                to[n + c] = (v - low) >> bits
        else:
            for c in range(n):
                v = np.int64(row[c])
                v -= signed if v > middle else 0
                for j in range(count - 1):
                    low = ((v + half) & mask) - half
                    to[j * n + c] = low
                    v = (v - low) >> bits
                to[(count - 1) * n + c] = v


@compiled(read(FLOAT, 2), INT, read(INT, 2), WORD, BIT, read(INT, 1), INT, INT, write(WORD, 3))
def recombine(
    sums: Floats, n: int, terms: Integers, prime: Word, add: bool, rows: Integers, plane: int, start: int, out: Words
) -> None:
    """out[rows, plane, start:start+n] = (what is there, if ``add``, +) the sums put together modulo the prime.

    ``sums`` (weight digits * rows, residue digits * n) are integers below 2^53 in magnitude. The quotient by the prime
    is estimated in float64, with an error below 1; what is left is exact in wrapping 64-bit arithmetic.
    """
    signed, inverse = np.int64(prime), 1.0 / np.float64(prime)
    rest = np.empty(n, dtype=np.int64)
    for o in range(rows.size):
        for c in range(n):
            rest[c] = 0
        for i in range(terms.shape[0]):
            shift, power = terms[i, 2], np.float64(np.int64(1) << terms[i, 2])
            term = sums[terms[i, 0] * rows.size + o, terms[i, 1] * n : (terms[i, 1] + 1) * n]
            if i == 0 and terms.shape[0] > 1:
                for c in range(n):
                    rest[c] = np.int64(term[c])
            else:
                for c in range(n):
                    quotient = np.rint((np.float64(rest[c]) * power + term[c]) * inverse)
                    rest[c] = (rest[c] << shift) + np.int64(term[c]) - np.int64(quotient) * signed
        to = out[rows[o], plane, start : start + n]
        for c in range(n):
            v = rest[c]
            v += signed if v < 0 else 0
            if add:
                v += np.int64(to[c])
                v -= signed if v >= signed else 0
            to[c] = np.uint64(v)


@compiled(read(WORD, 3), INT, read(INT, 1), read(FLOAT, 2), INT, INT, INT, INT, write(FLOAT, 2))
def sum_directly(
    x: Words, plane: int, cols: Integers, weights: Floats, start: int, stop: int, count: int, bits: int, out: Floats
) -> None:
    """Sums for few results, where BLAS gains nothing: out (rows, count * (stop - start)), of digits in [0, 2^bits)."""
    n, mask = stop - start, (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for o in range(weights.shape[0]):
        out[o] = 0.0
        for k in range(cols.size):
            weight = weights[o, k]
            if weight == 0.0:
                continue
            row = x[cols[k], plane, start:stop]
            for j in range(count):
                shift, to = np.uint64(j * bits), out[o, j * n : (j + 1) * n]
                for c in range(n):
                    to[c] += weight * np.float64(np.int64((row[c] >> shift) & mask))
