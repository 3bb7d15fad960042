"""Measure Orion (Ebel et al., ASPLOS 2025; ``orion-fhe`` on PyPI) on one of the works that full mode is measured on.

orion-venv/bin/python benchmarks/peers/orion_bench.py WORK [--case FILE.npz] [--runs N] [--threads N]

Runs in an environment of its own, since Orion needs older releases than enclair: CPython 3.10, then
``pip install orion-fhe==1.0.2``. The networks are those of Orion's package, or single convolutions made with its API;
the parameters are those of its configurations where it has some. ``--case`` holds inputs and weights by their names in
the network, so that both compilers run the same; without it weights are random. Prints one JSON object: seconds by
part (medians, wall and of all cores), seconds and peak memory of compiling, precision, and rotations: *hoisted* ones
share a decomposition, *full* ones (giant steps, sums of partial products) do not.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ring:
    """CKKS parameters as Orion takes them: bits of the primes, and the ring of conjugate-invariant polynomials."""

    log_n: int
    log_q: tuple[int, ...]
    log_p: tuple[int, ...]
    log_scale: int
    kind: str = "ConjugateInvariant"

    def config(self) -> dict[str, Any]:
        """What ``orion.init_scheme`` takes; secrets are dense."""
        return {
            "ckks_params": {
                "LogN": self.log_n,
                "LogQ": list(self.log_q),
                "LogP": list(self.log_p),
                "LogScale": self.log_scale,
                "H": 2**self.log_n,
                "RingType": self.kind,
            },
            "orion": {
                "margin": 2,
                "embedding_method": "hybrid",
                "backend": "lattigo",
                "fuse_modules": True,
                "debug": False,
                "io_mode": "none",
            },
        }


@dataclass(frozen=True)
class Work:
    """A network, the shape of one input, and Orion's ring for it."""

    make: Callable[[], Any]
    shape: tuple[int, ...]
    ring: Ring


@dataclass(frozen=True)
class Seconds:
    """By the clock, and of all cores together."""

    wall: float
    core: float


SMALL = Ring(13, (29, 26, 26, 26, 26, 26), (29, 29), 26)
"""Of Orion's configurations for MLP and LoLA."""
LENET = Ring(14, (50, *[40] * 7), (46, 46), 40)
DIGIT = (1, 1, 28, 28)


def model(name: str) -> Any:
    """A network of Orion's package."""
    from orion import models  # noqa: PLC0415 (what it prints when it is loaded goes to standard error)

    return getattr(models, name)()


def convolution(channels: int) -> Any:
    """A 3 x 3 convolution to 16 channels."""
    import orion.nn  # noqa: PLC0415

    return orion.nn.Conv2d(channels, 16, kernel_size=3, padding=1)


def single(channels: int, log_n: int) -> Work:
    """A 3 x 3 convolution of 64 x 64 pixels to 16 channels, one level."""
    return Work(lambda: convolution(channels), (1, channels, 64, 64), Ring(log_n, (50, 40), (46,), 40))


WORKS = {
    "mlp": Work(lambda: model("MLP"), DIGIT, SMALL),
    "lola": Work(lambda: model("LoLA"), DIGIT, SMALL),
    "lenet": Work(lambda: model("LeNet"), DIGIT, LENET),
    **{f"conv{channels}-2^{n}": single(channels, n) for channels in (1, 16) for n in (13, 14)},
}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--case", type=Path, help="npz with inputs (count, ...) under 'inputs', and weights")
    parser.add_argument("--runs", type=int, default=5, help="inputs to run")
    parser.add_argument("--threads", type=int, default=1, help="of Go's runtime")
    return parser.parse_args()


