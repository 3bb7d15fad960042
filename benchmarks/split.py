"""Measure split mode: seconds by part, bytes, memory, beside the same work in the clear and by other encryptions.

python benchmarks/split.py [--only NAME ...] [--runs N] [--threads N] [--quick] [--programs DIR] [--json]

Client and server run in two processes; keys and the program are made once. Seconds exclude the network; beside them are
the bytes, and the time they take at 1 Gbit/s and at 100 Mbit/s. Two baselines are extrapolated. OpenFHE's operations:
the medians of EvalMult by a constant and of EvalAdd on the work's ring, times the number of terms of the program's
sums, encoding not counted, all cores fully used. Paillier, one ciphertext a pixel with a key of 2048 bits: a small
layer is run, its seconds for an encryption, a product and a decryption are multiplied by what the network has of each.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measures import compiled, in_the_clear, kernel, openfhe_operations, paillier
from measures.folders import programs_folder
from measures.pair import run_pair
from measures.processes import apart, use_cores
from measures.tables import show
from measures.timing import wire_seconds
from measures.works import WORKS, Work

KERNEL, GROWTH = "kernel", "growth"
SIZES, CHANNELS = (64, 128, 256), (8, 16, 32)
QUICK_SIZES, QUICK_CHANNELS = (8,), (1, 2)


def arguments() -> argparse.Namespace:
    """The command line."""
    lines = __doc__.splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0], epilog="\n".join(lines[4:]), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [KERNEL, *(work.name for work in WORKS), GROWTH]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, help="cores to use; all if not given")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--programs", type=Path, help="folder for compiled programs; those in it are used as they are")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def measure(options: argparse.Namespace, programs: Path) -> dict[str, Any]:
    """All figures."""
    threads = use_cores(options.threads)
    chosen = [work for work in WORKS if work.name in options.only]
    channels = 2 if options.quick else 64
    return {
        "threads": threads,
        "runs": options.runs,
        "quick": options.quick,
        "works": [measure_work(work, options, threads, programs) for work in chosen if not work.missing],
        "kernel": said(KERNEL, apart, kernel.measure, options.runs, threads, channels)
        if KERNEL in options.only
        else None,
        "growth": growth(options, threads, programs) if GROWTH in options.only else [],
        "left_out": {work.name: f"needs {work.needs}" for work in chosen if work.missing},
    }


def said(what: str, work: Any, *args: Any) -> Any:
    """Say on standard error what is being done, and do it."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    return work(*args)


def measure_work(work: Work, options: argparse.Namespace, threads: int, programs: Path) -> dict[str, Any]:
    """The figures of one work."""
    folder = programs / f"{work.name}{'-quick' if options.quick else ''}"
    program = said(f"{work.name}: compiling", apart, compiled.compile_work, folder, work.name, options.quick)
    client, server = said(f"{work.name}: running", run_pair, folder, options.runs)
    parts = {f"client.{part}": seconds for part, seconds in client.parts.items()}
    parts |= {f"server.{part}": seconds for part, seconds in server.parts.items()}
    return {
        "name": work.name,
        "title": work.title,
        "images": work.count(quick=options.quick),
        "program": {**program, "rounds": len(program["ciphertexts_up"])},
        "seconds": {
            "total": sum(parts.values()),
            "parts": parts,
            "keys": client.ready_seconds + server.ready_seconds,
            "compile": program["compile_seconds"],
        },
        "bytes": {"up": client.up, "down": client.down},
        "wire_seconds": wire_seconds(client.up + client.down),
        "peak_memory": {"client": client.peak_memory, "server": server.peak_memory},
        "answer": said(f"{work.name}: comparing", apart, in_the_clear.compare, folder, client.outputs),
        "baselines": baselines(work.name, folder, program["openfhe_products"], threads, options.runs),
    }


def baselines(name: str, folder: Path, products: int, threads: int, runs: int) -> dict[str, Any]:
    """The same work by others."""
    operations = said(f"{name}: OpenFHE's operations", apart, openfhe_operations.operations_for, folder)
    return {
        "onnxruntime": {"seconds": apart(in_the_clear.float_seconds, folder, threads, runs)},
        "openfhe_operations": {**asdict(operations), "seconds": operations.seconds(products, threads)},
        "paillier": said(f"{name}: Paillier", apart, paillier.extrapolate, folder, threads),
    }


def growth(options: argparse.Namespace, threads: int, programs: Path) -> list[dict[str, Any]]:
    """One convolution, first larger in size, then in channels."""
    sizes, channels = (QUICK_SIZES, QUICK_CHANNELS) if options.quick else (SIZES, CHANNELS)
    cases = [(size, channels[0]) for size in sizes] + [(sizes[0], count) for count in channels[1:]]
    return [said(f"growth: {case}", grown, case, options.runs, threads, programs) for case in cases]


def grown(case: Sequence[int], runs: int, threads: int, programs: Path) -> dict[str, Any]:
    """The figures of one convolution."""
    size, channels = case
    folder = programs / f"convolution-{size}-{channels}"
    apart(compiled.compile_convolution, folder, size, channels)
    client, server = run_pair(folder, runs)
    return {
        "size": size,
        "channels": channels,
        "client": sum(client.parts.values()),
        "server": sum(server.parts.values()),
        "up": client.up,
        "down": client.down,
        "onnxruntime": apart(in_the_clear.float_seconds, folder, threads, runs),
    }


def main() -> None:
    """Measure and print."""
    options = arguments()
    with programs_folder(options.programs) as programs:
        figures = measure(options, programs)
    print(json.dumps(figures, indent=2)) if options.json else show(figures)


if __name__ == "__main__":
    main()
