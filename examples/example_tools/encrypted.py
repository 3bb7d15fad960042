"""Compile a network, run it on encrypted data, and hold the answer against the executions in the clear."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import enclair
from enclair.compiler.ckks_parameters import CkksParameters
from enclair.float_model import FloatModel
from enclair.runtime.inputs import split_batch
from example_tools.terminal import Progress


@dataclass(frozen=True)
class Job:
    """A network and what it is run on.

    Args:
        model: for ``enclair.compile``.
        samples: to calibrate on.
        inputs: to run, by name.
        options: further arguments of ``enclair.compile``.
    """

    model: Any
    samples: Mapping[str, NDArray[Any]]
    inputs: Mapping[str, NDArray[Any]]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """Outputs of the float model and of the encrypted execution, by name, and a report in plain data."""

    plain: Mapping[str, NDArray[np.float64]]
    encrypted: Mapping[str, NDArray[np.float64]]
    report: dict[str, Any]


def run(job: Job, progress: Progress, *, verify: bool = True) -> Done:
    """Compile and run: through all four executions, or the encrypted one and the float model alone.

    Raises:
        EnclairError: the model cannot be compiled, or the inputs do not fit it.
    """
    start = time.perf_counter()
    program = enclair.compile(job.model, job.samples, **job.options, progress=lambda step: progress(0.0, step))
    seconds = time.perf_counter() - start
    done = _verified(program, job, progress) if verify else _session(program, job, progress)
    done.report["program"] = facts_of(program)
    done.report["seconds"]["compile"] = seconds
    return done


def facts_of(program: enclair.Program) -> dict[str, Any]:
    """Parameters, bits and ciphertexts of a program, in plain data."""
    return {
        "ring_dim": program.parameters.ring_dim,
        **(_ckks_facts(program) if is_full(program) else _bfv_facts(program)),
        "ciphertexts_up": [round_.exchange.upload_count for round_ in program.rounds],
        "ciphertexts_down": [round_.exchange.answer_count for round_ in program.rounds],
    }


def is_full(program: enclair.Program) -> bool:
    """Whether a program is of full mode."""
    return isinstance(program.parameters, CkksParameters)


def backend_of(program: enclair.Program) -> str:
    """OpenFHE's scheme for a program."""
    return "ckks" if is_full(program) else "bfv"


def _bfv_facts(program: enclair.Program) -> dict[str, Any]:
    parameters = program.parameters
    return {
        "limbs": parameters.limbs,
        "prime_bits": parameters.prime_bits,
        "log2_t": [t.bit_length() for t in parameters.plaintext_moduli],
        "activation_bits": program.facts["activation_bits"],
        "weight_bits": program.facts["weight_bits"],
        "layouts": program.facts["layouts"],
    }


def _ckks_facts(program: enclair.Program) -> dict[str, Any]:
    parameters = program.parameters
    names = ("levels", "scale_bits", "first_bits", "digits")
    return {name: getattr(parameters, name) for name in names} | {"rotation_keys": len(program.keys.rotations)}


def _verified(program: enclair.Program, job: Job, progress: Progress) -> Done:
    found = enclair.verify(
        program, job.inputs, backend_of(program), progress=lambda moment: progress(moment.done, moment.what)
    )
    return Done(found.outputs["float"], found.outputs["encrypted"], found.to_json())


def _session(program: enclair.Program, job: Job, progress: Progress) -> Done:
    """The encrypted execution, held against the float model."""
    session = enclair.Session(program, backend_of(program), progress=lambda moment: progress(moment.done, moment.what))
    result = session.run(job.inputs)
    plain = _plain(program, job.inputs)
    gap = max(float(np.abs(result.outputs[name] - plain[name]).max()) for name in result.outputs)
    bound = program.facts["gap_bound"]
    report = {
        "ok": gap <= bound["value"],
        "gaps": {"encrypted_vs_float": {"max_abs": gap, "bound": bound}},
        "rounds": result.rounds,
        "seconds": dict(result.seconds),
        "parts": dict(result.parts),
        "bytes": asdict(result.traffic),
        "peak_rss": result.peak_rss,
        "saturated": {"elements": sum(result.saturated.values())},
    }
    return Done(plain, result.outputs, report)


def _plain(program: enclair.Program, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """The float model's outputs, batch by batch."""
    model = FloatModel(program.source or b"")
    found = [model.run(batch) for batch in split_batch(program.inputs, inputs)]
    return {name: np.concatenate([outputs[name] for outputs in found]) for name in program.outputs}
