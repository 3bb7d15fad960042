"""``enclair.verify``: the same inputs through four executions.

    float      onnxruntime on the original model
    poly       the fixed-point reference in the clear
    simulated  the program's packed graphs on slot vectors, modulo t, with bounds of the noise
    encrypted  OpenFHE

Each gap between neighbours isolates one error: that of fixed point, that of packing, that of encryption.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.answers import Answers, RecordingKeys, Seen, joined, reference_answers, seen_by_client
from enclair.compiler.ckks_parameters import bfv_parameters
from enclair.compiler.ir.errors import EnclairError
from enclair.compiler.program import Program
from enclair.float_model import FloatModel
from enclair.runtime.backends.key_holders import make_key_holder
from enclair.runtime.inputs import check_inputs, split_batch
from enclair.runtime.progress import Progress, Report
from enclair.runtime.session import Session, SessionResult
from enclair.samples import by_name
from enclair.verification import EXACT_GAPS, GAPS, Bound, Divergence, Gap, Layer, Outputs, Verification, distance

Batches = Sequence[Mapping[str, NDArray[Any]]]


class VerificationError(EnclairError):
    """A program that cannot be verified: it lacks what an execution needs."""


def verify(
    program: Program,
    inputs: Any,
    backend: str = "bfv",
    *,
    per_layer: bool = False,
    progress: Report | None = None,
) -> Verification:
    """Run the four executions on the same inputs.

    Args:
        program: with the original model in it.
        inputs: by the model's input names, or one array for a model with one input; a leading axis that is a multiple
            of the one compiled for is run in turn.
        backend: of the last execution: ``bfv``; or ``simulated`` or ``clear``, which leave OpenFHE out.
        per_layer: compare every value that the client decrypts, with the float model's too where it has one of that
            name.
        progress: called as the executions go on.

    Raises:
        VerificationError: the program does not hold the original model, or states no bound.
        InputError: the inputs are not what the program takes.
        RuntimeFailure: an execution failed.
    """
    source = _source(program)
    batches = split_batch(program.inputs, by_name(inputs, [spec.name for spec in program.inputs]))
    for batch in batches:
        check_inputs(program.inputs, batch)
    return _Executions(program, backend, progress or _silent).run(source, batches, per_layer=per_layer)


def _silent(_: Progress) -> None:
    """Report nothing."""


def _source(program: Program) -> bytes:
    if program.source is None:
        raise VerificationError(
            f"program {program.name!r} was saved without the original model, which the float execution runs: "
            "compile it again and keep the source"
        )
    if "gap_bound" not in program.facts:
        raise VerificationError(
            f"program {program.name!r} states no bound on its gap to the float model: compile it again"
        )
    return program.source


@dataclass(slots=True)
class _Executions:
    """Runs the executions, times them, and keeps their outputs and what the client decrypts in them."""

    program: Program
    backend: str
    progress: Report
    outputs: dict[str, Outputs] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, source: bytes, batches: Batches, *, per_layer: bool) -> Verification:
        watched = seen_by_client(self.program)
        model = FloatModel(source, [seen.value.name for seen in watched] if per_layer else [])
        rounded = [model.as_inputs(batch) for batch in batches]
        floats = self._float(model, rounded)
        self._poly([check_inputs(self.program.inputs, batch, clip=True)[0] for batch in rounded])
        room = self._simulated(rounded).room_left_bits
        encrypted = self._session("encrypted", self.backend, rounded, self.progress)
        return Verification(
            outputs=self.outputs,
            equal=_equal(encrypted.outputs, self.outputs["poly"]),
            gaps=_gaps(self.program, self.outputs),
            encrypted=encrypted,
            backend=self.backend,
            seconds=self.seconds,
            room_left_bits=None if room in {None, inf} else room,
            tolerance=self.program.facts.get("tolerance"),
            diverges=first_divergence(watched, self.answers),
            layers=tuple(_layer(seen, floats, self.answers) for seen in watched) if per_layer else (),
        )

    def _float(self, model: FloatModel, batches: Batches) -> list[Outputs]:
        with self._timed("float"):
            results: list[Outputs] = [model.run(batch) for batch in batches]
        self.outputs["float"] = {name: array for name, array in joined(results).items() if name in self.program.outputs}
        return results

    def _poly(self, batches: Batches) -> None:
        with self._timed("poly"):
            self.outputs["poly"], self.answers["poly"] = reference_answers(self.program, batches)

    def _simulated(self, batches: Batches) -> SessionResult:
        with self._timed("simulated"):
            return self._session("simulated", "simulated", batches, None)

    def _session(self, execution: str, backend: str, batches: Batches, progress: Report | None) -> SessionResult:
        """Inputs were checked before they were rounded to the float model's type: clipping undoes that rounding."""
        start = time.perf_counter()
        keys = RecordingKeys(self.program, make_key_holder(backend, bfv_parameters(self.program.parameters)))
        made = time.perf_counter() - start
        result = Session(self.program, backend, keys=keys, progress=progress).run(joined(batches), clip=True)
        self.outputs[execution], self.answers[execution] = result.outputs, keys.answers
        return replace(result, seconds={**result.seconds, "keys": result.seconds["keys"] + made})

    @contextmanager
    def _timed(self, execution: str) -> Iterator[None]:
        self.progress(Progress(0.0, execution, sum(self.seconds.values()), None))
        start = time.perf_counter()
        yield
        self.seconds[execution] = time.perf_counter() - start


def _gaps(program: Program, outputs: Mapping[str, Outputs]) -> tuple[Gap, ...]:
    stated, zero = program.facts["gap_bound"], Bound(0.0, "proven")
    bounds = {"poly_vs_float": Bound(float(stated["value"]), str(stated["kind"]))}
    return tuple(
        Gap(gap, farthest(outputs[later], outputs[earlier]), bounds.get(gap, zero)) for gap, later, earlier in GAPS
    )


def first_divergence(watched: Sequence[Seen], answers: Mapping[str, Answers]) -> Divergence | None:
    """The first value that differs between executions that must be equal: the simulated one is looked at first."""
    for gap, later, earlier in EXACT_GAPS:
        for seen in watched:
            name = seen.value.name
            differs = np.stack(answers[later][name]) != np.stack(answers[earlier][name])
            if differs.any():
                first = tuple(int(i) for i in np.argwhere(differs)[0])
                return Divergence(gap, name, seen.round, seen.origin, int(differs.sum()), first)
    return None


def _layer(seen: Seen, floats: Sequence[Outputs], answers: Mapping[str, Answers]) -> Layer:
    name = seen.value.name
    stacks = {execution: np.stack(own[name]) for execution, own in answers.items()}
    gaps = {gap: distance(stacks[later], stacks[earlier]) * seen.step for gap, later, earlier in EXACT_GAPS}
    real = np.ldexp(stacks["poly"].astype(np.float64), int(log2(seen.step)))
    if all(name in batch and batch[name].shape == real.shape[1:] for batch in floats):
        gaps = {"poly_vs_float": distance(real, np.stack([batch[name] for batch in floats])), **gaps}
    return Layer(seen, float(np.abs(real).max(initial=0.0)), gaps)


def _equal(one: Outputs, other: Outputs) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(array, other[name]) for name, array in one.items())


def farthest(one: Outputs, other: Outputs) -> float:
    """The largest difference of any output; not a number if one is."""
    return float(np.max([distance(one[name], other[name]) for name in other], initial=0.0))
