"""The compiler's primes and its security table are OpenFHE's."""

from __future__ import annotations

import math
from itertools import product

import openfhe
import pytest

from enclair.compiler.ckks_parameters import CkksParameters, is_even_cut
from enclair.compiler.parameters import INSECURE, MAX_MODULUS_BITS, ParameterError


def make_scheme(ring_dim: int, levels: int, scale_bits: int, first_bits: int, digits: int, secure: bool) -> object:
    settings = openfhe.CCParamsCKKSRNS()
    settings.SetRingDim(ring_dim)
    settings.SetMultiplicativeDepth(levels)
    settings.SetScalingModSize(scale_bits)
    settings.SetFirstModSize(first_bits)
    settings.SetNumLargeDigits(digits)
    settings.SetScalingTechnique(openfhe.ScalingTechnique.FIXEDMANUAL)
    settings.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.HYBRID)
    level = openfhe.SecurityLevel
    settings.SetSecurityLevel(level.HEStd_128_classic if secure else level.HEStd_NotSet)
    return openfhe.GenCryptoContext(settings)


def evaluation_key(scheme: object) -> bytes:
    for feature in ("PKE", "KEYSWITCH", "LEVELEDSHE"):
        scheme.Enable(getattr(openfhe.PKESchemeFeature, feature))
    secret = scheme.KeyGen().secretKey
    return openfhe.Serialize(scheme.EvalAutomorphismKeyGen(secret, [5]), openfhe.BINARY)


CHOICES = [
    (1024, 1, 49, 49, 1),
    (1024, 1, 40, 50, 2),
    (1024, 4, 22, 23, 3),
    (2048, 5, 40, 50, 3),
    (2048, 8, 30, 30, 1),
    (4096, 9, 45, 46, 4),
    (8192, 12, 34, 50, 13),
    (16384, 7, 41, 49, 2),
    (1024, 2, 20, 36, 2),
    (1024, 1, 20, 36, 1),
    (1024, 1, 20, 35, 1),
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_primes_are_those_of_openfhe(choice: tuple[int, int, int, int, int]) -> None:
    parameters = CkksParameters(*choice, INSECURE)
    scheme = make_scheme(*choice, secure=False)
    assert scheme.GetModulus() == pytest.approx(float(math.prod(parameters.primes)), rel=1e-12)
    key, primes = evaluation_key(scheme), parameters.primes + parameters.special_primes
    places = [key.find(prime.to_bytes(8, "little")) for prime in primes]
    assert -1 not in places
    polynomials = 2 * parameters.digits * len(primes)
    assert 0 < len(key) - polynomials * 8 * parameters.ring_dim < 2048 + 128 * polynomials


@pytest.mark.parametrize("ring_dim", [4096, 8192, pytest.param(16384, marks=pytest.mark.slow)])
def test_openfhe_accepts_what_is_allowed_and_nothing_else(ring_dim: int) -> None:
    wanted = product((26, 33, 40, 49), range(1, 9), (0, 1, 4))
    for scale_bits, levels, more in wanted:
        for digits in range(1, levels + 2):
            if scale_bits + more <= 50 and is_even_cut(levels + 1, digits):
                check_choice(ring_dim, levels, scale_bits, scale_bits + more, digits)


def check_choice(ring_dim: int, levels: int, scale_bits: int, first_bits: int, digits: int) -> None:
    choice = (ring_dim, levels, scale_bits, first_bits, digits)
    try:
        make_scheme(*choice, secure=True)
    except RuntimeError:
        with pytest.raises(ParameterError, match=f"allows {MAX_MODULUS_BITS[ring_dim]}"):
            CkksParameters(*choice)
    else:
        assert CkksParameters(*choice).secure
