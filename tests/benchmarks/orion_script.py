"""The script that measures Orion as a module: it imports Orion only when it measures."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "peers" / "orion_bench.py"


def load_script() -> ModuleType:
    """``benchmarks/peers/orion_bench.py``, not run."""
    spec = importlib.util.spec_from_file_location("orion_bench", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
