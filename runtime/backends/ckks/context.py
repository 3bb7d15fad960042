"""OpenFHE contexts for CKKS: exactly the primes that the parameters name, ciphertexts at the level they are asked for.

OpenFHE counts levels from the top, here they count the rescales that are left: a ciphertext of level l has l + 1 limbs.
Scaling is FIXEDMANUAL: OpenFHE's own scale is always 2^scale_bits, and who encodes or decodes for another scale
multiplies by the ratio (``secret``).

Contexts live until the process ends, and equal parameters give the same one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import openfhe
from numpy.typing import NDArray

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.runtime.backends.frames import Frame, Limbs, find_frame
from enclair.runtime.backends.releases import RELEASE, check_release
from enclair.runtime.errors import OpenFheError
from enclair.runtime.limbs.compiled import Floats
from enclair.runtime.limbs.ntt import Transform, smallest_root

Ciphertext = Any
PublicKey = Any
Plaintext = Any

ROUND_TRIP_TAG = b"0123456789abcdef" * 2


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """An OpenFHE context, and the frame of its public keys.

    Args:
        scheme: OpenFHE's.
        parameters: what it was made of.
        public_key: frame of public keys.
    """

    scheme: Any
    parameters: CkksParameters
    public_key: Frame
    _frames: dict[int, Frame] = field(default_factory=dict, repr=False)

    def frame(self, level: int) -> Frame:
        """The frame of ciphertexts of a level, made and proven when it is first asked for.

        Raises:
            OpenFheError: OpenFHE does not read such a ciphertext as it was written.
        """
        if level not in self._frames:
            self._frames[level] = _ciphertext_frame(self, level)
        return self._frames[level]

    def encode(self, values: Floats, level: int) -> Plaintext:
        """A plaintext of at most N/2 reals at a level, of scale 2^scale_bits. What is not given is zero.

        Raises:
            RuntimeError: OpenFHE's, for values that are too small to be anything but zero, or too large.
        """
        drops = self.parameters.levels - level
        return self.scheme.MakeCKKSPackedPlaintext(np.ascontiguousarray(values, dtype=np.float64), 1, drops)

    def zero(self, level: int) -> Plaintext:
        """Zeros at a level."""
        return self.encode(np.zeros(1), level)

    def read_ciphertext(self, limbs: Limbs, tag: bytes) -> Ciphertext:
        """A ciphertext from checked residues (2, level + 1, N)."""
        return _read_ciphertext(self.frame(limbs.shape[1] - 1), limbs, tag)

    def write_ciphertext(self, ciphertext: Ciphertext, level: int) -> Limbs:
        """Residues (2, level + 1, N) of a ciphertext."""
        return self.frame(level).split(openfhe.Serialize(ciphertext, openfhe.BINARY))

    def read_public_key(self, limbs: Limbs, tag: bytes) -> PublicKey:
        """A public key from checked residues (2, levels + 1, N)."""
        return openfhe.DeserializePublicKeyString(self.public_key.join(limbs, tag), openfhe.BINARY)

    def write_public_key(self, key: PublicKey) -> Limbs:
        """Residues (2, levels + 1, N) of a public key."""
        return self.public_key.split(openfhe.Serialize(key, openfhe.BINARY))


@lru_cache(maxsize=32)
def open_context(parameters: CkksParameters) -> Context:
    """The context of these parameters.

    The frames come from a throw-away key pair: it encrypts zeros once, and nobody keeps it. What they were does not
    matter, since every residue and the tag are overwritten before a frame is used.

    Raises:
        OpenFheError: OpenFHE is of another release, cannot be given these parameters, or computes with others.
    """
    check_release()
    scheme = _make_scheme(parameters)
    context = Context(scheme, parameters, _public_frame(parameters, scheme))
    prove_round_trip(context.public_key, context.read_public_key, context.write_public_key)
    _prove_points(context)
    return context


@lru_cache(maxsize=512)
def open_transform(prime: int, ring_dim: int) -> Transform:
    """The transform modulo a prime whose values are in OpenFHE's order."""
    return Transform(prime, ring_dim, smallest_root(prime, ring_dim))


