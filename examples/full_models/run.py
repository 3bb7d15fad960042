"""Run one of the models on encrypted inputs in one round: the client sees the answer alone.

python examples/full_models/run.py MODEL [--inputs N] [--quick] [--mode full|split] [--fast] [--json]

Trains the classifiers of digits when they are first needed, in seconds. Exits with 1 when a gap passes its bound or the
tolerance is not met, with 2 when it cannot run.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "ct_denoise", "deit_whole"))

from example_tools import encrypted, terminal
from full_models.case import Case, right
from full_models.catalogue import MODELS
from full_models.titles import TITLES


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = terminal.parser(__doc__.splitlines()[0])
    models = "; ".join(f"{name}: {title}" for name, title in TITLES.items())
    parser.add_argument("model", choices=MODELS, metavar="MODEL", help=models)
    parser.add_argument("--inputs", type=int, default=4, help="how many to run")
    parser.add_argument("--quick", action="store_true", help="a smaller network of the kind")
    parser.add_argument("--mode", choices=("full", "split"), default="full")
    return parser.parse_args()


def work() -> tuple[dict[str, Any], bool]:
    """Run and compare."""
    options = arguments()
    case = MODELS[options.model](options.quick).first(options.inputs)
    if options.tolerance is not None:
        case = case.within(options.tolerance)
    with terminal.progress_bar() as progress:
        done = encrypted.run(case.job(options.mode), progress, verify=not options.fast)
    found = figures(case, done)
    met = found["largest gap to float"] <= case.options["tolerance"]
    return {**done.report, "figures": found, "ok": bool(done.report["ok"] and met)}, options.json


def figures(case: Case, done: encrypted.Done) -> dict[str, Any]:
    """The gap between both answers, and how many inputs each classifies right."""
    plain, answer = (next(iter(outputs.values())) for outputs in (done.plain, done.encrypted))
    found = {"inputs": len(case.inputs), "largest gap to float": float(abs(answer - plain).max())}
    if case.labels is None:
        return found
    shares = {"right, float": plain, "right, encrypted": answer}
    return found | {name: right(outputs, case.labels) for name, outputs in shares.items()}


if __name__ == "__main__":
    sys.exit(terminal.main(work))
