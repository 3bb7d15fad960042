from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from enclair.runtime.protocol import (
    SECRET_KEY_MAGIC,
    Envelope,
    MessageType,
    new_session,
    open_message,
    read_message,
    seal,
    split_messages,
)

DUE = Envelope(MessageType.UPLOAD, "a1" * 32, "b2" * 32, "c3" * 16, "d4" * 16, 3, 5)
PAYLOAD = bytes(range(100))
MESSAGE = seal(DUE, PAYLOAD)
FIELDS = {
    "magic": 0,
    "version": 8,
    "type": 10,
    "program": 12,
    "parameters": 44,
    "key": 76,
    "session": 92,
    "round": 108,
    "count": 112,
    "length": 116,
    "payload": 124,
    "checksum": 224,
}


def resealed(message: bytes) -> bytes:
    """With a checksum that fits."""
    return message[:-32] + hashlib.sha256(message[:-32]).digest()


@given(st.binary(max_size=200), st.sampled_from(MessageType), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_messages_come_back(payload: bytes, type_: MessageType, round_: int, count: int) -> None:
    envelope = replace(DUE, type=type_, round=round_, count=count, session=new_session())
    assert read_message(seal(envelope, payload)) == (envelope, payload)
    assert open_message(seal(envelope, payload), envelope) == payload


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"type": MessageType.ANSWER}, WrongType, "a message of type UPLOAD is due, got ANSWER: send the messages in"),
        (
            {"program": "00" * 32},
            WrongProgram,
            r"a message for program a1a1a1a1a1a1\.\.\. is due, got 0000.*: use the client",
        ),
        (
            {"parameters": "00" * 32},
            WrongParameters,
            "a message under parameters b2.* is due, got 00.*: make keys for this",
        ),
        ({"key": "00" * 16}, WrongKey, "a message under key c3.* is due, got 00.*: register the public key"),
        (
            {"session": "00" * 16},
            WrongSession,
            "a message of session d4.* is due, got 00.*: answer the session that was",
        ),
        ({"round": 2}, WrongRound, "a message of round 3 is due, got 2: send the rounds in order"),
        ({"count": 6}, WrongCount, "a message with count 5 is due, got 6: use the client program exported"),
    ],
)
def test_messages_that_are_not_due(change: dict[str, object], error: type[MessageError], message: str) -> None:
    with pytest.raises(error, match=message):
        open_message(seal(replace(DUE, **change), PAYLOAD), DUE)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("bit", [0, 7])
def test_one_flipped_bit_in_any_field(field: str, bit: int) -> None:
    message = bytearray(MESSAGE)
    message[FIELDS[field]] ^= 1 << bit
    error = {"magic": NotAMessage, "version": WrongVersion, "length": Truncated}.get(field, Altered)
    with pytest.raises(error):
        open_message(bytes(message), DUE)


@given(position=st.integers(0, len(MESSAGE) - 1), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere(position: int, bit: int) -> None:
    message = bytearray(MESSAGE)
    message[position] ^= 1 << bit
    with pytest.raises(MessageError):
        open_message(bytes(message), DUE)


@given(length=st.integers(8, len(MESSAGE) - 1))
def test_truncated_messages(length: int) -> None:
    with pytest.raises(Truncated, match=r"bytes, got .*: send it again"):
        open_message(MESSAGE[:length], DUE)


def test_longer_messages() -> None:
    with pytest.raises(Truncated, match="the message says it has 256 bytes, got 257: send it again"):
        open_message(MESSAGE + b"\0", DUE)


@given(st.binary(max_size=300).filter(lambda data: not data.startswith(b"enclair")))
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(
        NotAMessage, match=r"a message begins with b'enclair.*', got .*: this is not a message of enclair"
    ):
        open_message(data, DUE)


def test_unknown_type_and_version() -> None:
    unknown = bytearray(MESSAGE)
    unknown[10] = 99
    with pytest.raises(
        WrongType, match=r"message types are 1 \(PUBLIC_KEY\), 2 \(UPLOAD\), 3 \(ANSWER\), 4 \(SCALED_ANSWER\), got 99"
    ):
        open_message(resealed(bytes(unknown)), DUE)
    unknown[8] = 2
    with pytest.raises(WrongVersion, match="messages of version 1 are read here, got version 2: update the older side"):
        open_message(resealed(bytes(unknown)), DUE)


def test_altered_payload() -> None:
    with pytest.raises(
        Altered, match="the message's checksum does not fit, so it was altered on the way: send it again"
    ):
        open_message(MESSAGE[:130] + b"!" + MESSAGE[131:], DUE)


def test_secret_keys_are_recognised() -> None:
    with pytest.raises(SecretKeyOffered, match="this is a secret key: it must never leave the client"):
        read_message(SECRET_KEY_MAGIC + bytes(300))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_messages_in_one_file(payloads: list[bytes]) -> None:
    messages = [seal(DUE, payload) for payload in payloads]
    assert split_messages(b"".join(messages)) == messages
    with pytest.raises(Truncated, match=r"bytes, got \d+: send it again"):
        split_messages(b"".join(messages)[:-1])


def test_files_without_messages() -> None:
    with pytest.raises(NotAMessage, match="a message begins with"):
        split_messages(b"")
    with pytest.raises(NotAMessage, match="a message begins with"):
        split_messages(MESSAGE + b"more")
