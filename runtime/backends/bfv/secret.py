"""The client's side of BFV: key generation, secret-key encryption, decryption. The server never imports this module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openfhe

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.context import Context, SecretKey, open_contexts
from enclair.runtime.backends.bfv.frame import Limbs, find_frame
from enclair.runtime.backends.bfv.threads import parallel_map
from enclair.runtime.backends.bfv.wire import key_id_of, read_payload, write_public_key
from enclair.runtime.backends.integers import centred, check_integers, check_slots, from_residues
from enclair.runtime.backends.interface import Integers


@dataclass(frozen=True, slots=True, eq=False)
class SecretResidue:
    """The context of one plaintext modulus, and the secret key in it."""

    context: Context
    secret_key: SecretKey
    tag: bytes

    def encrypt(self, values: Integers) -> Limbs:
        """Residues (2, limbs, N) of N integers."""
        plaintext = self.context.encode(centred(values, self.context.plaintext_modulus))
        return self.context.write_ciphertext(self.context.scheme.Encrypt(self.secret_key, plaintext))

    def decrypt(self, limbs: Limbs) -> Integers:
        """The N integers in the checked residues (2, 1, N) of an answer."""
        plaintext = self.context.scheme.Decrypt(self.secret_key, self.context.read_answer(limbs, self.tag))
        plaintext.SetLength(self.context.ring_dim)
        return np.array(plaintext.GetPackedValueArray(), dtype=np.int64)


class BfvKeyHolder:
    """The operations of ``interface.KeyHolder`` with one secret key per plaintext modulus."""

    def __init__(self, parameters: BfvParameters, residues: tuple[SecretResidue, ...], public_key: bytes) -> None:
        self.parameters = parameters
        self._residues = residues
        self._public_key = public_key

    @property
    def key_id(self) -> str:
        """32 hex digits that name the key."""
        return key_id_of(self._public_key)

    def public_key(self) -> bytes:
        """The bytes that the server needs."""
        return self._public_key

    def encrypt(self, values: Integers) -> bytes:
        """The payload of (count, slots) integers; see ``KeyHolder.encrypt``."""
        check_integers("a value to encrypt", values, self.parameters.largest_value)
        check_slots("values to encrypt", values, (len(values), self.parameters.slots))
        return b"".join(parallel_map(self._encrypt, values))

    def decrypt(self, payload: bytes, count: int) -> Integers:
        """The (count, slots) integers of an answer; see ``KeyHolder.decrypt``."""
        limbs = read_payload(payload, count, len(self._residues), self._residues[0].context.answer)
        rows = parallel_map(self._decrypt, limbs)
        return np.stack(rows) if rows else np.empty((0, self.parameters.slots), dtype=np.int64)

    def secret_limbs(self) -> list[tuple[bytes, Limbs]]:
        """Key tag and residues (1, limbs, N) of each secret key, for the key file."""
        return [(residue.tag, _secret_limbs(residue)) for residue in self._residues]

    def _encrypt(self, values: Integers) -> bytes:
        return b"".join(residue.encrypt(values).tobytes() for residue in self._residues)

    def _decrypt(self, limbs: Limbs) -> Integers:
        parts = [residue.decrypt(part) for residue, part in zip(self._residues, limbs, strict=True)]
        return from_residues(parts, self.parameters.plaintext_moduli)


def make_keys(parameters: BfvParameters) -> BfvKeyHolder:
    """Fresh keys.

    Raises:
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    pairs = [(context, context.scheme.KeyGen()) for context in open_contexts(parameters)]
    residues = tuple(SecretResidue(context, keys.secretKey, _tag(keys.secretKey)) for context, keys in pairs)
    public = [(_tag(keys.publicKey), _public_limbs(context, keys.publicKey)) for context, keys in pairs]
    return BfvKeyHolder(parameters, residues, write_public_key(public))


def restore_keys(parameters: BfvParameters, secrets: list[tuple[bytes, Limbs]], public_key: bytes) -> BfvKeyHolder:
    """Keys from tags and residues that a key file held; the residues are checked here.

    Raises:
        PayloadError: a residue that is not below its prime.
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    pairs = zip(open_contexts(parameters), secrets, strict=True)
    return BfvKeyHolder(parameters, tuple(_restore(context, tag, limbs) for context, (tag, limbs) in pairs), public_key)


def _restore(context: Context, tag: bytes, limbs: Limbs) -> SecretResidue:
    throw_away = context.scheme.KeyGen().secretKey
    data = openfhe.Serialize(throw_away, openfhe.BINARY)
    frame = find_frame("secret key", data, context.ciphertext.primes, context.ring_dim, 1, _tag(throw_away))
    frame.check_residues(limbs)
    return SecretResidue(context, openfhe.DeserializePrivateKeyString(frame.join(limbs, tag), openfhe.BINARY), tag)


def _secret_limbs(residue: SecretResidue) -> Limbs:
    data = openfhe.Serialize(residue.secret_key, openfhe.BINARY)
    context = residue.context
    return find_frame("secret key", data, context.ciphertext.primes, context.ring_dim, 1, residue.tag).split(data)


def _public_limbs(context: Context, public_key: Any) -> Limbs:
    return context.public_key.split(openfhe.Serialize(public_key, openfhe.BINARY))


def _tag(key: Any) -> bytes:
    tag: str = key.GetKeyTag()
    return tag.encode()
