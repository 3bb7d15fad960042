"""program.json: what a program holds besides graphs, constants and parameters.

Written from and read to plain data; reading checks every field and trusts none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from enclair.compiler.artifact.container import canonical_json, read_json
from enclair.compiler.artifact.errors import MalformedArtifact
from enclair.compiler.ir.errors import ParseError
from enclair.compiler.ir.key_needs import NO_KEYS, KeyNeeds
from enclair.compiler.ir.types import CiphersType, CipherType, CkksType, parse_type
from enclair.compiler.program import Exchange, InputSpec

RECORD = "program.json"
Checked = TypeVar("Checked")


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of ``Program`` and ``ClientProgram`` that are neither graphs nor parameters."""

    name: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    server_digests: tuple[str, ...] = ()
    keys: KeyNeeds = NO_KEYS


def write_record(record: Record) -> bytes:
    """The record as JSON.

    Raises:
        ArtifactError: the facts are not plain JSON data.
    """
    return canonical_json(
        {
            "name": record.name,
            "inputs": [
                {"name": spec.name, "shape": list(spec.shape), "low": spec.low, "high": spec.high}
                for spec in record.inputs
            ],
            "outputs": list(record.outputs),
            "exchanges": [
                {"uploads": _plain(exchange.uploads), "answers": _plain(exchange.answers)}
                for exchange in record.exchanges
            ],
            "facts": record.facts,
            "server_digests": list(record.server_digests),
            "keys": {
                "rotations": list(record.keys.rotations),
                "relinearise": record.keys.relinearise,
                "levels": list(record.keys.levels),
            },
        }
    )


def read_record(data: bytes) -> Record:
    """The record in program.json.

    Raises:
        MalformedArtifact: names the field, what it must be and what it is.
    """
    read = read_json(RECORD, data)
    wanted = [field_.name for field_ in fields(Record)]
    if sorted(read) != sorted(wanted):
        raise MalformedArtifact(f"{RECORD} must have the fields {', '.join(wanted)}, got {', '.join(read)[:200]}")
    return Record(
        _of_type(read["name"], str, "name"),
        tuple(_input(spec) for spec in _of_type(read["inputs"], list, "inputs")),
        _strings(read["outputs"], "outputs"),
        tuple(_exchange(exchange) for exchange in _of_type(read["exchanges"], list, "exchanges")),
        _of_type(read["facts"], dict, "facts"),
        _strings(read["server_digests"], "server_digests"),
        _keys(read["keys"]),
    )


def _plain(ciphers: Sequence[tuple[str, CiphersType]]) -> list[list[str]]:
    return [[name, str(type_)] for name, type_ in ciphers]


def _input(data: object) -> InputSpec:
    spec = _with_keys(data, "inputs", ("name", "shape", "low", "high"))
    shape = tuple(_of_type(extent, int, "shape") for extent in _of_type(spec["shape"], list, "shape"))
    low, high = (_of_type(spec[name], float, name) for name in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise MalformedArtifact(f"{RECORD}: an input needs finite low <= high, got {low} and {high}")
    return InputSpec(_of_type(spec["name"], str, "name"), shape, low, high)


def _keys(data: object) -> KeyNeeds:
    keys = _with_keys(data, "keys", ("rotations", "relinearise", "levels"))
    rotations, levels = (_integers(keys, name) for name in ("rotations", "levels"))
    if list(rotations) != sorted(set(rotations)) or (rotations and rotations[0] < 1):
        raise MalformedArtifact(f"{RECORD}: rotations must be ascending and positive, got {str(rotations)[:80]}")
    needs = KeyNeeds(rotations, _of_type(keys["relinearise"], bool, "relinearise"), levels)
    if len(levels) not in {0, needs.count} or min(levels, default=0) < 0:
        raise MalformedArtifact(f"{RECORD}: {needs.count} keys need as many levels, or none, got {str(levels)[:80]}")
    return needs


def _integers(data: dict[str, Any], name: str) -> tuple[int, ...]:
    return tuple(_of_type(number, int, name) for number in _of_type(data[name], list, name))


def _exchange(data: object) -> Exchange:
    exchange = _with_keys(data, "exchanges", ("uploads", "answers"))
    return Exchange(_ciphers(exchange["uploads"], "uploads"), _ciphers(exchange["answers"], "answers"))


def _ciphers(data: object, where: str) -> tuple[tuple[str, CiphersType], ...]:
    pairs = [_strings(pair, where) for pair in _of_type(data, list, where)]
    if any(len(pair) != 2 for pair in pairs):
        raise MalformedArtifact(f"{RECORD}: {where!r} must hold pairs of a name and a type, got {str(data)[:80]}")
    return tuple((name, _cipher_type(text)) for name, text in pairs)


def _cipher_type(text: str) -> CiphersType:
    try:
        type_ = parse_type(text)
    except ParseError as error:
        raise MalformedArtifact(f"{RECORD}: {error}") from error
    if not isinstance(type_, CipherType | CkksType):
        raise MalformedArtifact(f"{RECORD}: ciphertexts cross the wire, got {type_}")
    return type_


def _strings(data: object, where: str) -> tuple[str, ...]:
    return tuple(_of_type(item, str, where) for item in _of_type(data, list, where))


def _with_keys(data: object, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    found = _of_type(data, dict, where)
    if sorted(found) != sorted(keys):
        raise MalformedArtifact(f"{RECORD}: entries of {where!r} must have {', '.join(keys)}, got {str(data)[:80]}")
    return found


def _of_type(data: object, type_: type[Checked], where: str) -> Checked:
    if type(data) is not type_:
        raise MalformedArtifact(f"{RECORD}: {where!r} must be of type {type_.__name__}, got {str(data)[:80]!r}")
    return data
