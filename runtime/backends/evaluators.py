"""The server's side of each backend, by name."""

from __future__ import annotations

from typing import Any

from enclair.compiler.ckks_parameters import CkksParameters, Parameters
from enclair.compiler.ir.key_needs import NO_KEYS, NO_USES, KeyNeeds, KeyUses
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.ckks_clear import CkksClearEvaluator
from enclair.runtime.backends.ckks_interface import CkksEvaluator
from enclair.runtime.backends.ckks_simulated import CkksSimulatedEvaluator
from enclair.runtime.backends.clear import ClearEvaluator
from enclair.runtime.backends.interface import Evaluator, Payload
from enclair.runtime.backends.simulated import SimulatedEvaluator
from enclair.runtime.errors import RuntimeFailure

CLEAR, SIMULATED, BFV, CKKS = "clear", "simulated", "bfv", "ckks"


def encrypting_backend(parameters: Parameters) -> str:
    """The backend that encrypts with these parameters."""
    return CKKS if isinstance(parameters, CkksParameters) else BFV


def make_evaluator(
    backend: str,
    parameters: Parameters,
    public_key: Payload,
    needs: KeyNeeds = NO_KEYS,
    *,
    key_bytes: int | None = None,
    key_uses: KeyUses = NO_USES,
) -> Evaluator[Any] | CkksEvaluator[Any, Any]:
    """The evaluator of a backend under a public key; ``clear`` and ``simulated`` have none.

    Args:
        backend: its name.
        parameters: of the program.
        public_key: what ``KeyHolder.public_key`` gave.
        needs: the evaluation keys that are in it.
        key_bytes: memory that rotation keys may take as the server uses them: others are brought again and again.
        key_uses: by the program: says which.

    Raises:
        PayloadError: the bytes are not a public key of these parameters.
        RuntimeFailure: there is no such backend.
        OpenFheError: OpenFHE is missing, of another release, or cannot be given these parameters.
    """
    if isinstance(parameters, CkksParameters):
        return _ckks_evaluator(backend, parameters, public_key, needs, key_bytes, key_uses)
    return _bfv_evaluator(backend, parameters, public_key)


def _bfv_evaluator(backend: str, parameters: BfvParameters, public_key: Payload) -> Evaluator[Any]:
    if backend == CLEAR:
        return ClearEvaluator(parameters)
    if backend == SIMULATED:
        return SimulatedEvaluator(parameters)
    if backend == BFV:
        from enclair.runtime.backends.bfv.evaluate import BfvEvaluator  # noqa: PLC0415 - loads OpenFHE

        return BfvEvaluator(parameters, bytes(public_key))
    raise unknown_backend(backend, parameters)


def _ckks_evaluator(
    backend: str,
    parameters: CkksParameters,
    public_key: Payload,
    needs: KeyNeeds,
    key_bytes: int | None,
    key_uses: KeyUses,
) -> CkksEvaluator[Any, Any]:
    if backend == CLEAR:
        return CkksClearEvaluator(parameters)
    if backend == SIMULATED:
        return CkksSimulatedEvaluator(parameters)
    if backend == CKKS:
        from enclair.runtime.backends.ckks.answers import AnsweringEvaluator  # noqa: PLC0415 - loads OpenFHE

        return AnsweringEvaluator(parameters, needs, public_key, key_bytes=key_bytes, key_uses=key_uses)
    raise unknown_backend(backend, parameters)


def unknown_backend(backend: str, parameters: Parameters) -> RuntimeFailure:
    """The error for a backend that there is not, for these parameters."""
    names = (CLEAR, SIMULATED, encrypting_backend(parameters))
    return RuntimeFailure(f"the backends are {', '.join(names)}, got {backend!r}")
