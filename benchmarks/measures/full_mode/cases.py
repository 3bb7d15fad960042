"""Compile a case, and keep the program, its inputs and what the float model makes of them in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from full_models.case import Case

import enclair
from enclair.float_model import FloatModel
from measures.full_mode.counts import count_program, total
from measures.full_mode.files import CLIENT, FACTS, INPUTS, PROGRAM, WEIGHTS
from measures.timing import forget_peak, peak_memory, timed


def compile_model(folder: Path, name: str, mode: str, quick: bool, inputs: int) -> dict[str, Any]:
    """Compile the model of this name into a folder."""
    from full_models.catalogue import MODELS  # noqa: PLC0415 (it needs torch, which runs do without)

    return compile_into(folder, mode, lambda: MODELS[name](quick).first(inputs))


def compile_into(folder: Path, mode: str, make: Callable[[], Case]) -> dict[str, Any]:
    """Compile, save, and return the facts, which are saved too. What is in the folder already is taken as it is."""
    if (folder / FACTS).is_file():
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
        return facts
    folder.mkdir(parents=True, exist_ok=True)
    case = make()
    forget_peak()
    seconds, program = timed(lambda: enclair.compile(case.model, case.samples, mode=mode, **case.options))
    memory = peak_memory()
    save(program, case, folder)
    facts = {**facts_of(program), "tolerance": case.options["tolerance"], "inputs": len(case.inputs)}
    facts |= {"compile_seconds": seconds, "compile_peak_memory": memory}
    (folder / FACTS).write_text(json.dumps(facts))
    return facts


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
