from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.parameters import (
    INSECURE,
    MAX_MODULUS_BITS,
    MODULUS_CHOICES,
    BfvParameters,
    ParameterError,
    answer_headroom,
    choose_plaintext_moduli,
    flood_noise_bits,
    is_prime,
    largest_prime,
    max_plaintext_bits,
    noise_room_bits,
    smallest_prime,
    sum_room_bits,
)

GOOD = BfvParameters(8192, 2, 60, (smallest_prime(2**40, 8192),))
RINGS = st.sampled_from([64, 4096, 8192, 16384])


def test_is_prime_agrees_with_a_sieve() -> None:
    sieve = bytearray([0, 0]) + bytearray([1]) * 99_998
    for n in range(2, 317):
        sieve[n * n :: n] = bytes(len(range(n * n, 100_000, n)))
    assert [n for n in range(100_000) if is_prime(n)] == [n for n in range(100_000) if sieve[n]]


@pytest.mark.parametrize("n", [2**31 - 1, 2**61 - 1, 2**60 - 2**14 + 1, 2**89 - 1])
def test_large_primes(n: int) -> None:
    assert is_prime(n)


@pytest.mark.parametrize("n", [3215031751, 341550071728321, 3825123056546413051, 2**67 - 1])
def test_composites_that_pass_for_few_bases(n: int) -> None:
    assert not is_prime(n)


@given(st.integers(2, 2**31), st.integers(2, 2**31))
def test_products_are_not_prime(a: int, b: int) -> None:
    assert not is_prime(a * b)


