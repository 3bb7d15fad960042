"""What the server's process loads: no code that could read a secret key, and no OpenFHE unless it computes on
ciphertexts.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

SECRET = (".keys", ".proof", ".secret", ".switching", ".key_files", ".key_holders")
PUBLIC = ("enclair.runtime.rns.keys",)
"""Of evaluation keys."""

SERVER = "import enclair.runtime.server, enclair.runtime.store, enclair.runtime.backends.evaluators"

BFV, CKKS = ", enclair.runtime.backends.bfv.evaluate", ", enclair.runtime.backends.ckks.answers"


@pytest.mark.parametrize("imports", [SERVER, SERVER + BFV, SERVER + CKKS], ids=["server", "bfv", "ckks"])
def test_the_server_loads_no_secret_key_code(imports: str) -> None:
    script = (
        f"{imports}, sys; print(*(name for name in sys.modules if name.startswith(('enclair.runtime', 'openfhe'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "enclair.runtime.server" in loaded
    assert not [name for name in loaded if name.endswith(SECRET) and name not in PUBLIC]
    assert ("openfhe" in loaded) == (imports != SERVER)
