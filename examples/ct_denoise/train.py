"""Train the denoiser from scratch, on phantoms alone, and write denoiser.safetensors and denoiser.onnx.

python examples/ct_denoise/train.py        (needs the torch extra; some minutes on two cores)
"""

import argparse
import os
from pathlib import Path

from ct_denoise.balance import balance
from ct_denoise.model import export, model_of, weights_of
from ct_denoise.network import WEIGHTS
from ct_denoise.pairs import draw_pairs
from ct_denoise.training import Schedule, train
from safetensors.numpy import save_file


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=WEIGHTS.parent, help="folder to write to")
    parser.add_argument("--pairs", type=int, default=600, help="phantoms to draw")
    parser.add_argument("--steps", type=int, default=Schedule.steps, help="training steps")
    parser.add_argument("--seed", type=int, default=0, help="of phantoms, noise, weights and crops")
    return parser.parse_args()


def show(step: int, loss_hu: float) -> None:
    """One line every 500 steps."""
    if step % 500 == 0:
        print(f"step {step:5d}   mean absolute error {loss_hu:6.2f} HU", flush=True)


def main() -> None:
    """Draw pairs, train, balance, write both files."""
    options = arguments()
    print(f"drawing {options.pairs} phantoms and their low-dose images ...", flush=True)
    first = options.seed * options.pairs
    pairs = draw_pairs(range(first, first + options.pairs), workers=os.cpu_count() or 1)
    weights = balance(weights_of(train(pairs, Schedule(steps=options.steps, seed=options.seed), show)), print)
    options.output.mkdir(parents=True, exist_ok=True)
    save_file(weights, options.output / "denoiser.safetensors")
    export(model_of(weights), options.output / "denoiser.onnx")
    print(f"wrote denoiser.safetensors and denoiser.onnx to {options.output}")


if __name__ == "__main__":
    main()
