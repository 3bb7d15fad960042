"""The client's side of BFV: key generation, secret-key encryption, decryption. The server never imports this module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openfhe

from enclair.compiler.ir.types import Encoding
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.context import Context, Plaintext, SecretKey, open_contexts
from enclair.runtime.backends.bfv.ring import Plaintexts, open_plaintexts
from enclair.runtime.backends.bfv.wire import key_id_of, packed_rows, read_rows, write_payload, write_public_key
from enclair.runtime.backends.frames import Limbs, find_frame
from enclair.runtime.backends.integers import centred, check_integers, check_slots, from_residues
from enclair.runtime.backends.interface import Integers, Payload
from enclair.runtime.limbs.elementwise import add_rows
from enclair.runtime.limbs.workers import parallel_parts


@dataclass(frozen=True, slots=True, eq=False)
class SecretResidue:
    """The context of one plaintext modulus, its plaintexts, and the secret key in it."""

    context: Context
    plaintexts: Plaintexts
    secret_key: SecretKey
    tag: bytes
    zero: Plaintext

    def encrypt(self, values: Integers, encoding: Encoding) -> Limbs:
        """Residues (2, limbs, N) of N integers.

        To OpenFHE's encryption of zero the plaintext is added as its ``EvalAdd`` adds one, which is what its own
        encryption does; OpenFHE would transform the plaintext once more, and packs no coefficients of over 32 bits.
        """
        rest = values[None] % self.context.plaintext_modulus
        coefficients = self.plaintexts.coefficients(rest) if encoding is Encoding.SLOTS else rest
        limbs = self.context.write_ciphertext(self.context.scheme.Encrypt(self.secret_key, self.zero))
        primes = np.array(self.context.ciphertext.primes, dtype=np.uint64)
        add_rows(limbs[0], self.plaintexts.summands(coefficients)[0], primes, False, limbs[0])
        return limbs

    def decrypt(self, limbs: Limbs, encoding: Encoding) -> Integers:
        """The N integers in the checked residues (2, 1, N) of an answer."""
        plaintext = self.context.scheme.Decrypt(self.secret_key, self.context.read_answer(limbs, self.tag))
        plaintext.SetLength(self.context.ring_dim)
        slots: Integers = np.array(plaintext.GetPackedValueArray(), dtype=np.int64)
        if encoding is Encoding.COEFFICIENTS:
            return centred(self.plaintexts.coefficients(slots[None])[0], self.context.plaintext_modulus)
        return slots


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

    def encrypt(self, values: Integers, encoding: Encoding = Encoding.SLOTS) -> Payload:
        """The payload of (count, slots) integers; see ``KeyHolder.encrypt``."""
        check_integers("a value to encrypt", values, self.parameters.largest_value)
        check_slots("values to encrypt", values, (len(values), self.parameters.slots))
        frame = self._residues[0].context.ciphertext

        def make(number: int) -> Limbs:
            return np.stack([residue.encrypt(values[number], encoding) for residue in self._residues])

        return write_payload(len(values), len(self._residues), frame, make)

    def decrypt(self, payload: Payload, count: int, encoding: Encoding = Encoding.SLOTS) -> Integers:
        """The (count, slots) integers of an answer; see ``KeyHolder.decrypt``."""
        frame = self._residues[0].context.answer
        rows = packed_rows(payload, count, len(self._residues), frame)
        out = np.empty((count, self.parameters.slots), dtype=np.int64)

        def work(start: int, stop: int) -> None:
            limbs = np.empty((len(self._residues), *frame.shape), dtype=np.uint64)
            for number in range(start, stop):
                read_rows(rows[number], frame, limbs)
                parts = [residue.decrypt(part, encoding) for residue, part in zip(self._residues, limbs, strict=True)]
                out[number] = from_residues(parts, self.parameters.plaintext_moduli)

        parallel_parts(work, count)
        return out

    def secret_limbs(self) -> list[tuple[bytes, Limbs]]:
        """Key tag and residues (1, limbs, N) of each secret key, for the key file."""
        return [(residue.tag, _secret_limbs(residue)) for residue in self._residues]


def make_keys(parameters: BfvParameters) -> BfvKeyHolder:
    """Fresh keys.

    Raises:
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    pairs = [(context, context.scheme.KeyGen()) for context in open_contexts(parameters)]
    residues = tuple(_residue(parameters, context, keys.secretKey, _tag(keys.secretKey)) for context, keys in pairs)
    public = [(_tag(keys.publicKey), _public_limbs(context, keys.publicKey)) for context, keys in pairs]
    return BfvKeyHolder(parameters, residues, write_public_key(public, pairs[0][0].public_key))


def restore_keys(parameters: BfvParameters, secrets: list[tuple[bytes, Limbs]], public_key: bytes) -> BfvKeyHolder:
    """Keys from tags and residues that a key file held; the residues are checked here.

    Raises:
        PayloadError: a residue that is not below its prime.
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    pairs = zip(open_contexts(parameters), secrets, strict=True)
    return BfvKeyHolder(parameters, tuple(_restore(parameters, *pair) for pair in pairs), public_key)


def _residue(parameters: BfvParameters, context: Context, secret_key: SecretKey, tag: bytes) -> SecretResidue:
    plaintexts = open_plaintexts(parameters, context.plaintext_modulus)
    return SecretResidue(context, plaintexts, secret_key, tag, context.zero_plaintext())


def _restore(parameters: BfvParameters, context: Context, secret: tuple[bytes, Limbs]) -> SecretResidue:
    tag, limbs = secret
    throw_away = context.scheme.KeyGen().secretKey
    data = openfhe.Serialize(throw_away, openfhe.BINARY)
    frame = find_frame("secret key", data, context.ciphertext.primes, context.ring_dim, 1, _tag(throw_away))
    frame.check_residues(limbs)
    secret_key = openfhe.DeserializePrivateKeyString(frame.join(limbs, tag), openfhe.BINARY)
    return _residue(parameters, context, secret_key, tag)


def _secret_limbs(residue: SecretResidue) -> Limbs:
    data = openfhe.Serialize(residue.secret_key, openfhe.BINARY)
    context = residue.context
    return find_frame("secret key", data, context.ciphertext.primes, context.ring_dim, 1, residue.tag).split(data)


def _public_limbs(context: Context, public_key: Any) -> Limbs:
    return context.public_key.split(openfhe.Serialize(public_key, openfhe.BINARY))


def _tag(key: Any) -> bytes:
    tag: str = key.GetKeyTag()
    return tag.encode()