def peak_memory() -> int:
    """The most bytes that this process had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@contextlib.contextmanager
def timed(into: list[Seconds]) -> Iterator[None]:
    """Add the seconds of a block."""
    wall, core = time.perf_counter(), time.process_time()
    yield
    into.append(Seconds(time.perf_counter() - wall, time.process_time() - core))


def medians(found: list[Seconds]) -> dict[str, float]:
    """Of the clock's and of all cores'."""
    return {name: statistics.median(getattr(each, name) for each in found) for name in ("wall", "core")}


def load_case(path: Path | None, work: Work, runs: int, net: Any) -> Any:
    """The inputs (runs, ...); the weights go into the network."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    if path is None:
        return torch.rand(runs, *work.shape[1:])
    with np.load(path) as arrays:
        case = {name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in arrays}
    inputs = case.pop("inputs")
    if case:
        net.load_state_dict(case)
    return inputs[:runs].float()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one work."""
    import orion  # noqa: PLC0415
    import torch  # noqa: PLC0415

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    work = WORKS[options.work]
    scheme_seconds: list[Seconds] = []
    with timed(scheme_seconds):
        orion.init_scheme(work.ring.config())
    net = work.make()
    inputs = load_case(options.case, work, options.runs, net)
    net.eval()
    with torch.no_grad():
        expected = [net(x[None]) for x in inputs]
    compile_seconds: list[Seconds] = []
    with timed(compile_seconds):
        orion.fit(net, inputs[:1])
        level = orion.compile(net)
    compiled = peak_memory()
    net.he()
    parts, outputs = run(orion, net, inputs, level)
    return {
        "work": options.work,
        "threads": options.threads,
        "runs": len(inputs),
        "ring": asdict(work.ring),
        "seconds": {name: medians(found) for name, found in parts.items()},
        "fastest_forward": min(each.wall for each in parts["forward"]),
        "compile": {**asdict(compile_seconds[0]), "scheme": scheme_seconds[0].wall, "peak_memory": compiled},
        "peak_memory": peak_memory(),
        "precision": precision(expected, outputs),
        "rotations": rotations(net),
    }


def run(orion: Any, net: Any, inputs: Any, level: int) -> tuple[dict[str, list[Seconds]], list[Any]]:
    """Each input encrypted, computed on, decrypted; a first run, which warms up, does not count."""
    parts: dict[str, list[Seconds]] = {"encrypt": [], "forward": [], "decrypt": []}
    outputs = []
    for number, x in enumerate([inputs[0], *inputs]):
        with timed(parts["encrypt"]):
            cipher = orion.encrypt(orion.encode(x[None], level))
        with timed(parts["forward"]):
            answer = net(cipher)
        with timed(parts["decrypt"]):
            output = answer.decrypt().decode()
        if number:
            outputs.append(output)
    return {name: found[1:] for name, found in parts.items()}, outputs


def precision(expected: list[Any], outputs: list[Any]) -> dict[str, float]:
    """-log2 of the error: of the mean over an output, as Orion states it, and of the largest; medians over inputs."""
    errors = [(a.flatten() - b.flatten()).abs() for a, b in zip(expected, outputs, strict=True)]
    largest = [float(error.max()) for error in errors]
    return {
        "bits_of_mean_error": statistics.median(-math.log2(float(error.mean())) for error in errors),
        "bits_of_largest_error": statistics.median(-math.log2(error) for error in largest),
        "worst_bits": -math.log2(max(largest)),
        "largest_error": max(largest),
        "output_range": float(max(a.max() for a in expected) - min(a.min() for a in expected)),
    }


def rotations(net: Any) -> dict[str, Any]:
    """Of all linear layers, from the diagonals and the rotation keys that each of their transforms asks for."""
    layers = [module for module in net.modules() if getattr(module, "transform_ids", None)]
    counts = [layer_rotations(layer) for layer in layers]
    total = {key: sum(count[key] for count in counts) for key in ("hoisted", "full", "decompositions", "diagonals")}
    return {**total, "layers": [{"name": layer.name, **count} for layer, count in zip(layers, counts, strict=True)]}


def layer_rotations(layer: Any) -> dict[str, int]:
    """Baby steps are hoisted, giant steps and the sums after a hybrid embedding are not.

    The transforms of a column of blocks each decompose their input anew.
    """
    scheme = layer.scheme
    slots, degree = scheme.params.get_slots(), scheme.params.get_ring_degree()
    found = {"hoisted": 0, "full": layer.output_rotations, "decompositions": 0, "diagonals": 0}
    steps = rotation_steps(slots, degree)
    for block, identifier in layer.transform_ids.items():
        keys = {steps[key] for key in scheme.lt_evaluator.get_required_rotation_keys(identifier)} - {0}
        babies = baby_steps(set(layer.diagonals[block]), keys, slots)
        found["hoisted"] += babies
        found["full"] += len(keys) - babies
        found["decompositions"] += babies > 0
        found["diagonals"] += len(layer.diagonals[block])
    return found


def rotation_steps(slots: int, degree: int) -> dict[int, int]:
    """Galois element -> rotation: powers of 5 modulo twice the degree, four times in a conjugate-invariant ring."""
    order = (4 if slots == degree else 2) * degree
    return {pow(5, step, order): step for step in range(slots)}


def baby_steps(diagonals: set[int], rotations: set[int], slots: int) -> int:
    """How many rotations are baby steps: of the splits by a power of two, the widest that gives these rotations."""
    for log in reversed(range(slots.bit_length())):
        width = 2**log
        babies = {diagonal % width for diagonal in diagonals} - {0}
        giants = {diagonal - diagonal % width for diagonal in diagonals} - {0}
        if babies | giants == rotations:
            return len(babies)
    raise ValueError(f"no split of {len(diagonals)} diagonals gives the {len(rotations)} rotations that Orion names")


def main() -> None:
    """Measure and print; what Orion prints goes to standard error."""
    options = arguments()
    os.environ["GOMAXPROCS"] = str(options.threads)
    with contextlib.redirect_stdout(sys.stderr):
        figures = measure(options)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
