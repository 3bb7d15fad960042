"""The compiler's security table is OpenFHE's, and the parameters it may choose are secure and decrypt."""

from __future__ import annotations

import math

import openfhe
import pytest

from enclair.compiler.parameters import (
    MAX_MODULUS_BITS,
    MODULUS_CHOICES,
    BfvParameters,
    largest_prime,
    max_plaintext_bits,
)
from enclair.runtime.backends.bfv import context as context_module
from enclair.runtime.backends.bfv.context import open_contexts
from enclair.runtime.backends.bfv.keys import generate_keys
from enclair.runtime.errors import OpenFheError


def modulus_bits(ring_dim: int, prime_bits: int, depth: int, level: openfhe.SecurityLevel) -> int | None:
    """Bits of the modulus that OpenFHE chooses; None where it refuses the ring dimension."""
    settings = openfhe.CCParamsBFVRNS()
    settings.SetPlaintextModulus(largest_prime(2**35, ring_dim))
    settings.SetRingDim(ring_dim)
    settings.SetScalingModSize(prime_bits)
    settings.SetMultiplicativeDepth(depth)
    settings.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.BV)
    settings.SetSecurityLevel(level)
    try:
        modulus = openfhe.GenCryptoContext(settings).GetModulus()
    except RuntimeError:
        return None
    return round(math.log2(modulus))


@pytest.mark.parametrize("ring_dim", [4096, 8192, pytest.param(16384, marks=pytest.mark.slow)])
def test_openfhe_accepts_what_the_table_allows_and_nothing_else(ring_dim: int) -> None:
    seen: dict[int, bool] = {}
    for prime_bits in range(50, 61):
        for depth in range(2 + MAX_MODULUS_BITS[ring_dim] // 40):
            bits = modulus_bits(ring_dim, prime_bits, depth, openfhe.SecurityLevel.HEStd_NotSet)
            accepted = modulus_bits(ring_dim, prime_bits, depth, openfhe.SecurityLevel.HEStd_128_classic)
            assert bits is not None
            seen[bits] = accepted is not None
    limit = MAX_MODULUS_BITS[ring_dim]
    assert {bits: bits <= limit for bits in seen} == seen
    assert min(limit - bits for bits in seen if bits <= limit) <= 8
    assert min(bits - limit for bits in seen if bits > limit) <= 8


@pytest.mark.parametrize(("ring_dim", "limbs", "prime_bits"), MODULUS_CHOICES)
def test_worst_case_known_answer_of_every_choice(ring_dim: int, limbs: int, prime_bits: int) -> None:
    """With the largest plaintext modulus, where decryption is closest to failing."""
    t = largest_prime(2 ** max_plaintext_bits(ring_dim, prime_bits), ring_dim)
    keys = generate_keys(BfvParameters(ring_dim, limbs, prime_bits, (t,)))
    assert len(keys.public_key()) == 32 + 2 * limbs * ring_dim * prime_bits // 8


@pytest.mark.slow
@pytest.mark.parametrize(("ring_dim", "limbs", "prime_bits"), MODULUS_CHOICES)
@pytest.mark.parametrize("t_bits", range(18, 51, 4))
def test_openfhe_makes_every_context(ring_dim: int, limbs: int, prime_bits: int, t_bits: int) -> None:
    bits = min(t_bits, max_plaintext_bits(ring_dim, prime_bits))
    parameters = BfvParameters(ring_dim, limbs, prime_bits, (largest_prime(2**bits, ring_dim),))
    assert open_contexts(parameters)[0].ciphertext.primes == parameters.primes


def test_parameters_that_openfhe_cannot_make(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = BfvParameters(4096, 2, 54, (largest_prime(2**30, 4096),))
    monkeypatch.setattr(context_module, "_candidates", lambda *_: [])
    with pytest.raises(
        OpenFheError, match="OpenFHE makes no context of 2 primes of 54 bits at ring dimension 4096 with"
    ):
        context_module._make_scheme(parameters, parameters.modulus)
