"""Sessions under way on the client, kept in files between commands: a folder for each, a file for each batch in it.

Batches run in turn are sessions of their own, and travel together; the folder has the name of the first one. It holds
what the client computed so far, in the clear, so it is the owner's alone and goes when the outputs are out.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from enclair.runtime.client import ClientState
from enclair.runtime.client_state import load_state, save_state
from enclair.runtime.errors import StateError


def keep(folder: Path, program: str, states: Sequence[ClientState]) -> Path:
    """Write the sessions of batches run in turn; return where.

    Args:
        folder: of all sessions.
        program: digest of their program.
        states: in the order of the batches.
    """
    own = folder / states[0].session
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, state in enumerate(states):
        save_state(state, program, _file(own, number))
    return own


def resume(folder: Path, program: str, session: str) -> list[ClientState]:
    """The sessions of batches run in turn, by the first one's id.

    Raises:
        StateError: there is no such session, it is of another program, or a file was altered.
    """
    own = folder / session
    if not own.is_dir():
        raise StateError(
            f"there is no session {session[:12]}... in {folder}: it was begun elsewhere (say where with --state), "
            "it is over, or the answers came in another order than the uploads"
        )
    return [load_state(program, _file(own, number)) for number in range(len(list(own.glob("*.state"))))]


def end(folder: Path, session: str) -> None:
    """Remove what was kept."""
    shutil.rmtree(folder / session)


def _file(own: Path, number: int) -> Path:
    return own / f"batch-{number}.state"
