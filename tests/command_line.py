"""The command line, in this process and in others, and files to give it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import enclair
from enclair.cli import app
from tests.small_models import cnn, images


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*arguments: object) -> Done:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from enclair.cli import app; app()", *map(str, arguments)]


def spawn(*arguments: object) -> Done:
    """Run a command in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env=environment)
    return Done(done.returncode, done.stdout, done.stderr)


def succeed(*arguments: object) -> Done:
    done = call(*arguments)
    assert done.code == 0, done.err
    return done


@dataclass(frozen=True)
class Workshop:
    """A folder with a compiled CNN: ``cnn.onnx``, ``samples.npz``, ``one.npz``, ``two.npz``, ``P.enclair``,
    ``P.client.enclair``.
    """

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def open_workshop(folder: Path) -> Workshop:
    onnx.save(cnn(), folder / "cnn.onnx")
    np.savez(folder / "samples.npz", x=images(8))
    np.savez(folder / "one.npz", x=images(1))
    np.savez(folder / "two.npz", x=images(2))
    program = enclair.compile(folder / "cnn.onnx", images(8))
    enclair.save(program, folder / "P.enclair")
    enclair.save_client(program.for_client(), folder / "P.client.enclair")
    return Workshop(folder)


def exchange(workshop: Workshop, folder: Path, inputs: str, calls: Sequence[Any] = (call,) * 4) -> Path:
    """All rounds through files in ``folder``, to ``y.npz``; calls are for keygen, encrypt, serve-stage, the rest."""
    keygen, encrypt, serve, rest = calls
    client = ["--keys", folder / "keys", "--json"]
    part = workshop / "P.client.enclair"

    def check(done: Done) -> Any:
        assert done.code == 0, done.err
        return done.json

    check(keygen("keygen", part, *client))
    sent = check(encrypt("encrypt", part, *client, "--inputs", workshop / inputs, "-o", folder / "up1.msg"))
    server = ["serve-stage", workshop / "P.enclair", "--state", folder / "server", "--json"]
    server += ["--public-key", folder / "keys" / "public.key"]
    for number in range(1, sent["rounds"] + 1):
        up, down = folder / f"up{number}.msg", folder / f"down{number}.msg"
        check(serve(*server, "-i", up, "-o", down))
        if number < sent["rounds"]:
            check(rest("client-stage", part, *client, "-i", down, "-o", folder / f"up{number + 1}.msg"))
    check(rest("decrypt", part, *client, "-i", down, "-o", folder / "y.npz"))
    return folder / "y.npz"
