"""Digits, ModDown, rescaling and key switching equal big integers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.rns.rings import centred, element, exact, lifted, ring, seeds

from enclair.runtime.rns import operations
from enclair.runtime.rns.ring import Ring

RINGS = [
    ring(digit_size=1),
    ring(digit_size=2),
    ring((50, 45, 45, 45, 45), digit_size=4),
    ring((27, 26, 26, 26, 26), digit_size=2),
]
NAMES = ["one prime a digit", "two primes a digit", "four primes a digit", "narrow primes"]
over_rings = pytest.mark.parametrize("ring", RINGS, ids=NAMES)


def product_of(ring: Ring, rows: np.ndarray) -> int:
    return math.prod(ring.every_prime[row] for row in rows.tolist())


@over_rings
@settings(max_examples=15)
@given(rng=seeds, data=st.data())
def test_digits_are_small_and_right(ring: Ring, rng: np.random.Generator, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, len(ring.primes) - 1))
    x = element(rng, ring, ring.rows(level, extended=False), parts=1)[0]
    rows = ring.rows(level, extended=True)
    digits = operations.decompose(ring, x, level)
    for (begin, end), digit in zip(ring.digits(level), digits, strict=True):
        value = lifted(ring, digit, rows.tolist())
        want = lifted(ring, x[begin:end], list(range(begin, end)))
        whole = math.prod(ring.primes[begin:end])
        assert all((value - want) % whole == 0)
        assert all(abs(value) <= whole // 2 + whole // 2**40)


@over_rings
@settings(max_examples=15)
@given(rng=seeds, data=st.data())
def test_division_rounds_to_the_nearest(ring: Ring, rng: np.random.Generator, data: st.DataObject) -> None:
    level = data.draw(st.integers(1, len(ring.primes) - 1))
    way = data.draw(st.sampled_from(["rescale", "mod down", "both"]))
    rows = ring.rows(level, extended=way != "rescale")
    x = element(rng, ring, rows)
    if way == "rescale":
        got, kept = operations.rescale(ring, x, level), level
    else:
        drop = 1 if way == "both" else 0
        got, kept = operations.mod_down(ring, x, level, drop=drop), level + 1 - drop
    assert np.abs(got).max(axis=(0, 2)).tolist() <= [p // 2 for p in ring.primes[:kept]]
    divisor = product_of(ring, rows[kept:])
    left = product_of(ring, rows[:kept])
    for part, out in zip(x, got, strict=True):
        value, quotient = lifted(ring, part, rows.tolist()), lifted(ring, out, list(range(kept)))
        rest = centred(value - quotient * divisor, left * divisor)
        assert all(abs(rest) <= divisor // 2 + divisor // 2**40)


@over_rings
@settings(max_examples=15)
@given(rng=seeds, data=st.data())
def test_inner_product(ring: Ring, rng: np.random.Generator, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, len(ring.primes) - 1))
    steps = data.draw(st.integers(0, ring.ring_dim // 2 - 1))
    rows, every = ring.rows(level, extended=True), np.arange(len(ring.every_prime))
    count = len(ring.digits(level))
    digits = np.stack([np.stack([element(rng, ring, rows, parts=1)[0] for _ in range(count)]) for _ in range(2)])
    key = np.stack([element(rng, ring, every) for _ in range(count + 1)]).astype(ring.kept_as)
    wide, added = data.draw(st.booleans()), data.draw(st.integers(0, 2))
    addends = np.stack([element(rng, ring, rows if wide else rows[: level + 1]) for _ in range(2)])
    places = ring.rotation(steps) if steps else operations.NOT_PERMUTED
    to, got = np.array([2, 0]), np.zeros((3, 2, rows.size, ring.ring_dim))
    for part in (range(1), range(1, rows.size)):
        made = np.zeros((3, 2, len(part), ring.ring_dim))
        operations.inner_products(ring, digits, key, level, places, addends, added, to, made, part)
        got[:, :, part.start : part.stop] = made
    primes = np.array([ring.every_prime[row] for row in rows.tolist()], dtype=object)[:, None]
    for c, part in np.ndindex(2, 2):
        want = sum(exact(digits[c, d]) * exact(key[d, part][rows]) for d in range(count))
        if part < added:
            want[: addends.shape[2]] += exact(addends[c, part]) * (1 if wide else ring.special_product)
        want = want[:, places] if steps else want
        np.testing.assert_array_equal(exact(got[to[c], part]), centred(want, primes))
    assert not got[1].any()


@over_rings
@given(rng=seeds)
def test_extending_and_bringing_back_changes_nothing(ring: Ring, rng: np.random.Generator) -> None:
    level = len(ring.primes) - 1
    x = element(rng, ring, ring.rows(level, extended=False))
    np.testing.assert_array_equal(operations.mod_down(ring, operations.extend(ring, x, level), level), x)
