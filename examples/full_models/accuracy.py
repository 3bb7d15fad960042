"""Train the classifiers of digits, and count what they classify right of the digits that are held out.

python examples/full_models/accuracy.py [--json]
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "ct_denoise", "deit_whole"))

from full_models.activations import ACTIVATIONS
from full_models.classifiers import LeNet, Lola, Mlp
from full_models.digits import Digits, load
from full_models.training import SCHEDULES, accuracy, train

NETWORKS = {"mlp": (Mlp, "square"), "lola": (Lola, "square"), "lenet": (LeNet, "square"), "lenet-relu": (LeNet, "relu")}


def measure(name: str, data: tuple[Digits, Digits]) -> dict[str, Any]:
    """Train one, and count."""
    kind, activation = NETWORKS[name]
    start = time.perf_counter()
    model = train(kind(ACTIVATIONS[activation]), data[0], SCHEDULES[activation])
    return {"network": name, "seconds": time.perf_counter() - start, "accuracy": accuracy(model, data[1])}


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    data = load()
    rows = [measure(name, data) for name in NETWORKS]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        share = f"{row['accuracy']:.1%} of {len(data[1])} digits right"
        print(f"{row['network']:12}{share}, trained in {row['seconds']:.0f} s")


if __name__ == "__main__":
    main()
