"""The same work in the clear: onnxruntime, and the fixed-point reference that the encrypted answer must equal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

import enclair
from enclair.compiler.ir.reference import run
from enclair.float_model import FloatModel
from enclair.runtime.inputs import check_inputs
from measures.compiled import PROGRAM, load_inputs
from measures.pair import Outputs
from measures.timing import median_seconds


def float_seconds(folder: Path, threads: int, runs: int) -> float:
    """Median seconds of onnxruntime on the inputs in a folder."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    source = enclair.load(folder / PROGRAM).source or b""
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    inputs = FloatModel(source).as_inputs(load_inputs(folder))
    return median_seconds(lambda: session.run(None, inputs), max(runs, 5))


def compare(folder: Path, answers: Sequence[Outputs]) -> dict[str, float]:
    """In how many elements the answers differ from the fixed-point reference, and how far they are from float."""
    program, inputs = enclair.load(folder / PROGRAM), load_inputs(folder)
    reference = run(program.fixed, check_inputs(program.inputs, inputs, clip=True)[0])
    plain = FloatModel(program.source or b"").run(inputs)
    every = [(name, answer[name]) for answer in answers for name in program.outputs]
    return {
        "differences": sum(int((array != reference[name]).sum()) for name, array in every),
        "gap_to_float": max(float(np.abs(array - plain[name]).max()) for name, array in every),
        "gap_bound": float(program.facts["gap_bound"]["value"]),
    }
