"""Scale the layers of a trained network against each other, so that fixed point loses the least.

ReLU is positively homogeneous: a layer's outputs times s and the next layer's weights over s are the same function. But
fixed point rounds the largest weight and the range up to powers of two, and wastes up to a bit of each. After Nagel
et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, with one scale for a layer,
chosen by the bound that the compiler states.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

import enclair
from ct_denoise.calibration import calibration
from ct_denoise.network import Weights, denoiser, depth, input_range

SCALES = (1.0, 2**0.25, 2**0.5, 2**0.75)
BITS = 17
PIXELS = 40
"""Edge of the images on which the bounds are compared."""


def balance(weights: Weights, progress: Callable[[str], None]) -> Weights:
    """The same network with the scales, of ``SCALES`` for each layer but the last, that have the lowest bound."""
    choices = [scaled(weights, scales) for scales in product(SCALES, repeat=depth(weights) - 1)]
    bounds = [bound(choice) for choice in choices]
    progress(f"fixed-point bound with {BITS} bits: {bounds[0]:.2e} as trained, {min(bounds):.2e} balanced")
    return choices[int(np.argmin(bounds))]


def scaled(weights: Weights, scales: Sequence[float]) -> Weights:
    """Multiply the outputs of each layer but the last, and divide the next layer's weights."""
    result = dict(weights)
    for layer, scale in enumerate(np.asarray(scales, np.float32), 1):
        for name in (f"conv{layer}.weight", f"conv{layer}.bias"):
            result[name] = result[name] * scale
        result[f"conv{layer + 1}.weight"] = result[f"conv{layer + 1}.weight"] / scale
    return result


def bound(weights: Weights) -> float:
    """The compiler's bound on the gap between fixed point and float, in units of 1000 HU."""
    program = enclair.compile(
        denoiser(weights, PIXELS, PIXELS),
        {"x": calibration(PIXELS, PIXELS)},
        activation_bits=BITS,
        weight_bits=BITS,
        input_ranges={"x": input_range()},
    )
    return float(program.facts["gap_bound"]["value"])
