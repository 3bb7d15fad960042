"""Measure full mode: compile, keys, encryption, evaluation, decryption, precision, beside Orion and OpenFHE.

python benchmarks/full.py [--only NAME ...] [--tolerance T] [--inputs N] [--threads N ...] [--quick]
                          [--without verify openfhe] [--programs DIR] [--output FILE] [--peer-python PYTHON] [--json]

Programs are compiled once, each in a process of its own, whose peak memory is that of compiling; reading or training
the network comes before and saving after, and both are timed apart. Then all inputs run on the largest number of
cores, and on fewer cores as many as a median needs (7), in processes of their own; seconds are medians. Precision is
-log2 of the gap to the float model in onnxruntime; the gaps between the four executions stand beside their bounds, of
one input. Rotations are counted: hoisted ones share a decomposition of their ciphertext, full ones do not. Beside them
stands what the program's operations would take with OpenFHE's own evaluation: medians of each operation at each level
that occurs, one thread, times how often it occurs. --peer-python names a Python in which Orion is installed (CPython
3.10, pip install orion-fhe==1.0.2): it runs the same networks, weights and inputs by peers/orion_bench.py.
--output adds the figures of each model to a file as soon as it is done, one JSON object a line.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measures.folders import programs_folder
from measures.full_mode import cases, openfhe_ckks, orion, sessions
from measures.full_mode.files import TITLES
from measures.full_mode.tables import show, summary
from measures.processes import apart

INPUTS, QUICK_INPUTS = 24, 3
"""Of a model that run, unless the command line says how many."""
VERIFY, OPENFHE = PARTS = ("verify", "openfhe")
"""What may be left out."""


def arguments() -> argparse.Namespace:
    """The command line."""
    lines = __doc__.splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0], epilog="\n".join(lines[5:]), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(TITLES)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--tolerance", type=positive, metavar="T", help="of the outputs; by default each model's own")
    parser.add_argument("--inputs", type=int, help=f"how many to run, {INPUTS} by default")
    parser.add_argument("--threads", type=int, nargs="+", default=default_threads(), help="numbers of cores to run on")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--mode", choices=("full", "split"), default="full", help="split: the same models, interactive")
    parser.add_argument("--without", nargs="+", choices=PARTS, default=(), help="parts to leave out")
    parser.add_argument("--programs", type=Path, help="folder for compiled programs; those in it are used as they are")
    parser.add_argument("--output", type=Path, metavar="FILE", help="add each model's figures to it, as a line of JSON")
    parser.add_argument("--peer-python", type=Path, help="a Python with Orion, to measure it too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def default_threads() -> list[int]:
    """One core, and all."""
    return sorted({1, len(os.sched_getaffinity(0))})


def positive(text: str) -> float:
    """A tolerance.

    Raises:
        argparse.ArgumentTypeError: it is no number above 0.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"needs a number above 0, got {text!r}")
    return number


def measure(options: argparse.Namespace, programs: Path) -> dict[str, Any]:
    """All figures; each model's are shown and kept as they come."""
    models = []
    for name in options.only:
        models.append(measure_model(name, options, programs))
        keep(models[-1], options)
    return {"mode": options.mode, "quick": options.quick, "threads": options.threads, "models": models}


def keep(model: dict[str, Any], options: argparse.Namespace) -> None:
    """Show a model's figures on standard error, and add them to the file, if there is one."""
    print(summary(model), file=sys.stderr, flush=True)
    if options.output is not None:
        with options.output.open("a") as file:
            file.write(json.dumps({"mode": options.mode, "quick": options.quick, **model}) + "\n")


def said(what: str, work: Callable[..., Any], *args: Any) -> Any:
    """Say on standard error what is being done, and do it."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    return work(*args)


def folder_of(name: str, options: argparse.Namespace, programs: Path) -> Path:
    """Where the program is kept: another tolerance is another program."""
    tolerance = "" if options.tolerance is None else f"-{options.tolerance:g}"
    return programs / f"{name}-{options.mode}{tolerance}{'-quick' if options.quick else ''}"


def measure_model(name: str, options: argparse.Namespace, programs: Path) -> dict[str, Any]:
    """The figures of one model."""
    folder = folder_of(name, options, programs)
    count = options.inputs or (QUICK_INPUTS if options.quick else INPUTS)
    order = cases.Order(name, options.mode, options.quick, count, options.tolerance)
    facts = said(f"{name}: compiling", apart, cases.compile_model, folder, order)
    backend = "ckks" if options.mode == "full" else "bfv"
    runs = {
        str(cores): said(f"{name}: running on {cores}", sessions.run_on, cores, folder, backend, most)
        for cores, most in sessions.inputs_on(options.threads, count).items()
    }
    return {
        "name": name,
        "title": TITLES[name],
        "program": facts,
        "runs": runs,
        "gaps": [] if VERIFY in options.without else said(f"{name}: verifying", apart, sessions.gaps, folder, backend),
        "met": all(run["precision"]["largest_error"] <= facts["tolerance"] for run in runs.values()),
        "openfhe": limit(name, folder, options),
        "orion": peers(name, folder, options),
    }


def limit(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """What the operations would take with OpenFHE's own evaluation."""
    if options.mode != "full" or OPENFHE in options.without:
        return None
    found: dict[str, Any] = said(f"{name}: OpenFHE", apart, openfhe_ckks.limit, folder)
    return found


def peers(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Orion's figures by number of threads, where it is measured."""
    if options.peer_python is None or options.quick or name not in orion.WORKS:
        return {}
    runs = min(options.inputs or sessions.MEDIAN_RUNS, sessions.MEDIAN_RUNS)
    return {
        str(cores): said(f"{name}: Orion on {cores}", orion.measure, options.peer_python, name, folder, cores, runs)
        for cores in options.threads
    }


def main() -> None:
    """Measure and print."""
    options = arguments()
    with programs_folder(options.programs) as programs:
        figures = measure(options, programs)
    print(json.dumps(figures, indent=2)) if options.json else show(figures)


if __name__ == "__main__":
    main()
