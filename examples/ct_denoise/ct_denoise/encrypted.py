"""The denoiser on encrypted pixels, and the three executions in the clear that it is held against."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import enclair
from ct_denoise.calibration import calibration
from ct_denoise.network import UNIT_HU, denoiser, from_output, input_range, load_weights, to_input

TOLERANCE_HU = 0.5
"""Largest gap allowed between the fixed-point network and the float one: less than rounding to whole units."""

Progress = Callable[[float, str], None]
"""Told the part done, 0 to 1, and what is being done."""


def compile_denoiser(height: int, width: int, progress: Progress) -> Any:
    """Compile the network for slices of this size: one round for each convolution."""
    return enclair.compile(
        denoiser(load_weights(), height, width),
        {"x": calibration(height, width)},
        mode="split",
        tolerance=TOLERANCE_HU / UNIT_HU,
        input_ranges={"x": input_range()},
        name="ct_denoiser",
        progress=lambda step: progress(0.0, step),
    )


def denoise_encrypted(hu: NDArray[np.floating], progress: Progress) -> Any:
    """Compile for the size of a slice in Hounsfield units, and run it through the four executions."""
    height, width = hu.shape
    program = compile_denoiser(height, width, progress)
    return enclair.verify(program, {"x": to_input(hu)}, progress=lambda moment: progress(moment.done, moment.what))


def output_of(verification: Any, execution: str) -> NDArray[np.float64]:
    """What an execution (``float``, ``poly``, ``simulated``, ``encrypted``) gave, (1, 1, height, width)."""
    return np.asarray(verification.outputs[execution]["denoised"])


def differences(verification: Any) -> int:
    """In how many pixels the encrypted answer and the fixed-point reference are not the same number."""
    return int((output_of(verification, "encrypted") != output_of(verification, "poly")).sum())


def gap_hu(verification: Any) -> float:
    """The largest difference between the encrypted answer and the float network, in HU."""
    return float(np.abs(from_output(output_of(verification, "encrypted") - output_of(verification, "float"))).max())
