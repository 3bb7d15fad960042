"""Run RED-CNN on an encrypted CT patch: ten layers of 5 x 5, 96 channels, with random weights or your own.

python examples/red_cnn/run.py [--weights FILE] [--picture ct|camera] [--size N] [--channels N] [--json]

Exits with 1 when the encrypted answer is not the fixed-point reference bit for bit or a gap passes its bound, with 2
when it cannot run.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from example_tools import encrypted, terminal
from example_tools.pictures import PICTURES, psnr_db
from red_cnn import weights
from red_cnn.job import job, patch


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = terminal.parser(__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="your trained weights: .safetensors, .npz or a torch state dict")
    parser.add_argument("--picture", choices=PICTURES, default="ct")
    parser.add_argument("--size", type=int, default=64, help="pixels across; the middle of the picture is taken")
    parser.add_argument("--channels", type=int, default=weights.CHANNELS, help="of random weights")
    return parser.parse_args()


def work() -> tuple[dict[str, Any], bool]:
    """Run and compare."""
    options = arguments()
    tensors = weights.load(options.weights) if options.weights else weights.random(options.channels, options.seed)
    original, image = patch(options.picture, options.size, options.seed)
    task = job(tensors, image, options.seed, options.tolerance)
    with terminal.progress_bar() as progress:
        done = encrypted.run(task, progress, verify=not options.fast)
    shown = {"noisy": image, "float": done.plain["denoised"][0, 0], "encrypted": done.encrypted["denoised"][0, 0]}
    figures = {f"PSNR {name}, dB": psnr_db(original, each) for name, each in shown.items()}
    return {**done.report, "figures": figures}, options.json


if __name__ == "__main__":
    sys.exit(terminal.main(work))
