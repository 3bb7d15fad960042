"""The example's scripts as modules."""

import importlib.util
from types import ModuleType

from tests.examples.commands import ROOT


def load_script(name: str) -> ModuleType:
    """``examples/full_models/<name>.py``, not run."""
    path = ROOT / "examples" / "full_models" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"full_models_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
