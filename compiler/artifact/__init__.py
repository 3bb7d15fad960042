"""Programs as files: ``P.enclair`` for owner and server, ``P.client.enclair`` for clients.

    manifest.json                      format version, kind, version of enclair, sha256 of every other member
    program.json                       name, inputs, outputs, exchanges; facts, or digests of the server's graphs
    parameters.json                    see ``enclair.compiler.parameters``
    graphs/prologue.txt, ...           the graphs as text: prologue, round1.server, round1.client, ..., fixed
    constants/prologue.safetensors, ... their constants
    source.onnx                        the original model, unless left out

A client's file has the prologue and the clients' graphs alone. Loading trusts nothing: sizes, names, checksums, types
and the rules of every graph are checked, and nothing is unpickled or evaluated.
"""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path

from enclair.compiler.artifact.consistency import check_client_program, check_program
from enclair.compiler.artifact.container import CLIENT, PROGRAM, Limits, read_members, write_members
from enclair.compiler.artifact.errors import (
    ArtifactError,
    DamagedArtifact,
    InsecureArtifact,
    MalformedArtifact,
    UnknownFormat,
    WrongKind,
    naming,
)
from enclair.compiler.artifact.members import read_client_program, read_program, write_client_program, write_program
from enclair.compiler.ckks_parameters import Parameters
from enclair.compiler.program import ClientProgram, Program

DEFAULT_LIMITS = Limits()


def save(program: Program, path: str | PathLike[str], *, source: bool = True) -> None:
    """Write a program to one file, whole or not at all; the same program gives the same bytes.

    Args:
        program: what ``compile`` made.
        path: where to; an existing file is replaced.
        source: whether the original ONNX goes in, which the ``float`` execution needs.

    Raises:
        ArtifactError: the file cannot be written.
    """
    path = Path(path)
    with naming(path):
        write_members(path, PROGRAM, write_program(program, source=source))


def save_client(program: ClientProgram, path: str | PathLike[str]) -> None:
    """Write a client's program to one file, like ``save``.

    Raises:
        ArtifactError: the file cannot be written.
    """
    path = Path(path)
    with naming(path):
        write_members(path, CLIENT, write_client_program(program))


def load(path: str | PathLike[str], limits: Limits = DEFAULT_LIMITS) -> Program:
    """Read what ``save`` wrote. Parameters without security are loaded with an ``InsecureArtifact`` warning.

    Raises:
        ArtifactError: the file is not there, is no artifact, or is too large.
        DamagedArtifact: it is truncated or altered.
        UnknownFormat: another enclair wrote it.
        WrongKind: it is a client's.
        MalformedArtifact: its members are not a program.
    """
    path = Path(path)
    with naming(path):
        program = read_program(read_members(path, PROGRAM, limits))
        check_program(program)
    _flag(path, program.parameters)
    return program


def load_client(path: str | PathLike[str], limits: Limits = DEFAULT_LIMITS) -> ClientProgram:
    """Read what ``save_client`` wrote; raises and warns like ``load``."""
    path = Path(path)
    with naming(path):
        program = read_client_program(read_members(path, CLIENT, limits))
        check_client_program(program)
    _flag(path, program.parameters)
    return program


def _flag(path: Path, parameters: Parameters) -> None:
    if not parameters.secure:
        warnings.warn(
            f"{path}: its parameters are {parameters.security}: they protect nothing, servers and clients refuse them"
            " unless told otherwise",
            InsecureArtifact,
            stacklevel=3,
        )


__all__ = [
    "ArtifactError",
    "DamagedArtifact",
    "InsecureArtifact",
    "Limits",
    "MalformedArtifact",
    "UnknownFormat",
    "WrongKind",
    "load",
    "load_client",
    "save",
    "save_client",
]
