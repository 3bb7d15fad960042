"""The client's side of each backend, by name, and its key files."""

from __future__ import annotations

from pathlib import Path
from typing import overload

from enclair.compiler.ckks_parameters import CkksParameters, Parameters
from enclair.compiler.ir.key_needs import NO_KEYS, KeyNeeds
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.ckks_clear import CkksClearKeyHolder
from enclair.runtime.backends.ckks_interface import CkksKeyHolder
from enclair.runtime.backends.ckks_simulated import CkksSimulatedKeyHolder
from enclair.runtime.backends.clear import ClearKeyHolder
from enclair.runtime.backends.evaluators import BFV, CKKS, CLEAR, SIMULATED, unknown_backend
from enclair.runtime.backends.interface import KeyHolder
from enclair.runtime.backends.simulated import SimulatedKeyHolder


@overload
def make_key_holder(backend: str, parameters: BfvParameters, needs: KeyNeeds = NO_KEYS) -> KeyHolder: ...
@overload
def make_key_holder(backend: str, parameters: CkksParameters, needs: KeyNeeds = NO_KEYS) -> CkksKeyHolder: ...
@overload
def make_key_holder(backend: str, parameters: Parameters, needs: KeyNeeds = NO_KEYS) -> KeyHolder | CkksKeyHolder: ...
def make_key_holder(backend: str, parameters: Parameters, needs: KeyNeeds = NO_KEYS) -> KeyHolder | CkksKeyHolder:
    """Fresh keys of a backend, with the evaluation keys that a program needs; ``clear`` and ``simulated`` have none.

    Raises:
        WrongAnswerError: a known answer came out wrong.
        RuntimeFailure: there is no such backend.
        OpenFheError: OpenFHE is missing, of another release, or cannot be given these parameters.
    """
    if isinstance(parameters, CkksParameters):
        return _ckks_keys(backend, parameters, needs)
    return _bfv_keys(backend, parameters)


def make_key_file(parameters: Parameters, needs: KeyNeeds, path: Path) -> KeyHolder | CkksKeyHolder:
    """Fresh keys, written to a new file of secret keys.

    Raises:
        KeyFileError: the file exists.
        WrongAnswerError: a known answer came out wrong.
        OpenFheError: OpenFHE is missing, of another release, or cannot be given these parameters.
    """
    if isinstance(parameters, CkksParameters):
        from enclair.runtime.backends.ckks import keys as ckks  # noqa: PLC0415 - loads OpenFHE

        made = ckks.generate_keys(parameters, needs)
        ckks.save_keys(made, path)
        return made
    from enclair.runtime.backends.bfv import keys as bfv  # noqa: PLC0415 - loads OpenFHE

    keys = bfv.generate_keys(parameters)
    bfv.save_keys(keys, path)
    return keys


def load_key_file(parameters: Parameters, path: Path) -> KeyHolder | CkksKeyHolder:
    """The keys in a file, which must be of the parameters' scheme.

    Raises:
        KeyFileError: missing, readable by others, another owner's, altered, or not a key file of the scheme.
        OpenFheError: OpenFHE is missing, or of another release.
    """
    if isinstance(parameters, CkksParameters):
        from enclair.runtime.backends.ckks import keys as ckks  # noqa: PLC0415 - loads OpenFHE

        return ckks.load_keys(path)
    from enclair.runtime.backends.bfv import keys as bfv  # noqa: PLC0415 - loads OpenFHE

    return bfv.load_keys(path)


def _bfv_keys(backend: str, parameters: BfvParameters) -> KeyHolder:
    if backend == CLEAR:
        return ClearKeyHolder(parameters)
    if backend == SIMULATED:
        return SimulatedKeyHolder(parameters)
    if backend == BFV:
        from enclair.runtime.backends.bfv.keys import generate_keys  # noqa: PLC0415 - loads OpenFHE

        return generate_keys(parameters)
    raise unknown_backend(backend, parameters)


def _ckks_keys(backend: str, parameters: CkksParameters, needs: KeyNeeds) -> CkksKeyHolder:
    if backend == CLEAR:
        return CkksClearKeyHolder(parameters)
    if backend == SIMULATED:
        return CkksSimulatedKeyHolder(parameters)
    if backend == CKKS:
        from enclair.runtime.backends.ckks.keys import generate_keys  # noqa: PLC0415 - loads OpenFHE

        return generate_keys(parameters, needs)
    raise unknown_backend(backend, parameters)
