"""What a report says: plain data, from which text, JSON and whatever else are made."""

from __future__ import annotations

from dataclasses import dataclass

from enclair.compiler.obfuscation import SplitPoint
from enclair.compiler.report.systems import System

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A value that crosses the wire: how it lies in how many ciphertexts, and their bytes."""

    value: str
    layout: str
    ciphertexts: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Step:
    """An op of the model: what computes which value, and where it comes from in the user's source."""

    op: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One exchange.

    Args:
        number: from 1.
        server: what the server computes.
        client: what the client computes with the answers, packing and rounding left out.
        layout: how the server's part is packed.
        uploads, answers: what crosses the wire.
        sum_bits: bits of the largest sum that can occur, with its sign; proven.
        modulus_bits: bits that the plaintext moduli hold.
        noise_growth_bits: how much the noise of an upload grows at most.
        noise_room_bits: how much it may grow.
        flood_distance_bits: -log2 of the statistical distance of the round's answers, in one query, from ciphertexts
            that depend on the decrypted values alone.
        estimated_ms: client, server and wire, one thread, 1 Gbit/s.
    """

    number: int
    server: tuple[Step, ...]
    client: tuple[Step, ...]
    layout: str
    uploads: tuple[Transfer, ...]
    answers: tuple[Transfer, ...]
    sum_bits: int
    modulus_bits: int
    noise_growth_bits: float
    noise_room_bits: float
    flood_distance_bits: float
    estimated_ms: float

    @property
    def up_bytes(self) -> int:
        """Bytes to the server."""
        return sum(transfer.bytes for transfer in self.uploads)

    @property
    def down_bytes(self) -> int:
        """Bytes to the client."""
        return sum(transfer.bytes for transfer in self.answers)


@dataclass(frozen=True, slots=True)
class ParametersReport:
    """The scheme's parameters, and who vouches for them.

    Args:
        modulus_bits: log2 of the product of the primes.
        most_modulus_bits: what the security table allows at this ring dimension; None where it has no entry.
        security: name of the table, or that there is none.
        secure: whether the table vouches for them.
        statement: the same in a sentence.
        public_key_bytes: what the client sends once.
    """

    scheme: str
    ring_dim: int
    primes: tuple[int, ...]
    modulus_bits: float
    most_modulus_bits: int | None
    plaintext_moduli: tuple[int, ...]
    plaintext_bits: int
    flood_bits: int
    security: str
    secure: bool
    statement: str
    public_key_bytes: int


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """How close the fixed-point program is to the float model; None where the program does not say.

    Args:
        gap_bound: bound on |fixed point - float| at the outputs.
        gap_bound_kind: ``proven``, or ``calibrated``: measured on held-back samples, doubled.
        samples: how many calibration samples there were, by where they came from.
    """

    activation_bits: int | None
    weight_bits: int | None
    margin: float | None
    tolerance: float | None
    gap_bound: float | None
    gap_bound_kind: str | None
    samples: dict[str, int]


@dataclass(frozen=True, slots=True)
class ClientParameter:
    """A constant of the model that the client is given, because it computes the op that needs it."""

    name: str
    shape: Shape
    round: int
    read_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of the server that an answer depends on."""

    op: str
    weights: str
    shape: Shape
    count: int
    origin: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the client sees by an answer, and what it can solve for.

    Args:
        round: of the answer.
        value, shape: what it decrypts.
        read_by: the ops for which it is decrypted; ``output`` for a result of the model.
        layers: the weights that lie between what the client knew and this.
        composed: whether layers lie one behind the other, so that least squares gives the map they make together.
        summands: in how many parts each element is seen, the most.
        systems: of linear equations, those alike together, the one that takes most queries first.
        inner: of a composed map, the sums of the commonest kind (of an image, those that see nothing of its border),
            where they are solved sooner than all.
        queries: after how many queries all systems are solved; None where there is nothing to solve for.
    """

    round: int
    value: str
    shape: Shape
    read_by: tuple[str, ...]
    layers: tuple[Layer, ...]
    composed: bool
    summands: int
    systems: tuple[System, ...]
    inner: System | None
    queries: int | None

    @property
    def unreached(self) -> int:
        """How many of the weights no equation has in it; of composed layers, none are known to be."""
        reached = sum(system.unknowns * system.copies for system in self.systems)
        return 0 if self.composed else sum(layer.count for layer in self.layers) - reached


@dataclass(frozen=True, slots=True)
class Findings:
    """All that ``inspect`` found out about a program."""

    name: str
    mode: str
    digest: str
    inputs: tuple[tuple[str, Shape, float, float], ...]
    outputs: tuple[str, ...]
    rounds: tuple[RoundReport, ...]
    moved_to_client: tuple[str, ...]
    refreshed: tuple[str, ...]
    parameters: ParametersReport
    precision: PrecisionReport
    client_parameters: tuple[ClientParameter, ...]
    exposures: tuple[Exposure, ...]
    obfuscation: tuple[SplitPoint, ...]
    notes: tuple[str, ...]
