"""Compare the denoiser with squares and the one with ReLUs, en clair, on held-out patients and the demo's slice.

python examples/full_models/quality.py [--data DIR] [--dose I0 ...] [--json]
"""

import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "ct_denoise", "deit_whole"))

import numpy as np
import torch
from ct_denoise.comparison import Method, main
from ct_denoise.model import model_of
from ct_denoise.network import from_output, load_weights, to_input
from full_models import squared
from numpy.typing import NDArray


def methods() -> dict[str, Method]:
    """By name."""
    relu, squares = model_of(load_weights()), squared.load()
    return {
        "low_dose": lambda low, _: low,
        "relu": lambda low, _: run(relu, to_input(low)),
        "squares": lambda low, _: run(squares, squared.clipped(to_input(low))),
    }


def run(model: torch.nn.Module, image: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a network makes of an image."""
    with torch.no_grad():
        return from_output(model(torch.from_numpy(image)).numpy())


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], methods()))
