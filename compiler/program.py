"""Programs: what the client and the server do, round by round.

    client: prologue -> [ upload -> server graph -> answer -> client graph ] for each round

Values have program-wide unique names. The client keeps the values its graphs output, the server the ciphertext arrays
it has; a later graph takes what it needs by name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from enclair.compiler.ckks_parameters import Parameters
from enclair.compiler.ir.graph import Graph, Value, without_origins
from enclair.compiler.ir.key_needs import NO_KEYS, KeyNeeds, KeyUses, key_needs, key_uses
from enclair.compiler.ir.types import CiphersType, CipherType, CkksType, RealSlotsType, SlotsType, Type

LARGEST_FACTOR = 2**16 - 1
"""A server that obfuscates multiplies no answer by more; a client refuses more."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of the model: real values in [low, high], shape with the batch compiled for."""

    name: str
    shape: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """What crosses the wire in a round: ciphertext arrays by name, in order."""

    uploads: tuple[tuple[str, CiphersType], ...]
    answers: tuple[tuple[str, CiphersType], ...]

    @property
    def upload_count(self) -> int:
        """Ciphertexts sent to the server."""
        return sum(type_.count for _, type_ in self.uploads)

    @property
    def answer_count(self) -> int:
        """Ciphertexts sent back."""
        return sum(type_.count for _, type_ in self.answers)


@dataclass(frozen=True, slots=True)
class Round:
    """One exchange: the server's graph on ciphertexts, then the client's on what it decrypts."""

    server: Graph
    client: Graph
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class ClientProgram:
    """All a client needs, and nothing of the server's weights. ``keys`` says which evaluation keys it is to make."""

    name: str
    parameters: Parameters
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    prologue: Graph
    stages: tuple[Graph, ...]
    exchanges: tuple[Exchange, ...]
    server_digests: tuple[str, ...]
    keys: KeyNeeds = NO_KEYS

    def digest(self) -> str:
        """Names the program in every message: sha256 over parameters, the client's graphs and the server's digests."""
        described = (self.name, self.parameters.digest(), self.inputs, self.outputs, self.keys)
        digest = hashlib.sha256("\n".join(map(str, described)).encode())
        for part in (self.prologue.digest(), *(stage.digest() for stage in self.stages), *self.server_digests):
            digest.update(part.encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, repr=False)
class Program:
    """A compiled model. ``fixed`` is the reference (the ``poly`` execution), ``source`` the original ONNX.

    The reference is the fixed-point graph of a BFV program, the tensor graph after approximation of a CKKS program.

    ``facts`` holds what compiling found out: plain JSON data for reports (ranges, bounds on the gaps, bits, costs).
    """

    name: str
    parameters: Parameters
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    prologue: Graph
    rounds: tuple[Round, ...]
    fixed: Graph
    source: bytes | None = field(default=None, repr=False)
    facts: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __repr__(self) -> str:
        """One line: the graphs are long."""
        return f"<Program {self.name!r}: {len(self.rounds)} rounds, inputs {', '.join(i.name for i in self.inputs)}>"

    def for_client(self) -> ClientProgram:
        """The client's part, without any server weight, and without the owner's source lines."""
        return ClientProgram(
            self.name,
            self.parameters,
            self.inputs,
            self.outputs,
            without_origins(self.prologue),
            tuple(without_origins(round_.client) for round_ in self.rounds),
            tuple(round_.exchange for round_ in self.rounds),
            tuple(round_.server.digest() for round_ in self.rounds),
            self.keys,
        )

    @property
    def keys(self) -> KeyNeeds:
        """The evaluation keys that the server's graphs need."""
        return key_needs(round_.server for round_ in self.rounds)

    @property
    def key_uses(self) -> KeyUses:
        """When they use them."""
        return key_uses(round_.server for round_ in self.rounds)

    def digest(self) -> str:
        """The client's part names the program: the server's digests are in it."""
        return self.for_client().digest()


def exchange_of(server: Graph, before: Graph, after: Graph) -> Exchange:
    """What crosses the wire: what the client's graph before the server's packs, and what the one after it unpacks."""
    packed = {value.name for value in before.outputs if isinstance(value.type, SlotsType | RealSlotsType)}
    unpacked = {value.name for value in after.inputs if isinstance(value.type, SlotsType | RealSlotsType)}
    return Exchange(_ciphers(server.inputs, packed), _ciphers(server.outputs, unpacked))


def in_the_clear(type_: CiphersType) -> SlotsType | RealSlotsType:
    """What the client encrypts or decrypts: the slots of ciphertexts."""
    if isinstance(type_, CkksType):
        return RealSlotsType(type_.count, type_.slots)
    return SlotsType(type_.count, type_.slots, type_.scale_bits, type_.encoding)


def is_slots(type_: Type) -> bool:
    """Whether values of the type are slot vectors on the client."""
    return isinstance(type_, SlotsType | RealSlotsType)


def _ciphers(values: tuple[Value, ...], names: set[str]) -> tuple[tuple[str, CiphersType], ...]:
    return tuple((v.name, v.type) for v in values if v.name in names and isinstance(v.type, CipherType | CkksType))
