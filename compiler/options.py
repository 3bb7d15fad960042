"""What a user may ask of the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from enclair.compiler.errors import CompileError
from enclair.compiler.planner.ckks_costs import UnitCosts

MODES = ("split", "full")


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """What a user may ask of split mode.

    Args:
        tolerance: largest |fixed point - float| allowed on the outputs, in their units; None is 1e-4 of their
            calibrated range.
        activation_bits, weight_bits: bits including the sign, instead of a tolerance; give both.
        margin: by what share calibrated ranges are widened.
        input_ranges: the interval of each input, instead of the calibrated one; values outside are refused.
        flood_bits: how far answers' noise is above what it hides.
        finishing_sums: layouts may leave the last additions of a sum to the client. They are the cheapest for matrix
            products, and show the client the summands: it needs fewer queries to solve for the weights.
    """

    tolerance: float | None = None
    activation_bits: int | None = None
    weight_bits: int | None = None
    margin: float = 0.25
    input_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    flood_bits: int = 40
    finishing_sums: bool = True


def check_options(options: SplitOptions) -> None:
    """Refuse options that make no sense.

    Raises:
        CompileError: says what is wrong with which option.
    """
    if (options.activation_bits is None) != (options.weight_bits is None):
        raise CompileError("give activation_bits and weight_bits together, or neither")
    for name in ("activation_bits", "weight_bits"):
        bits = getattr(options, name)
        if bits is not None and not 2 <= bits <= 30:
            raise CompileError(f"{name} must be 2 to 30, got {bits}")
    _check_common(options.tolerance, options.margin)


@dataclass(frozen=True, slots=True)
class FullOptions:
    """What a user may ask of full mode.

    Args:
        tolerance: largest |decrypted - float| allowed on the outputs, in their units; None is 1e-3 of their calibrated
            range.
        margin: by what share calibrated ranges are widened.
        input_ranges: the interval of each input, instead of the calibrated one; values outside are refused.
        max_ram: bytes that the server may use for keys, plaintexts and ciphertexts; None is no cap.
        max_rotation_keys: how many rotation keys the client may have to make and send; rotations without a key of their
            own are then composed. None is no cap.
        costs: of units of the server's work, as measured on the machine that will serve; None takes usual ones.
    """

    tolerance: float | None = None
    margin: float = 0.25
    input_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    max_ram: int | None = None
    max_rotation_keys: int | None = None
    costs: UnitCosts | None = None


LEAST_ROTATION_KEYS = 16
"""With a key for each power of two every rotation can be composed, at any ring dimension in the table."""


def check_full_options(options: FullOptions) -> None:
    """Refuse options that make no sense.

    Raises:
        CompileError: says what is wrong with which option.
    """
    _check_common(options.tolerance, options.margin)
    if options.max_ram is not None and options.max_ram < 1 << 28:
        raise CompileError(f"max_ram is in bytes and must be at least {1 << 28}, got {options.max_ram}")
    if options.max_rotation_keys is not None and options.max_rotation_keys < LEAST_ROTATION_KEYS:
        raise CompileError(
            f"max_rotation_keys must be at least {LEAST_ROTATION_KEYS}, one for each power of two, got"
            f" {options.max_rotation_keys}"
        )


def _check_common(tolerance: float | None, margin: float) -> None:
    if tolerance is not None and not tolerance > 0:
        raise CompileError(f"tolerance must be positive, got {tolerance}")
    if not 0 <= margin <= 10:
        raise CompileError(f"margin must be 0 to 10, got {margin}")
