"""Orion on the same network, weights and inputs, by a Python in which it is installed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from measures.full_mode.files import INPUTS, WEIGHTS

SCRIPT = Path(__file__).resolve().parents[2] / "peers" / "orion_bench.py"
WORKS = {"mlp": "mlp", "lola": "lola", "lenet": "lenet", "conv1": "conv1-2^13", "conv16": "conv16-2^14"}
"""Ours -> Orion's: of the rings that a convolution fits, the one on which Orion is fastest."""


class PeerFailed(RuntimeError):
    """The other compiler did not run."""


def measure(python: Path, name: str, folder: Path, threads: int, runs: int) -> dict[str, Any] | None:
    """Orion's figures of a case in a folder; None for a model that it is not measured on.

    Raises:
        PeerFailed: it ended with an error, which is above.
    """
    if name not in WORKS:
        return None
    case = folder / "orion.npz"
    with np.load(folder / WEIGHTS) as weights, np.load(folder / INPUTS) as inputs:
        np.savez(case, inputs=inputs["inputs"], **dict(weights))
    command = [str(python), str(SCRIPT), WORKS[name], "--case", str(case)]
    command += ["--threads", str(threads), "--runs", str(runs)]
    environment = {**os.environ, "GOMAXPROCS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        raise PeerFailed(
            f"{python} {SCRIPT.name} {WORKS[name]} ended with code {done.returncode}: it needs CPython 3.10 with"
            " orion-fhe==1.0.2 installed"
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
