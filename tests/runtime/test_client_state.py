from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.programs import tiny_program, tiny_reference

from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.client import Client, ClientState
from enclair.runtime.client_state import MAGIC, load_state, save_state
from enclair.runtime.errors import StateError
from enclair.runtime.server import Server

PROGRAM = tiny_program()
DIGEST = PROGRAM.digest()
X = {"x": np.linspace(-1, 1, 8)[None]}
STATE = ClientState("ab" * 16, 2, {"a/b": np.arange(6).reshape(2, 3), "r": np.array([0.5])}, {"x": 1}, {"relu": 2})


def test_state_comes_back(tmp_path: Path) -> None:
    for _ in range(2):
        save_state(STATE, DIGEST, tmp_path / "state")
    again = load_state(DIGEST, tmp_path / "state")
    assert (again.session, again.round, again.clipped, again.saturated) == ("ab" * 16, 2, {"x": 1}, {"relu": 2})
    assert list(again.values) == ["a/b", "r"]
    for name, array in STATE.values.items():
        np.testing.assert_array_equal(again.values[name], array)
        assert again.values[name].dtype == array.dtype
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_process_per_stage(tmp_path: Path, keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    server = Server(PROGRAM, evaluator, allow_insecure=True)
    client = Client(PROGRAM.for_client(), keys)
    save_state(client.start(X), DIGEST, tmp_path / "state")
    for _ in PROGRAM.rounds:
        state = load_state(DIGEST, tmp_path / "state")
        client = Client(PROGRAM.for_client(), keys)
        client.receive(state, server.run_round(client.upload(state)))
        save_state(state, DIGEST, tmp_path / "state")
    np.testing.assert_array_equal(client.outputs(state)["out"], tiny_reference(X["x"]))


def test_states_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "state"
    with pytest.raises(StateError, match=r"state cannot be read: No such file or directory; start a new session"):
        load_state(DIGEST, file)
    save_state(STATE, DIGEST, file)
    with pytest.raises(StateError, match=r"is of version 2 and program .*, version 2 and program 0000.* are needed"):
        load_state("0" * 64, file)
    data = file.read_bytes()
    for altered in (data[:-1], data[:-1] + bytes([data[-1] ^ 1]), MAGIC):
        file.write_bytes(altered)
        with pytest.raises(StateError, match="was altered or cut: start a new session"):
            load_state(DIGEST, file)
    file.write_bytes(b"PK" + data)
    with pytest.raises(StateError, match="state is not a client state of enclair"):
        load_state(DIGEST, file)
