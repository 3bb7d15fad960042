"""What the server's process loads: no code that could read a secret key, and no OpenFHE unless it computes on
ciphertexts.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

SECRET = ("bfv.keys", "bfv.proof", "bfv.secret", "key_holders")
SERVER = "import enclair.runtime.server, enclair.runtime.store, enclair.runtime.backends.evaluators"


@pytest.mark.parametrize("imports", [SERVER, SERVER + ", enclair.runtime.backends.bfv.evaluate"], ids=["server", "bfv"])
def test_the_server_loads_no_secret_key_code(imports: str) -> None:
    script = (
        f"{imports}, sys; print(*(name for name in sys.modules if name.startswith(('enclair.runtime', 'openfhe'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "enclair.runtime.server" in loaded
    assert not [name for name in loaded if name.endswith(SECRET)]
    assert ("openfhe" in loaded) == ("bfv.evaluate" in imports)
