"""What a trained attacker is shown of a ciphertext: several views, each with all that may matter in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from tests.encrypted.attacks.uploads import decoded

from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.frames import Limbs

Features = NDArray[np.float64]
"""(count, features)."""
View = Callable[[BfvKeyHolder, Limbs], Features]

COLUMNS = 256
"""Residues of each limb, and slots, that are looked at: images fill the first slots."""
BINS = 64


def residues(keys: BfvKeyHolder, limbs: Limbs) -> Features:
    """The first residues, as parts of their primes."""
    return _flat(limbs[..., :COLUMNS] / _primes(keys))


def digits(_: BfvKeyHolder, limbs: Limbs) -> Features:
    """The bytes of the first residues."""
    few = np.ascontiguousarray(limbs[..., : COLUMNS // 4])
    return _flat(few.view(np.uint8))


def differences(keys: BfvKeyHolder, limbs: Limbs) -> Features:
    """The first residues less those of the first ciphertext, centred: a mask used twice cancels."""
    primes = _primes(keys)[:, :1].astype(np.int64)
    few = limbs[..., :COLUMNS].astype(np.int64)
    gaps = (few - few[:1] + primes // 2) % primes - primes // 2
    return _flat(gaps / primes)


def histograms(keys: BfvKeyHolder, limbs: Limbs) -> Features:
    """How often residues fall in each of 64 parts of their range, and how often each byte occurs, limb by limb."""
    parts = (limbs / _primes(keys) * BINS).astype(np.int64)
    return np.hstack([_counts(parts, BINS), _counts(np.ascontiguousarray(limbs).view(np.uint8), 256)])


def decodings(keys: BfvKeyHolder, limbs: Limbs) -> Features:
    """The slots that ``c0`` alone decodes to, as parts of t."""
    return _flat(decoded(keys, limbs)[:, :COLUMNS] / keys.parameters.plaintext_moduli[0])


VIEWS: Mapping[str, View] = {
    "residues": residues,
    "digits": digits,
    "differences": differences,
    "histograms": histograms,
    "decodings": decodings,
}


def _primes(keys: BfvKeyHolder) -> NDArray[np.float64]:
    return np.array(keys.parameters.primes, dtype=np.float64)[:, None]


def _counts(values: NDArray[np.integer], bins: int) -> Features:
    """(count, 2 x limbs x bins)."""
    rows = values.reshape(len(values) * values.shape[1] * values.shape[2], -1).astype(np.int64)
    numbered = rows + np.arange(len(rows))[:, None] * bins
    return _flat(np.bincount(numbered.reshape(-1), minlength=len(rows) * bins).reshape(len(values), -1))


def _flat(values: NDArray[np.generic]) -> Features:
    return values.reshape(len(values), -1).astype(np.float64)
