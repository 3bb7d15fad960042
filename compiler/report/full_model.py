"""What a report on a program of full mode says: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from enclair.compiler.report.model import Shape, Transfer
from enclair.compiler.report.operations import Operations


@dataclass(frozen=True, slots=True)
class CkksParametersReport:
    """The scheme's parameters, and who vouches for them.

    Args:
        slots: reals in a ciphertext.
        levels: rescales that a fresh ciphertext can take.
        primes: of Q, the last one is dropped first.
        special_primes: of P, by which key switching scales.
        modulus_bits: of Q P together, which the security table limits to ``most_modulus_bits``.
        digits: of key switching.
        statement: on security, in a sentence.
    """

    scheme: str
    ring_dim: int
    slots: int
    levels: int
    scale_bits: int
    first_bits: int
    primes: tuple[int, ...]
    special_primes: tuple[int, ...]
    modulus_bits: int
    most_modulus_bits: int | None
    digits: int
    security: str
    secure: bool
    statement: str


@dataclass(frozen=True, slots=True)
class KeysReport:
    """The keys that a client makes and sends once.

    Args:
        rotations: steps that have a key.
        relinearise: whether there is a relinearisation key.
        levels: the highest level at which each is used, relinearisation first.
        key_bytes: of the largest evaluation key.
        bytes: of all of them, the public key included.
    """

    rotations: tuple[int, ...]
    relinearise: bool
    levels: tuple[int, ...]
    key_bytes: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What the server does for one value of the model.

    Args:
        value: its name; ``op`` and ``origin`` say what makes it and where that stands in the user's source.
        layout: how its result lies in how many ciphertexts.
        levels: before and after.
        operations: on ciphertexts.
        estimated_ms: by the cost model, one thread.
    """

    value: str
    op: str
    origin: str
    layout: str
    ciphertexts: int
    levels: tuple[int, int]
    operations: Operations
    estimated_ms: float


@dataclass(frozen=True, slots=True)
class FullPrecisionReport:
    """How close decrypted outputs are to the float model's.

    Args:
        tolerance: asked for.
        approximation_bound: on |polynomials - float| at the outputs; ``approximation_kind`` says how it is known.
        noise_bound: on what encryption adds, predicted.
        noise_bits: of precision that the noise leaves, relative to the largest output seen.
        margin: by which calibrated ranges were widened.
        samples: calibration samples, by where they came from.
    """

    tolerance: float | None
    approximation_bound: float | None
    approximation_kind: str | None
    noise_bound: float | None
    noise_bits: float | None
    margin: float | None
    samples: dict[str, int]


@dataclass(frozen=True, slots=True)
class CostReport:
    """What a run is estimated to take, by the cost model.

    Args:
        server_ms: one thread.
        critical_ms: the longest chain of operations: no number of threads is faster.
        threads_ms: by number of threads.
        client_ms: encoding, encrypting, decrypting.
        memory_bytes: of the server: keys, plaintexts and the ciphertexts alive at once.
        calibrated: whether the costs were measured on this machine (``enclair calibrate``).
    """

    server_ms: float
    critical_ms: float
    threads_ms: dict[str, float]
    client_ms: float
    memory_bytes: int
    calibrated: bool


@dataclass(frozen=True, slots=True)
class FullFindings:
    """All that ``inspect`` found out about a program of full mode.

    ``activations`` are the facts that the approximation declared, one dict for each; see ``enclair.compiler.approx``.
    """

    name: str
    mode: str
    digest: str
    inputs: tuple[tuple[str, Shape, float, float], ...]
    outputs: tuple[str, ...]
    uploads: tuple[Transfer, ...]
    answers: tuple[Transfer, ...]
    keys: KeysReport
    parameters: CkksParametersReport
    precision: FullPrecisionReport
    cost: CostReport
    operations: Operations
    layers: tuple[LayerReport, ...]
    activations: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
