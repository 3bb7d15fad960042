"""Denoise a picture under encryption with DnCNN, 6 or 17 layers of 64 channels, trained or random.

python examples/dncnn/run.py [--layers 6|17] [--level L|M|H] [--picture ct|camera] [--size N] [--random] [--json]

Fetches the trained weights by pip when they are first needed. Exits with 1 when the encrypted answer is not the
fixed-point reference bit for bit or a gap passes its bound, with 2 when it cannot run.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dncnn import weights
from dncnn.job import images, job
from example_tools import encrypted, terminal
from example_tools.pictures import PICTURES, Grey, psnr_db


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = terminal.parser(__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, choices=(6, 17), default=6)
    parser.add_argument("--level", choices=weights.SIGMAS, default="M", help="of the noise trained for and added")
    parser.add_argument("--picture", choices=PICTURES, default="ct")
    parser.add_argument("--size", type=int, default=64, help="pixels across; the middle of the picture is taken")
    parser.add_argument("--random", action="store_true", help="random weights instead of the trained ones")
    parser.add_argument("--channels", type=int, default=64, help="of random weights")
    parser.add_argument("--cache", type=Path, help="folder for the trained weights")
    return parser.parse_args()


def layers_of(options: argparse.Namespace) -> list[weights.Layer]:
    """The weights asked for."""
    if options.random:
        return weights.random(options.layers, options.channels, options.seed)
    return weights.trained(options.layers, options.level, options.cache)


def work() -> tuple[dict[str, Any], bool]:
    """Denoise and compare."""
    options = arguments()
    sigma = weights.SIGMAS[options.level]
    original, image = images(options.picture, options.size, sigma, options.seed)
    task = job(layers_of(options), image, sigma, options.seed, options.tolerance)
    with terminal.progress_bar() as progress:
        done = encrypted.run(task, progress, verify=not options.fast)
    return {**done.report, "figures": figures(original, image, done)}, options.json


def figures(original: Grey, image: Grey, done: encrypted.Done) -> dict[str, float]:
    """PSNR of the noisy picture and of both answers."""
    shown = {"noisy": image, "float": done.plain["denoised"][0, 0], "encrypted": done.encrypted["denoised"][0, 0]}
    return {f"PSNR {name}, dB": psnr_db(original, each) for name, each in shown.items()}


if __name__ == "__main__":
    sys.exit(terminal.main(work))
