"""Compile a work, and keep what client and server each need in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from example_tools.encrypted import Job, facts_of

import enclair
from enclair.compiler.planner.costs import stage_cost
from measures.timing import peak_memory, timed
from measures.works import WORKS, convolution

PROGRAM, CLIENT, INPUTS, FACTS = "P.enclair", "P.client.enclair", "inputs.npz", "facts.json"
PRODUCTS = ("multiplications", "polynomial_products")


def compile_work(folder: Path, name: str, quick: bool) -> dict[str, Any]:
    """Compile the work of this name into a folder."""
    work = next(work for work in WORKS if work.name == name)
    return compile_into(folder, lambda: work.make(quick))


def compile_convolution(folder: Path, size: int, channels: int) -> dict[str, Any]:
    """Compile a convolution into a folder."""
    return compile_into(folder, lambda: convolution(size, channels))


def compile_into(folder: Path, make: Callable[[], Job]) -> dict[str, Any]:
    """Compile, save, and return the facts, which are saved too. What is in the folder already is taken as it is."""
    if (folder / FACTS).is_file():
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
        return facts
    folder.mkdir(parents=True, exist_ok=True)
    job = make()
    seconds, program = timed(lambda: enclair.compile(job.model, job.samples, **job.options))
    save(program, job, folder)
    facts = {**facts_of(program), "compile_seconds": seconds, "compile_peak_memory": peak_memory()}
    facts |= {"openfhe_products": products_of(program), "log2_q": log2_q(program)}
    (folder / FACTS).write_text(json.dumps(facts))
    return facts


def save(program: enclair.Program, job: Job, folder: Path) -> None:
    """The server's program, the client's, and the inputs under the program's names."""
    enclair.save(program, folder / PROGRAM)
    enclair.save_client(program.for_client(), folder / CLIENT)
    names = [spec.name for spec in program.inputs]
    np.savez(folder / INPUTS, **dict(zip(names, job.inputs.values(), strict=True)))  # type: ignore[arg-type]


def load_inputs(folder: Path) -> dict[str, Any]:
    """The inputs by name."""
    with np.load(folder / INPUTS) as arrays:
        return dict(arrays)


def products_of(program: enclair.Program) -> int:
    """Products of a ciphertext and a plaintext in one run, each followed by an addition."""
    costs = [asdict(stage_cost(round_.server, 0, 0)) for round_ in program.rounds]
    return len(program.parameters.plaintext_moduli) * sum(cost.get(name, 0) for cost in costs for name in PRODUCTS)


def log2_q(program: enclair.Program) -> int:
    """Bits of the ciphertext modulus."""
    return round(sum(float(np.log2(float(prime))) for prime in program.parameters.primes))
