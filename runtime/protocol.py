"""The envelope of every message between client and server.

    magic | version | type | program digest | parameter digest | key id | session id | round | count | length | payload
    | sha256 of all before

Integers are little-endian. Everything is checked before the payload goes anywhere. The checksum finds accidents, not
attackers: anybody can make one. Transport security and authentication are the transport's business.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from enum import IntEnum

from enclair.compiler.ckks_parameters import CkksParameters, Parameters
from enclair.compiler.ir.key_needs import NO_KEYS, KeyNeeds
from enclair.runtime.backends.interface import Payload
from enclair.runtime.errors import (
    Altered,
    MessageError,
    NotAMessage,
    SecretKeyOffered,
    Truncated,
    WrongCount,
    WrongKey,
    WrongParameters,
    WrongProgram,
    WrongRound,
    WrongSession,
    WrongType,
    WrongVersion,
)

MAGIC = b"enclair\0"
SECRET_KEY_MAGIC = b"enclair secret key\0"
VERSION = 1
CHECKSUM_BYTES = 32
NO_SESSION = "0" * 32

_HEADER = struct.Struct("<8sHH32s32s16s16sIIQ")


_FIELDS: tuple[tuple[str, type[MessageError], str, str], ...] = (
    ("type", WrongType, "of type", "send the messages in the order of the protocol"),
    ("program", WrongProgram, "for program", "use the client program exported from the server's program"),
    ("parameters", WrongParameters, "under parameters", "make keys for this program's parameters"),
    ("key", WrongKey, "under key", "register the public key that belongs to the secret key in use"),
    ("session", WrongSession, "of session", "answer the session that was asked"),
    ("round", WrongRound, "of round", "send the rounds in order"),
    ("count", WrongCount, "with count", "use the client program exported from the server's program"),
)
"""Field of the envelope, error, how a message says it, remedy; in the order of checking."""


class MessageType(IntEnum):
    """What a message carries."""

    PUBLIC_KEY = 1
    UPLOAD = 2
    ANSWER = 3
    SCALED_ANSWER = 4


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who a message is for and what it carries.

    Args:
        type: what the payload is.
        program: digest, 64 hex digits.
        parameters: digest, 64 hex digits.
        key: id of the client's key, 32 hex digits.
        session: 32 hex digits, drawn by the client; zeros for a public key.
        round: from 1; 0 for a public key.
        count: ciphertexts in the payload; for a public key the plaintext moduli of BFV, or the evaluation keys of CKKS.
    """

    type: MessageType
    program: str
    parameters: str
    key: str
    session: str
    round: int
    count: int


def new_session() -> str:
    """A session id that no other has."""
    return os.urandom(16).hex()


def seal(envelope: Envelope, payload: Payload) -> bytes:
    """The message."""
    return b"".join(sealed(envelope, payload))


def sealed(envelope: Envelope, payload: Payload) -> tuple[bytes, Payload, bytes]:
    """The message in pieces, for payloads that are better not copied."""
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        envelope.type,
        bytes.fromhex(envelope.program),
        bytes.fromhex(envelope.parameters),
        bytes.fromhex(envelope.key),
        bytes.fromhex(envelope.session),
        envelope.round,
        envelope.count,
        len(payload),
    )
    digest = hashlib.sha256(header)
    digest.update(payload)
    return header, payload, digest.digest()


def registration_envelope(program: str, parameters: Parameters, key_id: str, needs: KeyNeeds = NO_KEYS) -> Envelope:
    """The envelope of a public key for the program with this digest, and of the evaluation keys that it needs."""
    count = needs.count if isinstance(parameters, CkksParameters) else len(parameters.plaintext_moduli)
    return Envelope(MessageType.PUBLIC_KEY, program, parameters.digest(), key_id, NO_SESSION, 0, count)


