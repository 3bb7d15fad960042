"""Measure the encrypted denoiser: seconds by part, bytes, memory, beside the same network in the clear.

python benchmarks/denoise.py [--runs N] [--json]

Medians over N runs of one session in one process; keys and the program are made once. The slice is pydicom's 128 x 128
CT with simulated low dose, the network that of examples/ct_denoise. Seconds exclude the network; the bytes say what it
would add.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "ct_denoise"))

import numpy as np
from ct_denoise.encrypted import compile_denoiser
from ct_denoise.job import load
from ct_denoise.lowdose import Scan
from ct_denoise.network import to_input
from measures.timing import GIGABIT, median_of, median_seconds, timed

import enclair
from enclair.compiler.ir.reference import run as run_in_the_clear
from enclair.float_model import FloatModel


def measure(runs: int) -> dict[str, Any]:
    """All figures."""
    job = load(None, Scan(), 0)
    inputs = {"x": to_input(job.image)}
    compile_seconds, program = timed(lambda: compile_denoiser(*job.image.shape, lambda *_: None))
    key_seconds, session = timed(lambda: enclair.Session(program))
    results = [session.run(inputs) for _ in range(runs)]
    reference = run_in_the_clear(program.fixed, inputs)
    plain = FloatModel(program.source or b"")
    plain_seconds = median_seconds(lambda: plain.run(inputs), max(runs, 5))
    traffic = results[-1].traffic
    return {
        "pixels": list(job.image.shape),
        "runs": runs,
        "rounds": results[-1].rounds,
        "differences": sum(
            int((result.outputs[name] != reference[name]).sum()) for result in results for name in reference
        ),
        "seconds": {
            "compile": compile_seconds,
            "keys": key_seconds,
            **median_of([result.seconds for result in results]),
        },
        "parts": median_of([result.parts for result in results]),
        "float_seconds": plain_seconds,
        "bytes": {"up": traffic.up, "down": traffic.down, "keys": traffic.keys},
        "seconds_on_the_wire_at_1_gbit": (traffic.up + traffic.down) / GIGABIT,
        "peak_rss": results[-1].peak_rss,
        "ring_dim": program.parameters.ring_dim,
        "log2_q": int(np.log2([float(q) for q in program.parameters.primes]).sum().round()),
        "log2_t": [t.bit_length() for t in program.parameters.plaintext_moduli],
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print the figures, a line each."""
    seconds, parts, sizes = figures["seconds"], figures["parts"], figures["bytes"]
    print(f"{figures['pixels'][0]} x {figures['pixels'][1]} pixels, {figures['rounds']} rounds, {figures['runs']} runs")
    print(f"ring dimension {figures['ring_dim']}, log2 Q {figures['log2_q']}, log2 t {figures['log2_t']}")
    print(f"differences from the fixed-point reference: {figures['differences']}")
    print(f"seconds: compile {seconds['compile']:.1f}, keys {seconds['keys']:.2f}, encrypted {seconds['total']:.2f}")
    print(f"         of which client {seconds['client']:.2f}, server {seconds['server']:.2f}")
    print("         " + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()))
    print(f"         onnxruntime in the clear {figures['float_seconds']:.4f}")
    print(f"bytes:   up {sizes['up']:,}, down {sizes['down']:,}, keys {sizes['keys']:,}")
    print(f"         {figures['seconds_on_the_wire_at_1_gbit']:.2f} s at 1 Gbit/s")
    print(f"memory:  {figures['peak_rss'] / 1e6:.0f} MB at most, client and server in one process")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures = measure(options.runs)
    print(json.dumps(figures, indent=2)) if options.json else show(figures)


if __name__ == "__main__":
    main()
