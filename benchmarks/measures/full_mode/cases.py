"""Compile a case, and keep the program, its inputs and what the float model makes of them in a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from full_models.case import Case

import enclair
from enclair.float_model import FloatModel
from measures.full_mode.counts import count_program, total
from measures.full_mode.files import CLIENT, FACTS, INPUTS, PROGRAM, WEIGHTS
from measures.timing import forget_peak, peak_memory, timed


@dataclass(frozen=True)
class Order:
    """What to compile: a model by its name, in full or in a quick size, for so many inputs.

    ``tolerance`` is the catalogue's where it is None.
    """

    name: str
    mode: str
    quick: bool
    inputs: int
    tolerance: float | None = None


def compile_model(folder: Path, order: Order) -> dict[str, Any]:
    """Compile the model that is ordered into a folder."""

    def make() -> Case:
        from full_models.catalogue import MODELS  # noqa: PLC0415 (it needs torch, which runs do without)

        case = MODELS[order.name](order.quick).first(order.inputs)
        return case if order.tolerance is None else case.within(order.tolerance)

    return compile_into(folder, order.mode, make)


def compile_into(folder: Path, mode: str, make: Callable[[], Case]) -> dict[str, Any]:
    """Compile, save, and return the facts, which are saved too. What is in the folder already is taken as it is.

    ``compile_seconds`` are those of ``enclair.compile`` in a new process, from the network in memory to the program in
    memory; ``compile_steps`` has the parts of it, of which reading the model is torch's export. Making the network
    before (imports, training if nothing is cached) and saving after are apart.
    """
    if (folder / FACTS).is_file():
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
        return facts
    folder.mkdir(parents=True, exist_ok=True)
    make_seconds, case = timed(make)
    forget_peak()
    program, found = compiled(case, mode)
    save_seconds, _ = timed(lambda: save(program, case, folder))
    facts = {**facts_of(program), "tolerance": case.options["tolerance"], "inputs": len(case.inputs), **found}
    facts |= {"make_seconds": make_seconds, "save_seconds": save_seconds}
    (folder / FACTS).write_text(json.dumps(facts))
    return facts


def compiled(case: Case, mode: str) -> tuple[enclair.Program, dict[str, Any]]:
    """The program, and what compiling took."""
    steps, core_start = Steps(), time.process_time()
    seconds, program = timed(
        lambda: enclair.compile(case.model, case.samples, progress=steps.begin, **case.options_in(mode))
    )
    found = {"compile_seconds": seconds, "compile_core_seconds": time.process_time() - core_start}
    return program, {**found, "compile_steps": steps.seconds(), "compile_peak_memory": peak_memory()}


class Steps:
    """When each step began."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, float]] = []

    def begin(self, step: str) -> None:
        """The one before ends."""
        self._begun.append((step, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Of each step, the last of which ends now."""
        ends = [start for _, start in self._begun[1:]] + [time.perf_counter()]
        return {step: end - start for (step, start), end in zip(self._begun, ends, strict=True)}


def facts_of(program: enclair.Program) -> dict[str, Any]:
    """Parameters, ciphertexts and counts of operations, in plain data."""
    counts = count_program(program)
    return {
        "parameters": json.loads(program.parameters.to_json()),
        "log2_q": round(sum(float(np.log2(float(prime))) for prime in program.parameters.primes)),
        "rounds": len(program.rounds),
        "ciphertexts_up": sum(round_.exchange.upload_count for round_ in program.rounds),
        "ciphertexts_down": sum(round_.exchange.answer_count for round_ in program.rounds),
        "counts": counts,
        "total": total(counts),
    }


def save(program: enclair.Program, case: Case, folder: Path) -> None:
    """The program, the client's part, the inputs with float outputs and labels, the weights."""
    enclair.save(program, folder / PROGRAM)
    enclair.save_client(program.for_client(), folder / CLIENT)
    arrays = {"inputs": case.inputs, "expected": float_outputs(program, case)}
    if case.labels is not None:
        arrays["labels"] = case.labels
    np.savez(folder / INPUTS, **arrays)  # type: ignore[arg-type]
    weights = {name: tensor.numpy() for name, tensor in case.model.state_dict().items()}
    np.savez(folder / WEIGHTS, **weights)


def float_outputs(program: enclair.Program, case: Case) -> Any:
    """What onnxruntime gives for each input, (inputs, ...)."""
    model, spec = FloatModel(program.source or b""), program.inputs[0]
    batches = case.inputs.reshape(-1, *spec.shape)
    return np.concatenate([model.run({spec.name: batch})[program.outputs[0]] for batch in batches])
