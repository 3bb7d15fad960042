"""The float64 transform equals the one on 64-bit words, in its own order, whatever the residues."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.rns.rings import residues, seeds

from enclair.compiler.parameters import largest_prime
from enclair.runtime.limbs.ntt import Transform, smallest_root
from enclair.runtime.rns import transforms

SIZES = [128, 256, 512, 1024, 8192, 16384]


def transform(bits: int, ring_dim: int) -> Transform:
    prime = largest_prime(2**bits, ring_dim)
    return Transform(prime, ring_dim, smallest_root(prime, ring_dim))


@pytest.mark.parametrize("ring_dim", SIZES)
@pytest.mark.parametrize("bits", [20, 27, 45, 50])
@settings(max_examples=10)
@given(rng=seeds)
def test_forward_is_the_transform_of_words(bits: int, ring_dim: int, rng: np.random.Generator) -> None:
    reference = transform(bits, ring_dim)
    x = residues(rng, reference.prime, (ring_dim,))
    words = (x.astype(np.int64) % reference.prime).astype(np.uint64)
    want = reference.values(words[None])[0].astype(np.int64)
    got = x.copy()
    transforms.forward(got, transforms.tables(reference), float(reference.prime))
    assert np.abs(got).max() <= reference.prime // 2
    np.testing.assert_array_equal(got.astype(np.int64) % reference.prime, want[transforms.order(ring_dim)])


@pytest.mark.parametrize("ring_dim", SIZES)
@pytest.mark.parametrize("bits", [20, 27, 45, 50])
@settings(max_examples=10)
@given(rng=seeds, factor=st.integers(-5, 5))
def test_backward_reverses_forward_and_scales(bits: int, ring_dim: int, rng: np.random.Generator, factor: int) -> None:
    reference = transform(bits, ring_dim)
    prime, table = reference.prime, transforms.tables(reference)
    values = residues(rng, prime, (ring_dim,))
    got = values.copy()
    scale = factor * pow(ring_dim, -1, prime) % prime
    transforms.backward(got, table, float(scale - prime if scale > prime // 2 else scale), float(prime))
    assert np.abs(got).max() <= prime // 2
    transforms.forward(got, table, float(prime))
    np.testing.assert_array_equal(got.astype(np.int64) % prime, values.astype(np.int64) * factor % prime)


def test_order_is_its_own_inverse() -> None:
    places = transforms.order(1024)
    np.testing.assert_array_equal(places[places], np.arange(1024))
