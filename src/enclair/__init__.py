"""enclair: run PyTorch and ONNX models on encrypted data, with the same answer as en clair.

    program = enclair.compile("model.onnx", {"x": samples}, mode="split", tolerance=1e-3)
    print(enclair.inspect(program).to_text())
    assert enclair.verify(program, {"x": samples}).ok
    outputs = enclair.Session(program).run({"x": samples}).outputs

Importing this package imports neither OpenFHE, torch nor onnxruntime: ``enclair doctor`` must work where they cannot be
imported. It sets ``OMP_WAIT_POLICY=passive`` unless it is set: OpenMP reads it once, when OpenFHE is loaded, and on a
busy machine its default makes two threads several times slower than one.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enclair.api import compile  # noqa: A004 (the verb of the field)
    from enclair.compiler.artifact import load, load_client, save, save_client
    from enclair.compiler.errors import CompileError
    from enclair.compiler.ir.errors import EnclairError
    from enclair.compiler.program import ClientProgram, Program
    from enclair.compiler.report import inspect
    from enclair.executions import verify
    from enclair.runtime.session import Session, SessionResult
    from enclair.verification import Verification

__version__ = "0.1.0"

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "ClientProgram": "enclair.compiler.program",
    "CompileError": "enclair.compiler.errors",
    "EnclairError": "enclair.compiler.ir.errors",
    "Program": "enclair.compiler.program",
    "Session": "enclair.runtime.session",
    "SessionResult": "enclair.runtime.session",
    "Verification": "enclair.verification",
    "compile": "enclair.api",
    "inspect": "enclair.compiler.report",
    "load": "enclair.compiler.artifact",
    "load_client": "enclair.compiler.artifact",
    "save": "enclair.compiler.artifact",
    "save_client": "enclair.compiler.artifact",
    "verify": "enclair.executions",
}
"""Name -> the module it is imported from when it is first used."""

__all__ = [
    "ClientProgram",
    "CompileError",
    "EnclairError",
    "Program",
    "Session",
    "SessionResult",
    "Verification",
    "compile",
    "inspect",
    "load",
    "load_client",
    "save",
    "save_client",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'enclair' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
