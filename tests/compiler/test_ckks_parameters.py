from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ckks_parameters import (
    CkksParameters,
    digit_bits,
    fitting_parameters,
    is_even_cut,
    modulus_bits,
    parameters_from_json,
)
from enclair.compiler.parameters import (
    INSECURE,
    MAX_MODULUS_BITS,
    BfvParameters,
    ParameterError,
    is_prime,
    smallest_prime,
)

GOOD = CkksParameters(16384, 5, 40, 50, 3)


@st.composite
def any_parameters(draw: st.DrawFn) -> CkksParameters:
    levels, scale_bits = draw(st.integers(1, 24)), draw(st.integers(26, 49))
    digits = draw(st.sampled_from([digits for digits in range(1, levels + 2) if is_even_cut(levels + 1, digits)]))
    ring_dim, first_bits = draw(st.sampled_from([64, 1024, 8192, 32768])), draw(st.integers(scale_bits, 50))
    return CkksParameters(ring_dim, levels, scale_bits, first_bits, digits, INSECURE)


@given(any_parameters())
def test_primes_are_different_and_the_server_can_compute_with_them(parameters: CkksParameters) -> None:
    primes = parameters.primes + parameters.special_primes
    assert len(set(primes)) == len(primes)
    assert len(parameters.primes) == parameters.levels + 1
    assert all(is_prime(prime) and prime % (2 * parameters.ring_dim) == 1 for prime in primes)
    assert max(parameters.primes) < 2**50
    assert {prime.bit_length() for prime in parameters.special_primes} == {60}


@given(any_parameters())
def test_special_primes_are_longer_than_the_longest_digit(parameters: CkksParameters) -> None:
    sizes = [parameters.digit_size] * (parameters.digits - 1)
    assert 0 < parameters.levels + 1 - sum(sizes) <= parameters.digit_size
    assert len(digit_bits(parameters)) == parameters.digits
    needed = max(digit_bits(parameters))
    assert 60 * (len(parameters.special_primes) - 1) < needed + 4 <= 60 * len(parameters.special_primes)


@given(any_parameters())
def test_scales_follow_the_primes_and_stay_where_they_are(parameters: CkksParameters) -> None:
    scales, primes = parameters.scales, parameters.primes
    assert len(scales) == parameters.levels + 1
    assert all(scales[level - 1] == scales[level] ** 2 / primes[level] for level in range(1, len(primes)))
    farthest = max(abs(math.log2(prime) - parameters.scale_bits) for prime in primes[1:])
    assert all(abs(math.log2(scale) - parameters.scale_bits) <= farthest + 1e-6 for scale in scales)


def test_bytes_on_the_wire() -> None:
    bits = [prime.bit_length() for prime in GOOD.primes]
    assert bits == [50, 41, 40, 41, 40, 41]
    assert GOOD.ciphertext_bytes(0) == 2 * 50 * 16384 // 8
    assert GOOD.ciphertext_bytes(5) == 2 * sum(bits) * 16384 // 8
    assert GOOD.ciphertext_bytes(5, parts=3) == 3 * sum(bits) * 16384 // 8
    assert GOOD.public_key_bytes == 32 + GOOD.ciphertext_bytes(5)
    assert GOOD.key_bytes == 3 * 2 * (sum(bits) + 60 * len(GOOD.special_primes)) * 16384 // 8


@pytest.mark.parametrize(
    ("ring_dim", "levels", "scale_bits", "first_bits", "digits"),
    [(8192, 1, 30, 40, 1), (8192, 5, 26, 27, 3), (16384, 5, 40, 50, 2), (32768, 5, 40, 50, 1)],
)
def test_the_fewest_digits_that_fit(ring_dim: int, levels: int, scale_bits: int, first_bits: int, digits: int) -> None:
    found = list(fitting_parameters(ring_dim, levels, scale_bits, first_bits))
    assert found[0].digits == digits
    assert [each.digits for each in found] == sorted(each.digits for each in found)
    assert all(each.secure and modulus_bits(each) <= MAX_MODULUS_BITS[ring_dim] for each in found)
    for smaller in range(1, digits):
        if is_even_cut(levels + 1, smaller):
            with pytest.raises(ParameterError, match="128-bit security"):
                replace(found[0], digits=smaller)


def test_more_levels_than_a_ring_holds() -> None:
    assert not list(fitting_parameters(8192, 5, 40, 50))
    assert not list(fitting_parameters(65536, 48, 49, 50))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ring_dim": 8000}, "ring_dim must be a power of two from 16 to 131072, got 8000"),
        ({"ring_dim": 8}, "ring_dim must be a power of two from 16 to 131072, got 8"),
        ({"ring_dim": 262144}, "ring_dim must be a power of two from 16 to 131072, got 262144"),
        ({"levels": 0}, "levels must be 1 to 48, got 0"),
        ({"scale_bits": 50}, "scale_bits must be 20 to 49, got 50"),
        ({"scale_bits": 19}, "scale_bits must be 20 to 49, got 19"),
        ({"first_bits": 39}, "first_bits must be scale_bits, 40, to 50, got 39"),
        ({"first_bits": 51}, "first_bits must be scale_bits, 40, to 50, got 51"),
        ({"security": "none"}, "security must be HEStd_128_classic .*, got 'none'"),
        ({"digits": 4}, "6 primes cannot be cut in 4 equal digits: use one of 1, 2, 3, 6"),
        ({"digits": 0}, "6 primes cannot be cut in 0 equal digits"),
        (
            {"digits": 1},
            "5 special primes of 60 make a modulus of 551 bits; 128-bit security at ring dimension 16384 al",
        ),
        ({"ring_dim": 1024}, "at ring dimension 1024 allows 0: use fewer levels, more digits or a larger ring"),
    ],
)
def test_refused_parameters(change: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(GOOD, **change)


def test_no_prime_that_small() -> None:
    with pytest.raises(ParameterError, match="there is no prime below"):
        CkksParameters(131072, 20, 20, 40, 21, INSECURE)


def test_small_rings_are_insecure() -> None:
    assert not CkksParameters(64, 3, 40, 50, 2, INSECURE).secure


def test_json_round_trip_and_digest() -> None:
    assert CkksParameters.from_json(GOOD.to_json()) == GOOD
    assert parameters_from_json(GOOD.to_json()) == GOOD
    assert replace(GOOD, first_bits=49).digest() != GOOD.digest()
    assert len(GOOD.digest()) == 64


def test_json_of_either_scheme() -> None:
    bfv = BfvParameters(8192, 2, 60, (smallest_prime(2**40, 8192),))
    assert parameters_from_json(bfv.to_json()) == bfv


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "parameters must be JSON, got '{'"),
        ("[]", "parameters must be a JSON object, got "),
        (json.dumps({**json.loads(GOOD.to_json()), "extra": 1}), "must have scheme, ring_dim, levels, .*, got .*extra"),
        (json.dumps({**json.loads(GOOD.to_json()), "scheme": "BGV"}), "scheme must be CKKS, got 'BGV'"),
        (json.dumps({**json.loads(GOOD.to_json()), "levels": "2"}), "levels must be an integer, got '2'"),
        (json.dumps({**json.loads(GOOD.to_json()), "levels": True}), "levels must be an integer, got True"),
        (json.dumps({**json.loads(GOOD.to_json()), "security": 1}), "security must be a string, got 1"),
        (GOOD.to_json().replace("16384", "8192"), "128-bit security at ring dimension 8192 allows 218"),
    ],
)
def test_malformed_json(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        CkksParameters.from_json(text)
