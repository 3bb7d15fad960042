"""The server's side of each backend, by name."""

from __future__ import annotations

from typing import Any

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.clear import ClearEvaluator
from enclair.runtime.backends.interface import Evaluator
from enclair.runtime.backends.simulated import SimulatedEvaluator
from enclair.runtime.errors import RuntimeFailure

BACKENDS = ("clear", "simulated", "bfv")


def make_evaluator(backend: str, parameters: BfvParameters, public_key: bytes) -> Evaluator[Any]:
    """The evaluator of a backend under a public key; ``clear`` and ``simulated`` have none.

    Raises:
        PayloadError: the bytes are not a public key of these parameters.
        RuntimeFailure: there is no such backend.
        OpenFheError: OpenFHE is missing, of another release, or cannot be given these parameters.
    """
    if backend == "clear":
        return ClearEvaluator(parameters)
    if backend == "simulated":
        return SimulatedEvaluator(parameters)
    if backend == "bfv":
        from enclair.runtime.backends.bfv.evaluate import BfvEvaluator  # noqa: PLC0415 - loads OpenFHE

        return BfvEvaluator(parameters, public_key)
    raise unknown_backend(backend)


def unknown_backend(backend: str) -> RuntimeFailure:
    """The error for a backend that there is not."""
    return RuntimeFailure(f"the backends are {', '.join(BACKENDS)}, got {backend!r}")
