"""The client's side of CKKS: key generation, secret-key encryption, decryption. The server never imports this module.

OpenFHE decrypts, and guards the secret key while it does (Li and Micciancio, eprint 2020/1533: who sees the exact
result of a decryption, noise included, learns the key from a few of them). It estimates the standard deviation of the
noise from the imaginary parts, which no real data have, adds Gaussian noise of about that size again, and clears the
imaginary parts. An answer therefore loses about half a bit to a bit of precision, and two decryptions of the same
ciphertext differ. Where the estimate leaves less than 5 bits of the scale, OpenFHE refuses: a wrong key or an altered
ciphertext ends there, as ``DecryptionFailed``. A value that outgrew its modulus does not: reduction modulo a prime
leaves imaginary parts that are zero as they are, so that nothing but the compiler's ranges guards against it.

OpenFHE takes the scale of every ciphertext for 2^scale_bits. Ours differs from it by a known factor, by which values
are multiplied before they are encoded, and after they were decoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import NO_KEYS, KeyNeeds
from enclair.compiler.ir.types import CkksType
from enclair.runtime.backends.ckks.context import Ciphertext, Plaintext, open_context
from enclair.runtime.backends.ckks.switching import Secret, make_secret, read_secret, write_evaluation_keys
from enclair.runtime.backends.ckks.wire import key_id_of, packed_keys, registration_bytes, write_public_key
from enclair.runtime.backends.frames import Limbs
from enclair.runtime.backends.interface import Payload
from enclair.runtime.errors import DecryptionFailed, ValueRangeError
from enclair.runtime.limbs.compiled import Floats
from enclair.runtime.limbs.memory import buffer
from enclair.runtime.limbs.workers import parallel_parts
from enclair.runtime.rns.wire import Rows, ciphertext_rows, packed_objects, write_objects

TOO_SMALL = "Scaling factor too small"
TOO_NOISY = "approximation error is too high"


class CkksKeyHolder:
    """The operations of ``ckks_interface.CkksKeyHolder`` with a secret key."""

    def __init__(self, parameters: CkksParameters, needs: KeyNeeds, secret: Secret, public_key: Payload) -> None:
        self.parameters = parameters
        self.needs = needs
        self._secret = secret
        self._public_key = public_key

    @property
    def key_id(self) -> str:
        """32 hex digits that name the key."""
        return key_id_of(self._public_key, self.parameters)

    def public_key(self) -> Payload:
        """The bytes that the server needs: the public key and the evaluation keys."""
        return self._public_key

    def encrypt(self, values: Floats, type_: CkksType) -> Payload:
        """The payload of (count, slots) reals at the level and scale of a type; see ``CkksKeyHolder.encrypt``."""
        level, scale = _placed(type_)
        self._check(values, type_, level, scale)
        rows, ratio = self._rows(level), scale / 2.0**self.parameters.scale_bits
        return write_objects(len(values), rows, lambda number: self._encrypt(values[number] * ratio, level))

    def decrypt(self, payload: Payload, type_: CkksType) -> Floats:
        """The (count, slots) reals of an answer of a type; see ``CkksKeyHolder.decrypt``."""
        level, scale = _placed(type_)
        rows, ratio = self._rows(level), 2.0**self.parameters.scale_bits / scale
        packed = packed_objects(payload, type_.count, rows)
        out = np.empty((type_.count, self.parameters.slots))

        def work(start: int, stop: int) -> None:
            limbs = np.empty((2, level + 1, self.parameters.ring_dim), dtype=np.uint64)
            for number in range(start, stop):
                rows.read(packed[number], limbs)
                out[number] = self._decrypt(limbs) * ratio

        parallel_parts(work, type_.count)
        return out

    def secret(self) -> tuple[bytes, Limbs]:
        """Key tag and residues (levels + 1, N) of the secret key, for the key file."""
        return self._secret.tag, self._secret.residues

    def _rows(self, level: int) -> Rows:
        return ciphertext_rows(self.parameters.primes[: level + 1], self.parameters.ring_dim)

    def _encrypt(self, values: Floats, level: int) -> Limbs:
        context = self._secret.context
        cipher = context.scheme.Encrypt(self._secret.key, self._encode(values, level))
        return context.write_ciphertext(cipher, level)

    def _encode(self, values: Floats, level: int) -> Plaintext:
        """OpenFHE refuses values whose coefficients all round to zero: they are zero."""
        try:
            return self._secret.context.encode(values, level)
        except RuntimeError as error:
            if TOO_SMALL not in str(error):
                raise
            return self._secret.context.zero(level)

    def _decrypt(self, limbs: Limbs) -> Floats:
        context = self._secret.context
        cipher: Ciphertext = context.read_ciphertext(limbs, self._secret.tag)
        try:
            plaintext: Any = context.scheme.Decrypt(self._secret.key, cipher)
        except RuntimeError as error:
            if TOO_NOISY not in str(error):
                raise
            raise DecryptionFailed(
                "an answer decrypts to noise: it was made under another key or another program, or altered; start a new"
                " session"
            ) from None
        plaintext.SetLength(self.parameters.slots)
        return np.asarray(plaintext.GetRealPackedValueArray(), dtype=np.float64)

    def _check(self, values: Floats, type_: CkksType, level: int, scale: float) -> None:
        needed = (type_.count, self.parameters.slots)
        if values.dtype != np.float64 or values.shape != needed:
            raise ValueRangeError(f"values to encrypt must be float64 {needed}, got {values.dtype} {values.shape}")
        most = self.parameters.room(level, scale)
        if not np.all(np.abs(values) < most):
            raise ValueRangeError(
                f"values to encrypt at level {level} and scale {scale} must be finite and below {most:.4g}, got"
                f" {np.abs(values).max()}: check the inputs, or compile with a larger first prime"
            )


def make_keys(parameters: CkksParameters, needs: KeyNeeds = NO_KEYS) -> CkksKeyHolder:
    """Fresh keys, with the evaluation keys that a program needs.

    Raises:
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    context = open_context(parameters)
    pair = context.scheme.KeyGen()
    secret = make_secret(context, pair.secretKey)
    public_key = buffer(registration_bytes(parameters, needs))
    residues = context.write_public_key(pair.publicKey)
    public_key[: parameters.public_key_bytes] = write_public_key(secret.tag, residues, parameters)
    write_evaluation_keys(secret, needs, packed_keys(memoryview(public_key), parameters, needs))
    return CkksKeyHolder(parameters, needs, secret, memoryview(public_key).toreadonly())


def restore_keys(
    parameters: CkksParameters, needs: KeyNeeds, tag: bytes, residues: Limbs, public_key: Payload
) -> CkksKeyHolder:
    """Keys from what a key file held; the residues are checked here.

    Raises:
        PayloadError: a residue that is not below its prime.
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    secret = read_secret(open_context(parameters), tag, residues)
    return CkksKeyHolder(parameters, needs, secret, public_key)


def _placed(type_: CkksType) -> tuple[int, float]:
    """Level and scale of a type on the wire.

    Raises:
        ValueRangeError: it has none, or three parts.
    """
    if type_.level is None or type_.scale is None or type_.parts != 2:
        raise ValueRangeError(
            f"ciphertexts cross the wire at a level and a scale, in two parts, got {type_}: this is a bug in enclair"
        )
    return type_.level, type_.scale
