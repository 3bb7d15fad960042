"""What verifying a program found: four executions, the gaps between neighbours, and where they part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.answers import Seen
from enclair.runtime.session import SessionResult

Outputs = Mapping[str, NDArray[np.float64]]

EXECUTIONS = ("float", "poly", "simulated", "encrypted")
GAPS = tuple((f"{later}_vs_{earlier}", later, earlier) for earlier, later in pairwise(EXECUTIONS))
"""(name, execution, the one before it)."""
EXACT_GAPS = GAPS[1:]
"""Those that must be zero: only fixed point rounds."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound on a gap: ``proven``, or ``calibrated`` (the largest gap on held-back samples, doubled)."""

    value: float
    kind: str


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest difference between two executions, in the outputs' units, and its bound."""

    name: str
    max_abs: float
    bound: Bound

    @property
    def met(self) -> bool:
        """Whether the gap is within its bound."""
        return self.max_abs <= self.bound.value

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "met": self.met}


@dataclass(frozen=True, slots=True)
class Layer:
    """A value that the client decrypts, compared over the executions, in real units.

    Args:
        seen: which value, in which round.
        max_abs: largest magnitude in the reference.
        gaps: by name; ``poly_vs_float`` only where the float model has a value of this name.
    """

    seen: Seen
    max_abs: float
    gaps: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        seen = {"value": self.seen.value.name, "type": str(self.seen.value.type), "round": self.seen.round}
        return {**seen, "origin": self.seen.origin, "max_abs": self.max_abs, "gaps": self.gaps}


@dataclass(frozen=True, slots=True)
class SlotLayer:
    """A layer of a program of full mode: its slots in the clear, and under encryption.

    Args:
        value: its name in the model. Packing may have scaled it, so that slots are compared with slots alone.
        origin: the user's source line or module.
        max_abs: largest magnitude in the clear.
        gap: largest difference under encryption.
        bound: predicted.
    """

    value: str
    origin: str
    max_abs: float
    gap: float
    bound: float

    @property
    def met(self) -> bool:
        """Whether the noise is within what was predicted."""
        return self.gap <= self.bound

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        gaps = {"encrypted_vs_simulated": self.gap}
        return {
            "value": self.value,
            "origin": self.origin,
            "max_abs": self.max_abs,
            "gaps": gaps,
            "predicted": self.bound,
            "met": self.met,
        }

    def __str__(self) -> str:
        origin = f" ({self.origin})" if self.origin else ""
        return f"encrypted_vs_simulated: %{self.value}{origin}: {self.gap:.3g}, predicted at most {self.bound:.3g}"


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first value in which two executions that must be equal differ.

    Args:
        gap: between which executions.
        value: its name.
        round: in which it is decrypted.
        origin: the user's source line or module.
        elements: how many differ.
        first: index of the first of them, batch number in front.
    """

    gap: str
    value: str
    round: int
    origin: str
    elements: int
    first: tuple[int, ...]

    def __str__(self) -> str:
        origin = f" ({self.origin})" if self.origin else ""
        return f"{self.gap}: %{self.value}{origin}, round {self.round}: {self.elements} elements, first {self.first}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What the four executions gave.

    Args:
        outputs: execution -> output name -> array.
        equal: whether encrypted and fixed-point reference are equal bit for bit in all outputs; None for programs of
            full mode, which compute with reals.
        gaps: between neighbours, in order.
        encrypted: the last execution: seconds, bytes, saturations.
        backend: that ran it.
        seconds: of the executions in the clear.
        room_left_bits: noise room that the simulation predicts to be left; None where nothing is encrypted.
        tolerance: asked for when compiling.
        diverges: the first value that differs where executions must be equal, if one does; in full mode, the first
            layer whose noise is beyond its bound, in words.
        layers: every value that the client decrypts, in full mode every layer, if asked for.
    """

    outputs: Mapping[str, Outputs] = field(repr=False)
    equal: bool | None
    gaps: tuple[Gap, ...]
    encrypted: SessionResult = field(repr=False)
    backend: str
    seconds: dict[str, float]
    room_left_bits: float | None
    tolerance: float | None
    diverges: Divergence | str | None
    layers: tuple[Layer, ...] | tuple[SlotLayer, ...]

    @property
    def ok(self) -> bool:
        """Whether every gap is within its bound, and where all must be equal, nothing differs, on the way either."""
        return self.equal is not False and self.diverges is None and all(gap.met for gap in self.gaps)

    @property
    def saturated(self) -> dict[str, int]:
        """Elements cut off at rounding nodes, by name. Where there are any, no bound on ``poly_vs_float`` is stated."""
        return {name: count for name, count in self.encrypted.saturated.items() if count}

    def to_json(self) -> dict[str, Any]:
        """Plain data, as ``enclair verify --json`` prints it."""
        result = self.encrypted
        return {
            "ok": self.ok,
            "equal": self.equal,
            "backend": self.backend,
            "rounds": result.rounds,
            "batches": result.batches,
            "gaps": {gap.name: gap.to_json() for gap in self.gaps},
            "tolerance": self.tolerance,
            "diverges": asdict(self.diverges) if isinstance(self.diverges, Divergence) else self.diverges,
            "outputs": {name: self._output_json(name) for name in self.outputs["poly"]},
            "saturated": {"elements": sum(self.saturated.values()), "by_value": self.saturated},
            "noise_room_left_bits": self.room_left_bits,
            "seconds": {**self.seconds, **result.seconds},
            "bytes": asdict(result.traffic),
            "peak_rss": result.peak_rss,
            "layers": [layer.to_json() for layer in self.layers],
        }

    def _output_json(self, name: str) -> dict[str, Any]:
        arrays = {execution: self.outputs[execution][name] for execution in EXECUTIONS}
        return {
            "shape": list(arrays["poly"].shape),
            "max_abs": {execution: float(np.abs(array).max(initial=0.0)) for execution, array in arrays.items()},
            "gaps": {gap: distance(arrays[later], arrays[earlier]) for gap, later, earlier in GAPS},
        }


def distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The largest absolute difference of two arrays of one shape."""
    return float(np.abs(one - other).max(initial=0))


def farthest(one: Outputs, other: Outputs) -> float:
    """The largest difference of any output; not a number if one is."""
    return float(np.max([distance(one[name], other[name]) for name in other], initial=0.0))
