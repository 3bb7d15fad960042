"""What a user may ask of the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from enclair.compiler.errors import CompileError

MODES = ("split",)


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
    if options.tolerance is not None and not options.tolerance > 0:
        raise CompileError(f"tolerance must be positive, got {options.tolerance}")
    if not 0 <= options.margin <= 10:
        raise CompileError(f"margin must be 0 to 10, got {options.margin}")
