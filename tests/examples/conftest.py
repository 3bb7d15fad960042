"""The examples are scripts with a package beside them: make those importable as the scripts do."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
for folder in ("", "ct_denoise", "dncnn", "red_cnn", "deit_whole", "full_models"):
    sys.path.insert(0, str(EXAMPLES / folder))
