"""Train the denoiser with squares, on phantoms alone, and write squared_denoiser.safetensors.

python examples/full_models/train.py [--pairs N] [--steps N]        (needs the torch extra; under an hour on one core)
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "ct_denoise", "deit_whole"))

import torch
from ct_denoise.calibration import calibration
from ct_denoise.network import load_weights
from ct_denoise.pairs import draw_pairs
from ct_denoise.training import as_input
from full_models import denoising, squared
from safetensors.torch import save_file

CORNER = 128
FITTED_ON = 24
"""Pairs whose corners, beside images of extremes, say how far the channels reach."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=squared.WEIGHTS, help="file to write")
    parser.add_argument("--pairs", type=int, default=200, help="phantoms to draw")
    parser.add_argument("--steps", type=int, default=denoising.SCHEDULE.steps, help="training steps")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw phantoms")
    return parser.parse_args()


def show(step: int, loss_hu: float) -> None:
    """One line every 500 steps."""
    if step % 500 == 0:
        print(f"step {step:5d}   mean absolute error {loss_hu:6.2f} HU", flush=True)


def main() -> None:
    """Draw pairs, replace the ReLUs, train, write."""
    options = arguments()
    torch.set_num_threads(1)
    print(f"drawing {options.pairs} phantoms and their low-dose images ...", flush=True)
    pairs = draw_pairs(range(options.pairs), workers=options.workers)
    corners = as_input([low[:CORNER, :CORNER] for _, low in pairs[:FITTED_ON]])
    images = torch.cat([corners, torch.from_numpy(calibration(CORNER, CORNER))]).clamp(*squared.input_range())
    start = squared.squared(load_weights(), images)
    tuned = denoising.fine_tune(start, pairs, replace(denoising.SCHEDULE, steps=options.steps), show)
    save_file(denoising.cautious(tuned).state_dict(), options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
