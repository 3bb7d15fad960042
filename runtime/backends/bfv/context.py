"""OpenFHE contexts: one per plaintext modulus, with exactly the primes that the parameters name.

OpenFHE derives the number of limbs from a depth; the depth (and, where depths skip a number, the digit size of
relinearisation, which is never used) is searched for. No evaluation key exists, so Q alone counts for security, and key
switching is BV, which adds no primes to it.

Contexts live until the process ends, and equal parameters give the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import openfhe

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.frames import Frame, Limbs, find_frame
from enclair.runtime.backends.releases import RELEASE, check_release
from enclair.runtime.errors import OpenFheError

Ciphertext = Any
PublicKey = Any
SecretKey = Any
Plaintext = Any


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """An OpenFHE context for one plaintext modulus, and the frames of its objects."""

    scheme: Any
    plaintext_modulus: int
    ring_dim: int
    ciphertext: Frame
    answer: Frame
    public_key: Frame

    def encode(self, values: np.ndarray[Any, np.dtype[np.int64]]) -> Plaintext:
        """A plaintext of N integers of magnitude below t/2; fewer stand for themselves and zeros."""
        return self.scheme.MakePackedPlaintext(values)

    def encode_constant(self, value: int) -> Plaintext:
        """A plaintext with the same integer in all slots."""
        return self.encode(np.full(self.ring_dim, value, dtype=np.int64))

    def zero_plaintext(self) -> Plaintext:
        """Zeros, for encryptions of zero: as coefficients, which OpenFHE would bring any plaintext to each time."""
        zero = self.encode_constant(0)
        zero.SetFormat(openfhe.Format.COEFFICIENT)
        return zero

    def read_ciphertext(self, limbs: Limbs, tag: bytes) -> Ciphertext:
        """A ciphertext with all limbs from checked residues."""
        return openfhe.DeserializeCiphertextString(self.ciphertext.join(limbs, tag), openfhe.BINARY)

    def read_answer(self, limbs: Limbs, tag: bytes) -> Ciphertext:
        """A ciphertext of one limb from checked residues."""
        return openfhe.DeserializeCiphertextString(self.answer.join(limbs, tag), openfhe.BINARY)

    def read_public_key(self, limbs: Limbs, tag: bytes) -> PublicKey:
        """A public key from checked residues."""
        return openfhe.DeserializePublicKeyString(self.public_key.join(limbs, tag), openfhe.BINARY)

    def write_ciphertext(self, ciphertext: Ciphertext) -> Limbs:
        """Residues (2, limbs, N) of a ciphertext with all limbs."""
        return self.ciphertext.split(openfhe.Serialize(ciphertext, openfhe.BINARY))

    def write_answer(self, ciphertext: Ciphertext) -> Limbs:
        """Residues (2, 1, N) of a ciphertext of one limb."""
        return self.answer.split(openfhe.Serialize(ciphertext, openfhe.BINARY))


def open_contexts(parameters: BfvParameters) -> tuple[Context, ...]:
    """One context for each plaintext modulus.

    Raises:
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    check_release()
    return tuple(open_context(parameters, t) for t in parameters.plaintext_moduli)


@lru_cache(maxsize=32)
def open_context(parameters: BfvParameters, plaintext_modulus: int) -> Context:
    """The context for a plaintext modulus; the other fields of the parameters say N, Q and security.

    The frames come from a throw-away key pair: it encrypts zeros once, and nobody keeps it. What they were does not
    matter, since every residue and the tag are overwritten before a frame is used.
    """
    scheme = _make_scheme(parameters, plaintext_modulus)
    frames = _frames(parameters, scheme)
    context = Context(scheme, plaintext_modulus, parameters.ring_dim, *frames)
    _prove_round_trip(context)
    return context


def _make_scheme(parameters: BfvParameters, plaintext_modulus: int) -> Any:
    modulus = float(np.prod([float(prime) for prime in parameters.primes]))
    for scheme in _candidates(parameters, plaintext_modulus):
        if abs(scheme.GetModulus() / modulus - 1) < 1e-9:
            scheme.Enable(openfhe.PKESchemeFeature.PKE)
            scheme.Enable(openfhe.PKESchemeFeature.LEVELEDSHE)
            return scheme
    raise OpenFheError(
        f"OpenFHE makes no context of {parameters.limbs} primes of {parameters.prime_bits} bits at ring dimension"
        f" {parameters.ring_dim}"
        f" with plaintext modulus {plaintext_modulus} and security {parameters.security}: choose another number"
        " of limbs"
    )


def _candidates(parameters: BfvParameters, plaintext_modulus: int) -> Iterator[Any]:
    for digit_size, depth in product((0, 30), range(2 * parameters.limbs + 1)):
        settings = openfhe.CCParamsBFVRNS()
        settings.SetPlaintextModulus(plaintext_modulus)
        settings.SetRingDim(parameters.ring_dim)
        settings.SetScalingModSize(parameters.prime_bits)
        settings.SetMultiplicativeDepth(depth)
        settings.SetDigitSize(digit_size)
        settings.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.BV)
        level = openfhe.SecurityLevel
        settings.SetSecurityLevel(level.HEStd_128_classic if parameters.secure else level.HEStd_NotSet)
        try:
            scheme = openfhe.GenCryptoContext(settings)
        except RuntimeError:
            continue  # too deep for the ring dimension
        yield scheme


def _frames(parameters: BfvParameters, scheme: Any) -> tuple[Frame, Frame, Frame]:
    keys = scheme.KeyGen()
    zero = scheme.Encrypt(keys.publicKey, scheme.MakePackedPlaintext(np.zeros(1, dtype=np.int64)))
    tag, primes, ring_dim = keys.publicKey.GetKeyTag().encode(), parameters.primes, parameters.ring_dim
    objects = (
        ("ciphertext", zero, primes),
        ("answer", scheme.Compress(zero, 1), primes[:1]),
        ("public key", keys.publicKey, primes),
    )
    first, second, third = (
        find_frame(kind, openfhe.Serialize(thing, openfhe.BINARY), limbs, ring_dim, 2, tag)
        for kind, thing, limbs in objects
    )
    return first, second, third


def _prove_round_trip(context: Context) -> None:
    """Patch other residues and another tag in, let OpenFHE read and write them: they must come back."""
    tag = b"0123456789abcdef" * 2
    proofs = (
        (context.ciphertext, context.read_ciphertext, context.write_ciphertext),
        (context.answer, context.read_answer, context.write_answer),
        (
            context.public_key,
            context.read_public_key,
            lambda key: context.public_key.split(openfhe.Serialize(key, openfhe.BINARY)),
        ),
    )
    for frame, read, write in proofs:
        limbs = np.arange(np.prod(frame.shape), dtype=np.uint64).reshape(frame.shape)
        thing = read(limbs, tag)
        if thing.GetKeyTag().encode() != tag or not np.array_equal(write(thing), limbs):
            raise OpenFheError(f"OpenFHE did not read a {frame.kind} as it was written: use OpenFHE {RELEASE}")


openfhe.DisablePrecomputeCRTTablesAfterDeserializaton()
"""Objects are read into contexts that this module made, tables and all; making the tables again would take most of the
time.
"""
