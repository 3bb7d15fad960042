"""Sums of products equal Python integers modulo each prime."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.rns.rings import centred, element, exact, ring, seeds

from enclair.compiler.ir.weight_columns import MOST_WEIGHT, TILE
from enclair.runtime.rns import sums
from enclair.runtime.rns.ring import Ring

RINGS = [ring(), ring((31, 27, 26, 26), digit_size=2)]
over_rings = st.sampled_from(RINGS)


def several(rng: np.random.Generator, ring: Ring, rows: np.ndarray, count: int) -> np.ndarray:
    return np.stack([element(rng, ring, rows) for _ in range(count)])


@settings(max_examples=30)
@given(rng=seeds, ring=over_rings, terms=st.integers(0, 40), constants=st.booleans(), split=st.booleans())
def test_sums_of_products(rng: np.random.Generator, ring: Ring, terms: int, constants: bool, split: bool) -> None:
    rows = ring.rows(len(ring.primes) - 1, extended=True)
    x, factors = several(rng, ring, rows, 3), np.concatenate([element(rng, ring, rows) for _ in range(2)])
    cols, which = rng.integers(0, 3, terms), rng.integers(0, 4, terms)
    out = np.empty((2, rows.size, ring.ring_dim))
    for row in range(rows.size):
        first = row if split else 0
        part = np.ascontiguousarray(x[:, :, row : row + 1]) if split else x
        own = np.ascontiguousarray(factors[:, row : row + 1]) if split else factors
        place, prime = (0 if split else row), float(ring.moduli[row])
        if constants:
            sums.sum_multiples(part, own[:, :, 0].copy(), place, cols, which, prime, row, first, out)
        else:
            sums.sum_products(part, own.astype(ring.kept_as), place, cols, which, prime, row, first, out)
    want = 0 * exact(out)
    for col, factor in zip(cols, which, strict=True):
        want = want + exact(x[col]) * exact(factors[factor][:, :1] if constants else factors[factor])
    primes = np.array([ring.every_prime[row] for row in rows.tolist()], dtype=object)[:, None]
    np.testing.assert_array_equal(exact(out), centred(want, primes))


@settings(max_examples=30)
@given(rng=seeds, ring=over_rings, terms=st.integers(0, 80), results=st.integers(1, 9), extreme=st.booleans())
def test_weighted_sums(rng: np.random.Generator, ring: Ring, terms: int, results: int, extreme: bool) -> None:
    rows = ring.rows(len(ring.primes) - 1, extended=False)
    x, factors = several(rng, ring, rows, 3), np.concatenate([element(rng, ring, rows) for _ in range(2)])
    cols, which = rng.integers(0, 3, terms), rng.integers(0, 4, terms)
    largest = MOST_WEIGHT // TILE - 1
    weights = np.zeros((-(-results // 4) * 4, terms))
    drawn = rng.integers(-largest, largest + 1, (results, terms))
    weights[:results] = np.where(drawn > 0, largest, -largest) if extreme else drawn
    to, out = rng.permutation(results + 1)[:results], np.zeros((results + 1, 2, rows.size, ring.ring_dim))
    for row in range(rows.size):
        prime = float(ring.moduli[row])
        sums.sum_weighted(x, factors.astype(ring.kept_as), row, cols, which, weights, prime, row, 0, to, out)
    primes = np.array([ring.every_prime[row] for row in rows.tolist()], dtype=object)[:, None]
    for o in range(results):
        want = 0 * exact(out[0])
        for t in range(terms):
            want = want + int(weights[o, t]) * exact(x[cols[t]]) * exact(factors[which[t]])
        np.testing.assert_array_equal(exact(out[to[o]]), centred(want, primes))
    assert not out[list(set(range(results + 1)) - set(to.tolist()))].any()
