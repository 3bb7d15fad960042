"""Slots are the values of a polynomial at the powers 5^j of a root of unity."""

import numpy as np
import pytest
from hypothesis import given
from tests.runtime.rns.rings import lifted, ring, seeds

from enclair.runtime.errors import RuntimeFailure, ValueRangeError
from enclair.runtime.rns import encoding
from enclair.runtime.rns.ring import Ring


@given(rng=seeds)
def test_slots_are_values_at_powers_of_five(rng: np.random.Generator) -> None:
    slots, n = rng.normal(size=64), 128
    coefficients = encoding.coefficients(slots)
    roots = np.exp(1j * np.pi / n * np.array([pow(5, j, 2 * n) for j in range(64)]))
    np.testing.assert_allclose(np.polynomial.polynomial.polyval(roots, coefficients), slots, atol=1e-12)
    np.testing.assert_allclose(encoding.slots(coefficients), slots, atol=1e-12)


def test_vectors_are_encoded_side_by_side() -> None:
    slots = np.random.default_rng(0).normal(size=(2, 3, 64))
    got = encoding.coefficients(slots)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(got[i, j], encoding.coefficients(slots[i, j]))


def test_residues_are_the_rounded_coefficients() -> None:
    own = ring()
    coefficients = np.random.default_rng(1).normal(size=128) * 2.0**60
    rows = own.rows(5, extended=True)
    got = encoding.residues(own, coefficients, rows)
    assert lifted(own, got, rows.tolist()).tolist() == [int(c) for c in np.rint(coefficients)]


@pytest.mark.parametrize("value", [2.0**80, np.inf, np.nan])
def test_what_cannot_be_encoded_is_refused(value: float) -> None:
    own = ring()
    with pytest.raises(ValueRangeError, match=r"must be below 2\^50 times the smallest prime, .* rescale before"):
        encoding.residues(own, np.full(128, value), own.rows(5, extended=False))


def test_rings_that_cannot_be_are_refused() -> None:
    with pytest.raises(RuntimeFailure, match="a ring needs N >= 128, got 64: use a larger one"):
        Ring(64, (12289,), 1)
    with pytest.raises(RuntimeFailure) as caught:
        Ring(128, (12289, 2**60 + 1), 1)
    assert str(caught.value) == (
        f"primes of Q must be below 2^50 and 1 modulo 2N, got [{2**60 + 1}] for N = 128:"
        " compile again with smaller scales"
    )