def split_messages(data: bytes) -> list[bytes]:
    """The messages that stand one after another in a file. Each is whole; it is still to be opened.

    Raises:
        MessageError: the data are not messages, of another version, or the last one is cut.
    """
    messages: list[bytes] = []
    start = 0
    while start < len(data) or not messages:
        needed = _message_bytes(data[start : start + _HEADER.size])
        messages.append(data[start : start + needed])
        start += needed
    if start != len(data):
        raise Truncated(f"the message says it has {needed} bytes, got {len(messages[-1])}: send it again")
    return messages


def read_message(message: bytes | memoryview) -> tuple[Envelope, memoryview]:
    """Envelope and payload of a whole, unaltered message, whoever it is for; the payload is not copied.

    Raises:
        MessageError: not a message, of another version or type, truncated, or altered.
    """
    view = memoryview(message)
    return read_pieces(bytes(view[: _HEADER.size]), view[_HEADER.size : -CHECKSUM_BYTES], bytes(view[-CHECKSUM_BYTES:]))


def read_pieces(header: bytes, payload: Payload, checksum: bytes) -> tuple[Envelope, memoryview]:
    """The same of a message in the pieces of ``sealed``.

    Raises:
        MessageError: as ``read_message``.
    """
    needed, came = _message_bytes(header), len(header) + len(payload) + len(checksum)
    if came != needed:
        raise Truncated(f"the message says it has {needed} bytes, got {came}: send it again")
    _check_sum(header, payload, checksum)
    _, _, type_, program, parameters, key, session, round_, count, _ = _HEADER.unpack(header)
    if type_ not in set(MessageType):
        raise WrongType(f"message types are {', '.join(f'{t.value} ({t.name})' for t in MessageType)}, got {type_}")
    envelope = Envelope(MessageType(type_), program.hex(), parameters.hex(), key.hex(), session.hex(), round_, count)
    return envelope, memoryview(payload)


def open_message(message: bytes | memoryview, due: Envelope) -> memoryview:
    """The payload of the message that is due.

    Raises:
        MessageError: the subclass says what is wrong.
    """
    came, payload = read_message(message)
    check_due(due, came)
    return payload


def check_due(due: Envelope, came: Envelope) -> None:
    """Refuse a message that is not the one that is due.

    Raises:
        MessageError: the subclass says what differs.
    """
    for field, error, what, remedy in _FIELDS:
        need, got = getattr(due, field), getattr(came, field)
        if need != got:
            raise error(f"a message {what} {_short(need)} is due, got {_short(got)}: {remedy}")


def _check_magic(message: bytes) -> None:
    if message.startswith(SECRET_KEY_MAGIC):
        raise SecretKeyOffered(
            "this is a secret key: it must never leave the client; send the public key, and make new keys if"
            " this was sent"
        )
    if not message.startswith(MAGIC):
        raise NotAMessage(f"a message begins with {MAGIC!r}, got {message[:8]!r}: this is not a message of enclair")


def _message_bytes(begin: bytes) -> int:
    """The bytes that a message says it has, checksum included."""
    _check_magic(begin)
    if len(begin) < _HEADER.size:
        raise Truncated(
            f"a message has at least {_HEADER.size + CHECKSUM_BYTES} bytes, got {len(begin)}: send it again"
        )
    _, version, *_, length = _HEADER.unpack_from(begin)
    if version != VERSION:
        raise WrongVersion(f"messages of version {VERSION} are read here, got version {version}: update the older side")
    return _HEADER.size + int(length) + CHECKSUM_BYTES


def _check_sum(header: bytes, payload: Payload, checksum: bytes) -> None:
    digest = hashlib.sha256(header)
    digest.update(payload)
    if digest.digest() != checksum:
        raise Altered("the message's checksum does not fit, so it was altered on the way: send it again")


def _short(value: object) -> str:
    if isinstance(value, MessageType):
        return value.name
    return f"{value[:12]}..." if isinstance(value, str) else str(value)
