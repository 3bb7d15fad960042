"""Value by value: each kernel equals Python integers modulo the prime."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.rns.rings import centred, element, exact, ring, seeds

from enclair.runtime.rns import elementwise, transforms

RING = ring()
ROWS = RING.rows(5, extended=True)
MODULI = RING.moduli[ROWS]
PRIMES = np.array([RING.every_prime[row] for row in ROWS.tolist()], dtype=object)[:, None]


def assert_is(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_array_equal(exact(got), centred(want, PRIMES))


@given(rng=seeds, subtract=st.booleans())
def test_add(rng: np.random.Generator, subtract: bool) -> None:
    x, y = element(rng, RING, ROWS), element(rng, RING, ROWS)
    out = np.empty_like(x)
    elementwise.add(x, y, MODULI, subtract, out)
    assert_is(out, exact(x) - exact(y) if subtract else exact(x) + exact(y))


@given(rng=seeds)
def test_products(rng: np.random.Generator) -> None:
    x, y = element(rng, RING, ROWS), element(rng, RING, ROWS)
    out, three = np.empty_like(x), np.empty((3, *x.shape[1:]))
    elementwise.multiply(x, y[0].copy(), MODULI, out)
    assert_is(out, exact(x) * exact(y[0]))
    elementwise.multiply_constant(x, y[1, :, 5].copy(), MODULI, out)
    assert_is(out, exact(x) * exact(y[1, :, 5:6]))
    elementwise.multiply_ciphers(x, y, MODULI, three)
    x, y = exact(x), exact(y)
    assert_is(three, np.stack([x[0] * y[0], x[0] * y[1] + x[1] * y[0], x[1] * y[1]]))


@given(rng=seeds)
def test_words_there_and_back(rng: np.random.Generator) -> None:
    x = element(rng, RING, ROWS, parts=1)[0]
    primes, order = np.array(RING.every_prime, dtype=np.uint64), transforms.order(RING.ring_dim)
    words, back = np.empty(x.shape, dtype=np.uint64), np.empty_like(x)
    elementwise.to_words(x, order, primes, words)
    np.testing.assert_array_equal(words.astype(object), (exact(x) % PRIMES)[:, order])
    elementwise.from_words(words, order, primes, back)
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("steps", [0, 1, 5, 63])
@given(rng=seeds)
def test_rotation_is_the_automorphism_of_coefficients(steps: int, rng: np.random.Generator) -> None:
    from tests.runtime.rns.rings import coefficients

    x = element(rng, RING, ROWS, parts=1)[0]
    out = np.empty_like(x)
    elementwise.permute(x, RING.rotation(steps), out)
    n, power = RING.ring_dim, pow(5, steps, 2 * RING.ring_dim)
    for row in (0, ROWS.size - 1):
        prime = RING.every_prime[ROWS[row]]
        want = np.zeros(n, dtype=object)
        for i, c in enumerate(coefficients(RING, x[row], ROWS[row])):
            place = i * power % (2 * n)
            want[place % n] = c if place < n else -c
        np.testing.assert_array_equal(coefficients(RING, out[row], ROWS[row]), want % prime)
