"""What crosses the wire, for both schemes: arrays to payloads and back, on either side.

The ciphertexts of BFV are all alike, and stand one after another. A CKKS ciphertext is as long as its level says: each
array is preceded by its length, u64 little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from enclair.compiler.ir.graph import Array
from enclair.compiler.ir.types import CiphersType, CipherType, CkksType
from enclair.compiler.program import Exchange
from enclair.runtime.backends.ckks_interface import CkksEvaluator, CkksKeyHolder
from enclair.runtime.backends.interface import Evaluator, KeyHolder, Payload
from enclair.runtime.errors import PayloadError

AnyEvaluator: TypeAlias = Evaluator[Any] | CkksEvaluator[Any, Any]
AnyKeyHolder: TypeAlias = KeyHolder | CkksKeyHolder
Arrays: TypeAlias = Sequence[tuple[str, CiphersType]]

_LENGTH = struct.Struct("<Q")


def encrypt_uploads(keys: Any, exchange: Exchange, values: Mapping[str, Array]) -> Payload:
    """The payload of a round's uploads; ``keys`` are of the scheme of its types."""
    ciphers = [_encrypt(keys, values[name], type_) for name, type_ in exchange.uploads]
    if _is_ckks(exchange.uploads):
        return join_arrays(ciphers)
    return ciphers[0] if len(ciphers) == 1 else b"".join(ciphers)


def decrypt_answers(keys: Any, exchange: Exchange, payload: Payload) -> dict[str, Array]:
    """The arrays of a round's answer.

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
        DecryptionFailed: a CKKS ciphertext is noise and nothing else.
    """
    split = split_arrays if _is_ckks(exchange.answers) else _equal_parts
    parts = zip(exchange.answers, split(payload, exchange.answers), strict=True)
    return {name: _decrypt(keys, part, type_) for (name, type_), part in parts}


def load_uploads(evaluator: Any, exchange: Exchange, payload: Payload) -> dict[str, Any]:
    """The batches of a round's uploads by name.

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    if _is_ckks(exchange.uploads):
        parts = zip(exchange.uploads, split_arrays(payload, exchange.uploads), strict=True)
        return {name: load_array(evaluator, part, type_) for (name, type_), part in parts}
    batch = evaluator.load(payload, exchange.upload_count)
    batches = evaluator.split(batch, [type_.count for _, type_ in exchange.uploads])
    return {name: part for (name, _), part in zip(exchange.uploads, batches, strict=True)}


def load_array(evaluator: Any, payload: Payload, type_: CiphersType) -> Any:
    """The batch of one array's payload.

    Raises:
        PayloadError: wrong length, or a residue that is not below its prime.
    """
    return evaluator.load(payload, type_ if isinstance(type_, CkksType) else type_.count)


def answer_payload(evaluator: Any, answers: Mapping[str, Any], exchange: Exchange) -> Payload:
    """The payload of a round's answer."""
    batches = [answers[name] for name, _ in exchange.answers]
    if _is_ckks(exchange.answers):
        return join_arrays([evaluator.answer(batch) for batch in batches])
    payload: Payload = evaluator.answer(evaluator.concat(batches))
    return payload


def join_arrays(payloads: Iterable[Payload]) -> bytes:
    """Each array behind its length."""
    return b"".join(piece for payload in payloads for piece in (_LENGTH.pack(len(payload)), payload))


def split_arrays(payload: Payload, arrays: Arrays) -> list[memoryview]:
    """The payloads of the arrays.

    Raises:
        PayloadError: the lengths do not add up.
    """
    rest, parts = memoryview(payload), []
    for name, type_ in arrays:
        length = _LENGTH.unpack_from(rest)[0] if len(rest) >= _LENGTH.size else -1
        if not 0 <= length <= len(rest) - _LENGTH.size:
            raise PayloadError(
                f"the payload ends within %{name} of type {type_}, {len(rest)} bytes before its end: the message is of"
                " another program or cut"
            )
        parts.append(rest[_LENGTH.size : _LENGTH.size + length])
        rest = rest[_LENGTH.size + length :]
    if rest:
        raise PayloadError(f"{len(rest)} bytes follow the last array: the message is of another program")
    return parts


def _equal_parts(payload: Payload, arrays: Arrays) -> list[memoryview]:
    rest, left, parts = memoryview(payload), sum(type_.count for _, type_ in arrays), []
    for _, type_ in arrays:
        size = len(rest) if left == type_.count else len(rest) // left * type_.count
        parts.append(rest[:size])
        rest, left = rest[size:], left - type_.count
    return parts


def _encrypt(keys: Any, values: Array, type_: CiphersType) -> Payload:
    payload: Payload = keys.encrypt(values, type_.encoding if isinstance(type_, CipherType) else type_)
    return payload


def _decrypt(keys: Any, payload: Payload, type_: CiphersType) -> Array:
    values: Array
    if isinstance(type_, CkksType):
        values = keys.decrypt(payload, type_)
    else:
        values = keys.decrypt(payload, type_.count, type_.encoding)
    return values


def _is_ckks(arrays: Arrays) -> bool:
    return any(isinstance(type_, CkksType) for _, type_ in arrays)