def _make_scheme(parameters: CkksParameters) -> Any:
    settings = openfhe.CCParamsCKKSRNS()
    settings.SetRingDim(parameters.ring_dim)
    settings.SetMultiplicativeDepth(parameters.levels)
    settings.SetScalingModSize(parameters.scale_bits)
    settings.SetFirstModSize(parameters.first_bits)
    settings.SetNumLargeDigits(parameters.digits)
    settings.SetScalingTechnique(openfhe.ScalingTechnique.FIXEDMANUAL)
    settings.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.HYBRID)
    settings.SetSecretKeyDist(openfhe.SecretKeyDist.UNIFORM_TERNARY)
    level = openfhe.SecurityLevel
    settings.SetSecurityLevel(level.HEStd_128_classic if parameters.secure else level.HEStd_NotSet)
    try:
        scheme = openfhe.GenCryptoContext(settings)
    except RuntimeError as error:
        raise OpenFheError(f"OpenFHE makes no context of {parameters.to_json()}: {error}") from error
    for feature in ("PKE", "KEYSWITCH", "LEVELEDSHE"):
        scheme.Enable(getattr(openfhe.PKESchemeFeature, feature))
    return scheme


def _public_frame(parameters: CkksParameters, scheme: Any) -> Frame:
    key = scheme.KeyGen().publicKey
    data, tag = openfhe.Serialize(key, openfhe.BINARY), key.GetKeyTag().encode()
    return find_frame("public key", data, parameters.primes, parameters.ring_dim, 2, tag)


def _ciphertext_frame(context: Context, level: int) -> Frame:
    secret = context.scheme.KeyGen().secretKey
    zero = context.scheme.Encrypt(secret, context.zero(level))
    parameters, data = context.parameters, openfhe.Serialize(zero, openfhe.BINARY)
    primes, tag = parameters.primes[: level + 1], secret.GetKeyTag().encode()
    frame = find_frame(f"ciphertext of level {level}", data, primes, parameters.ring_dim, 2, tag)
    prove_round_trip(
        frame,
        lambda limbs, tag: _read_ciphertext(frame, limbs, tag),
        lambda cipher: frame.split(openfhe.Serialize(cipher, openfhe.BINARY)),
    )
    return frame


def _read_ciphertext(frame: Frame, limbs: Limbs, tag: bytes) -> Ciphertext:
    return openfhe.DeserializeCiphertextString(frame.join(limbs, tag), openfhe.BINARY)


def prove_round_trip(frame: Frame, read: Callable[[Limbs, bytes], Any], write: Callable[[Any], Limbs]) -> None:
    """Patch other residues and another tag in, let OpenFHE read and write them: they must come back."""
    limbs = np.arange(math.prod(frame.shape), dtype=np.uint64).reshape(frame.shape) % np.uint64(min(frame.primes))
    thing = read(limbs, ROUND_TRIP_TAG)
    if thing.GetKeyTag().encode() != ROUND_TRIP_TAG or not np.array_equal(write(thing), limbs):
        raise OpenFheError(f"OpenFHE did not read a {frame.kind} as it was written: use OpenFHE {RELEASE}")


def _prove_points(context: Context) -> None:
    """The limbs of a plaintext, brought back to coefficients, must be the same small integers modulo every prime.

    With another root, or values in another order, they would be of the primes' size.

    Raises:
        OpenFheError: OpenFHE evaluates polynomials at points that are not known here.
    """
    parameters = context.parameters
    level, ring_dim = parameters.levels, parameters.ring_dim
    one = np.zeros((2, level + 1, ring_dim), dtype=np.uint64)
    one[0] = 1
    values: Floats = np.linspace(-1.0, 1.0, parameters.slots, dtype=np.float64)
    product = context.scheme.EvalMult(context.read_ciphertext(one, ROUND_TRIP_TAG), context.encode(values, level))
    limbs = context.write_ciphertext(product, level)[0]
    check_small(parameters.primes, limbs, 2 ** (parameters.scale_bits + 1))


def check_small(primes: Sequence[int], limbs: Limbs, bound: int) -> NDArray[np.int64]:
    """The coefficients (N,) of a polynomial from its residues (primes, N).

    Raises:
        OpenFheError: they are not the same integers below the bound in magnitude modulo every prime.
    """
    rows = []
    for prime, limb in zip(primes, limbs, strict=True):
        row = open_transform(prime, limb.size).coefficients(limb[None])[0].astype(np.int64)
        rows.append(np.where(row > prime // 2, row - prime, row))
    if np.abs(rows[0]).max() >= bound or any(not np.array_equal(row, rows[0]) for row in rows):
        raise OpenFheError(f"OpenFHE evaluates polynomials at other points than expected: use OpenFHE {RELEASE}")
    first: NDArray[np.int64] = rows[0]
    return first


openfhe.DisablePrecomputeCRTTablesAfterDeserializaton()
"""Objects are read into contexts that this module made, tables and all; making the tables again would take most of the
time.
"""
