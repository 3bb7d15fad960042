"""A client's state between processes: a file of mode 0600, for it holds values in the clear.

magic | sha256 of the rest | npz: ``meta`` (JSON as bytes), and the values as v0, v1, ...
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from enclair.runtime.client import ClientState
from enclair.runtime.errors import StateError

MAGIC = b"enclair client state\0"
VERSION = 2


def save_state(state: ClientState, program: str, path: Path) -> None:
    """Write the state; an older one of that name is replaced at once.

    Args:
        state: of a session.
        program: digest of its program.
        path: file to write.
    """
    data = _pack(state, program)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(MAGIC + hashlib.sha256(data).digest() + data)
    draft.replace(path)


def load_state(program: str, path: Path) -> ClientState:
    """Read a state.

    Args:
        program: digest of the program in use.
        path: file to read.

    Raises:
        StateError: missing, altered, not a client state, or of another program.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StateError(f"client state {path} cannot be read: {error.strerror}; start a new session") from None
    if not data.startswith(MAGIC):
        raise StateError(f"{path} is not a client state of enclair")
    checksum, body = data[len(MAGIC) : len(MAGIC) + 32], data[len(MAGIC) + 32 :]
    if hashlib.sha256(body).digest() != checksum:
        raise StateError(f"client state {path} was altered or cut: start a new session")
    return _unpack(path, program, body)


def _pack(state: ClientState, program: str) -> bytes:
    meta = {
        "version": VERSION,
        "program": program,
        "session": state.session,
        "round": state.round,
        "names": list(state.values),
        "clipped": state.clipped,
        "saturated": state.saturated,
        "uneven": state.uneven,
    }
    arrays: dict[str, Any] = {f"v{i}": array for i, array in enumerate(state.values.values())}
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)
    return buffer.getvalue()


def _unpack(path: Path, program: str, body: bytes) -> ClientState:
    with np.load(io.BytesIO(body), allow_pickle=False) as members:
        meta = json.loads(members["meta"].tobytes())
        values = {name: members[f"v{i}"] for i, name in enumerate(meta["names"])}
    if meta["version"] != VERSION or meta["program"] != program:
        raise StateError(
            f"client state {path} is of version {meta['version']} and program {meta['program'][:12]}..., version"
            f" {VERSION} and"
            f" program {program[:12]}... are needed: start a new session"
        )
    return ClientState(meta["session"], meta["round"], values, meta["clipped"], meta["saturated"], meta["uneven"])
