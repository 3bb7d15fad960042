"""Keys brought to other special primes: P'/P times the key, rounded."""

import math

import numpy as np
import pytest
from tests.runtime.ckks.client import Parameters
from tests.runtime.rns.rings import centred, lifted, ring

from enclair.compiler.parameters import largest_prime
from enclair.runtime.errors import PayloadError
from enclair.runtime.limbs.ntt import Transform, smallest_root
from enclair.runtime.rns.keys import bring_key, switch_tables


@pytest.mark.parametrize("specials", [1, 2, 3])
@pytest.mark.parametrize("merged", [1, 2])
def test_a_brought_key_is_the_key_scaled_and_rounded(specials: int, merged: int) -> None:
    own = ring((50, 40, 40, 27), digit_size=2)
    special = [largest_prime(2**60, own.ring_dim)]
    while len(special) < specials:
        special.append(largest_prime(special[-1], own.ring_dim))
    parameters = Parameters(own.ring_dim, own.primes, tuple(special), own.digit_size // merged)
    transforms = [*own.transforms[:4], *(Transform(p, own.ring_dim, smallest_root(p, own.ring_dim)) for p in special)]
    rng = np.random.default_rng(specials)
    key = np.stack(
        [rng.integers(0, t.prime, (2 * merged, 2, own.ring_dim)).astype(np.uint64) for t in transforms], axis=2
    )
    got = bring_key(key, switch_tables(parameters, own), 3, "test")
    old, new = math.prod(special), own.special_product
    modulus = math.prod(own.primes) * old
    for digit, part in np.ndindex(2, 2):
        total = np.zeros(own.ring_dim, dtype=object)
        for i, t in enumerate(transforms):
            other = modulus // t.prime
            for row in key[digit * merged : (digit + 1) * merged, part, i]:
                total += t.coefficients(row[None])[0].astype(object) * (other * pow(other, -1, t.prime))
        brought = lifted(own, got[digit, part], list(range(len(own.every_prime))))
        rest = centred(brought * old - centred(total, modulus) * new, math.prod(own.primes) * old * new)
        assert all(abs(rest) <= old // 2 + old // 2**40)


def test_a_key_of_another_shape_is_refused() -> None:
    own = ring((50, 40, 40, 27), digit_size=2)
    parameters = Parameters(own.ring_dim, own.primes, (largest_prime(2**60, own.ring_dim),), own.digit_size)
    with pytest.raises(PayloadError) as caught:
        bring_key(np.zeros((1, 2, 5, 128), dtype=np.uint64), switch_tables(parameters, own), 3, "rotation 3")
    assert str(caught.value) == (
        "the rotation 3 key needs uint64 residues of shape (2, 2, 5, 128) (digits, 2, limbs, N), got uint64"
        " (1, 2, 5, 128): make keys for these parameters"
    )
