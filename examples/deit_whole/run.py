"""Classify an encrypted image by a whole vision transformer of timm, unmodified: deit_tiny_patch16_224.

python examples/deit_whole/run.py [--pretrained] [--batch N] [--small] [--model NAME] [--json]

The server computes what has weights: the patch embedding, in each block the products that make queries, keys and
values, their projection and both layers of the MLP, and the head. The client computes LayerNorm, attention, softmax and
GELU. Nobody says so: the compiler finds it. Needs the torch extra. Exits with 1 when the encrypted answer is not the
fixed-point reference bit for bit, a gap passes its bound or a top class differs, with 2 when it cannot run.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deit_whole.network import NAME, images, network, small_network
from example_tools import encrypted, terminal

TOLERANCE = 1e-3
MARGIN = 0.5
"""Few samples are calibrated on, and values differ from picture to picture."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = terminal.parser(__doc__.splitlines()[0])
    parser.add_argument("--model", default=NAME, help="name of a vision transformer of timm")
    parser.add_argument("--small", action="store_true", help="a small one with random weights instead")
    parser.add_argument("--pretrained", action="store_true", help="trained weights, fetched by timm")
    parser.add_argument("--batch", type=int, default=1, help="images at once")
    return parser.parse_args()


def work() -> tuple[dict[str, Any], bool]:
    """Classify and compare."""
    options = arguments()
    if options.small:
        model = small_network(options.seed)
    else:
        model = network(options.model, options.seed, pretrained=options.pretrained)
    inputs, samples = images(model, options.batch, options.seed)
    settings = {"tolerance": options.tolerance or TOLERANCE, "batch": options.batch, "margin": MARGIN}
    with terminal.progress_bar() as progress:
        done = encrypted.run(
            encrypted.Job(model, {"x": samples}, {"x": inputs}, settings), progress, verify=not options.fast
        )
    found = figures(done)
    return {**done.report, "figures": found, "ok": done.report["ok"] and found["top classes equal"]}, options.json


def figures(done: encrypted.Done) -> dict[str, Any]:
    """The top classes of both, and whether they are equal."""
    plain, answer = (next(iter(outputs.values())).argmax(axis=1).tolist() for outputs in (done.plain, done.encrypted))
    return {"top class, float": plain, "top class, encrypted": answer, "top classes equal": plain == answer}


if __name__ == "__main__":
    sys.exit(terminal.main(work))
