"""The example's script as a module."""

import importlib.util
from types import ModuleType

from tests.examples.commands import ROOT


def load_script() -> ModuleType:
    """``examples/deit_whole/run.py``, not run."""
    spec = importlib.util.spec_from_file_location("deit_whole_run", ROOT / "examples" / "deit_whole" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
