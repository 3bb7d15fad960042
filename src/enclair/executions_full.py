"""``enclair.verify`` for programs of full mode: float, polynomials, slots in the clear, encrypted.

    float      onnxruntime on the original model
    poly       the graph of tensors after approximation, in float64
    simulated  the LEVELED graph on slot vectors in the clear, with samples of the error that encryption would add
    encrypted  OpenFHE's keys, the server's arithmetic on residues

The gap between poly and simulated is float64's rounding; that between simulated and encrypted is the noise, whose bound
the simulation predicts, for every layer if asked for: whoever verifies has the secret key, and decrypts them all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.answers import joined
from enclair.compiler.ir.graph import Node
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.program import Program
from enclair.float_model import FloatModel
from enclair.runtime.backends.ckks_simulated import CkksSimulatedKeyHolder
from enclair.runtime.backends.key_holders import make_key_holder
from enclair.runtime.inputs import check_inputs
from enclair.runtime.progress import Progress, Report
from enclair.runtime.session import Session, SessionResult
from enclair.verification import GAPS, Bound, Gap, Outputs, SlotLayer, Verification, farthest

ROUNDING = 2.0**-30
"""Relative to the largest output: float64 rounds in another order on slots than on tensors."""

Slots = NDArray[np.float64]


@dataclass(slots=True)
class FullExecutions:
    """Runs the executions, times them, and keeps their outputs, and the slots of every layer if asked for."""

    program: Program
    backend: str
    progress: Report
    per_layer: bool
    outputs: dict[str, Outputs] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    slots: dict[str, dict[str, list[Slots]]] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    error_bound: float = 0.0

    def run(self, source: bytes, batches: Sequence[Mapping[str, NDArray[Any]]]) -> Verification:
        """All four, in order."""
        model = FloatModel(source)
        rounded = [model.as_inputs(batch) for batch in batches]
        checked = [check_inputs(self.program.inputs, batch, clip=True)[0] for batch in rounded]
        self._timed("float", lambda: [model.run(batch) for batch in rounded])
        self._timed("poly", lambda: [run(self.program.fixed, batch) for batch in checked])
        simulated = CkksSimulatedKeyHolder(self._parameters)
        start = time.perf_counter()
        self._session("simulated", "simulated", simulated, rounded)
        self.seconds["simulated"] = time.perf_counter() - start
        self.error_bound = simulated.error_bound
        start = time.perf_counter()
        keys = make_key_holder(self.backend, self._parameters, self.program.keys)
        encrypted = self._session("encrypted", self.backend, keys, rounded, time.perf_counter() - start)
        return self._verification(encrypted)

    @property
    def _parameters(self) -> Any:
        return self.program.parameters

    def _timed(self, execution: str, work: Any) -> None:
        self.progress(Progress(0.0, execution, sum(self.seconds.values()), None))
        start = time.perf_counter()
        results = work()
        self.seconds[execution] = time.perf_counter() - start
        names = self.program.outputs
        self.outputs[execution] = {name: array for name, array in joined(results).items() if name in names}

    def _session(
        self,
        execution: str,
        backend: str,
        keys: Any,
        batches: Sequence[Mapping[str, NDArray[Any]]],
        key_seconds: float = 0.0,
    ) -> SessionResult:
        self.progress(Progress(0.0, execution, sum(self.seconds.values()), None))
        session = Session(self.program, backend, keys=keys, progress=self.progress)
        if self.per_layer:
            session.record = self._recorder(execution, session, keys)
        result = session.run(joined(batches), clip=True)
        result.seconds["keys"] += key_seconds
        self.outputs[execution] = result.outputs
        return result

    def _recorder(self, execution: str, session: Session, keys: Any) -> Any:
        """Notes the slots of the layers' values, and in the simulation the bound of their errors."""
        watched = set(self.program.facts.get("values", {}).values())
        found = self.slots.setdefault(execution, {})

        def record(node: Node, batch: Any) -> None:
            if node.out.name not in watched or not isinstance(node.out.type, CkksType) or node.out.type.parts != 2:
                return
            before = keys.error_bound if isinstance(keys, CkksSimulatedKeyHolder) else 0.0
            slots = keys.decrypt(session.evaluator.dump(batch), node.out.type)
            found.setdefault(node.out.name, []).append(slots)
            if isinstance(keys, CkksSimulatedKeyHolder):
                self.bounds[node.out.name] = max(self.bounds.get(node.out.name, 0.0), keys.last_bound)
                keys.error_bound = before

        return record

    def _verification(self, encrypted: SessionResult) -> Verification:
        gaps = tuple(
            Gap(name, farthest(self.outputs[later], self.outputs[earlier]), self._bound(name))
            for name, later, earlier in GAPS
        )
        layers = tuple(self._layers())
        return Verification(
            outputs=self.outputs,
            equal=None,
            gaps=gaps,
            encrypted=encrypted,
            backend=self.backend,
            seconds=self.seconds,
            room_left_bits=None,
            tolerance=self.program.facts.get("tolerance"),
            diverges=next((str(layer) for layer in layers if not layer.met), None),
            layers=layers,
        )

    def _bound(self, name: str) -> Bound:
        if name == "poly_vs_float":
            stated = self.program.facts["gap_bound"]
            return Bound(float(stated["value"]), str(stated["kind"]))
        if name == "simulated_vs_poly":
            largest = max(float(np.abs(array).max(initial=0.0)) for array in self.outputs["poly"].values())
            return Bound(ROUNDING * max(largest, 1.0), "rounding")
        return Bound(self.error_bound, "predicted")

    def _layers(self) -> Iterator[SlotLayer]:
        """In the server's order: a program that was loaded has its facts in another."""
        makers = self.program.fixed.producers()
        places = {node.out.name: place for place, node in enumerate(self.program.rounds[0].server.nodes)}
        values = self.program.facts.get("values", {}).items()
        for name, own in sorted(values, key=lambda pair: places.get(pair[1], -1)):
            seen = [self.slots.get(execution, {}).get(own) for execution in ("simulated", "encrypted")]
            if seen[0] is None or seen[1] is None:
                continue
            simulated, encrypted = (np.stack(slots) for slots in seen if slots is not None)
            origin = makers[name].origin if name in makers else ""
            gap = float(np.abs(encrypted - simulated).max(initial=0.0))
            yield SlotLayer(name, origin, float(np.abs(simulated).max(initial=0.0)), gap, self.bounds[own])
