"""The client's side of each backend, by name."""

from __future__ import annotations

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.clear import ClearKeyHolder
from enclair.runtime.backends.evaluators import unknown_backend
from enclair.runtime.backends.interface import KeyHolder
from enclair.runtime.backends.simulated import SimulatedKeyHolder


def make_key_holder(backend: str, parameters: BfvParameters) -> KeyHolder:
    """Fresh keys of a backend; ``clear`` and ``simulated`` need none.

    Raises:
        WrongAnswerError: a known answer came out wrong.
        RuntimeFailure: there is no such backend.
        OpenFheError: OpenFHE is missing, of another release, or cannot be given these parameters.
    """
    if backend == "clear":
        return ClearKeyHolder(parameters)
    if backend == "simulated":
        return SimulatedKeyHolder(parameters)
    if backend == "bfv":
        from enclair.runtime.backends.bfv.keys import generate_keys  # noqa: PLC0415 - loads OpenFHE

        return generate_keys(parameters)
    raise unknown_backend(backend)