@given(st.integers(2, 2**55), RINGS)
def test_smallest_prime_is_the_next_one_with_all_slots(bound: int, ring_dim: int) -> None:
    prime = smallest_prime(bound, ring_dim)
    assert is_prime(prime)
    assert prime % (2 * ring_dim) == 1
    between = range(max(bound - 1, 2 * ring_dim) // (2 * ring_dim) * 2 * ring_dim + 1, prime, 2 * ring_dim)
    assert not any(is_prime(candidate) for candidate in between if candidate >= bound)


@given(st.integers(2**20, 2**60), RINGS)
def test_largest_prime_is_below_its_bound(bound: int, ring_dim: int) -> None:
    prime = largest_prime(bound, ring_dim)
    assert prime < bound
    assert smallest_prime(prime + 1, ring_dim) >= bound


def test_no_prime_below_a_small_bound() -> None:
    with pytest.raises(ParameterError, match="no prime below 100 that is 1 modulo 16384"):
        largest_prime(100, 8192)


@pytest.mark.parametrize(("ring_dim", "limbs", "prime_bits"), MODULUS_CHOICES)
@pytest.mark.parametrize("bits", [20, 30, 40, 60])
def test_chosen_moduli_hold_the_values(ring_dim: int, limbs: int, prime_bits: int, bits: int) -> None:
    moduli = choose_plaintext_moduli(2**bits, ring_dim, prime_bits)
    parameters = BfvParameters(ring_dim, limbs, prime_bits, moduli)
    assert parameters.largest_value >= 2**bits
    assert len(moduli) == (1 if bits < 45 else 2)
    assert answer_headroom(parameters) >= 0


def test_values_that_no_two_moduli_hold() -> None:
    with pytest.raises(
        ParameterError, match="need 72 bits; two moduli of 50 bits, 62 bits together, hold less at ring"
    ):
        choose_plaintext_moduli(2**70, 8192, 60)


@pytest.mark.parametrize(("ring_dim", "limbs", "prime_bits"), MODULUS_CHOICES)
def test_room_is_what_flooding_and_uploads_leave(ring_dim: int, limbs: int, prime_bits: int) -> None:
    parameters = BfvParameters(ring_dim, limbs, prime_bits, (smallest_prime(2**40, ring_dim),))
    modulus_bits = sum(math.log2(prime) for prime in parameters.primes)
    assert modulus_bits - 40 - 4.01 <= flood_noise_bits(parameters) <= modulus_bits - 40 - 3
    assert noise_room_bits(parameters) == pytest.approx(flood_noise_bits(parameters) - 5.3, abs=0.1)
    assert sum_room_bits(parameters) == noise_room_bits(parameters) - 40


def test_largest_plaintext_moduli() -> None:
    assert [max_plaintext_bits(n, bits) for n, _, bits in MODULUS_CHOICES[:4]] == [45, 50, 50, 50]
    parameters = BfvParameters(4096, 2, 54, (largest_prime(2**45, 4096),))
    assert 0 < answer_headroom(parameters) < 0.1
    with pytest.raises(
        ParameterError, match="holds plaintext moduli up to 45 bits at ring dimension 4096, got 46 bits"
    ):
        BfvParameters(4096, 2, 54, (largest_prime(2**46, 4096),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ring_dim": 8000}, "ring_dim must be a power of two of at least 16, got 8000"),
        ({"ring_dim": 8}, "ring_dim must be a power of two of at least 16, got 8"),
        ({"limbs": 1}, "limbs must be 2 to 16, got 1"),
        ({"prime_bits": 61}, "prime_bits must be 30 to 60, got 61"),
        ({"flood_bits": -1}, "flood_bits must be 0 to 128, got -1"),
        ({"security": "none"}, "security must be HEStd_128_classic .*, got 'none'"),
        ({"limbs": 4}, "make a modulus of 240 bits; 128-bit security at ring dimension 8192 allows 218"),
        ({"plaintext_moduli": ()}, "one prime or two different ones, got "),
        ({"plaintext_moduli": (65537 * 16, 5)}, "must be a prime that is 1 modulo 16384, got 1048592"),
        ({"plaintext_moduli": (GOOD.modulus, GOOD.modulus)}, "one prime or two different ones"),
        (
            {"plaintext_moduli": (smallest_prime(2**40, 8192), smallest_prime(2**39, 8192))},
            "must have 62 bits together, got 80",
        ),
        ({"plaintext_moduli": (smallest_prime(2**51, 8192),)}, "plaintext moduli up to 50 bits"),
    ],
)
def test_refused_parameters(change: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(GOOD, **change)


def test_small_rings_are_insecure() -> None:
    moduli = (smallest_prime(2**20, 64),)
    with pytest.raises(ParameterError, match="128-bit security at ring dimension 64 allows 0"):
        BfvParameters(64, 2, 60, moduli)
    assert not BfvParameters(64, 2, 60, moduli, security=INSECURE).secure


def test_json_round_trip_and_digest() -> None:
    assert BfvParameters.from_json(GOOD.to_json()) == GOOD
    assert replace(GOOD, flood_bits=39).digest() != GOOD.digest()
    assert len(GOOD.digest()) == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "parameters must be JSON, got '{'"),
        ("[]", "must be an object with ring_dim, limbs, prime_bits, plaintext_moduli, flood_bits, security, got"),
        (json.dumps({**json.loads(GOOD.to_json()), "extra": 1}), "must be an object with ring_dim"),
        (json.dumps({**json.loads(GOOD.to_json()), "limbs": "2"}), "limbs must be an integer, got '2'"),
        (json.dumps({**json.loads(GOOD.to_json()), "limbs": True}), "limbs must be an integer, got True"),
        (json.dumps({**json.loads(GOOD.to_json()), "plaintext_moduli": 5}), "plaintext_moduli must be a list, got 5"),
        (json.dumps({**json.loads(GOOD.to_json()), "plaintext_moduli": ["5"]}), "plaintext_moduli must be an integer"),
        (json.dumps({**json.loads(GOOD.to_json()), "security": 1}), "security must be a string, got 1"),
        (
            GOOD.to_json().replace("8192", "4096"),
            "a modulus of 120 bits; 128-bit security at ring dimension 4096 allows 109",
        ),
    ],
)
def test_malformed_json(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        BfvParameters.from_json(text)


def test_table_grows_with_the_ring() -> None:
    assert sorted(MAX_MODULUS_BITS.values()) == list(MAX_MODULUS_BITS.values())
