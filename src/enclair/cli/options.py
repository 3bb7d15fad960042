"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]
Output: TypeAlias = Annotated[Path, typer.Option("--output", "-o", help="File to write; it must not exist.")]
MessageIn: TypeAlias = Annotated[Path, typer.Option("--input", "-i", help="File with the message that came in.")]
Inputs: TypeAlias = Annotated[Path, typer.Option("--inputs", help=".npz file, arrays named as the model's inputs.")]
Keys: TypeAlias = Annotated[
    Path, typer.Option("--keys", help="Folder of the client's keys, readable by its owner alone.")
]
Clip: TypeAlias = Annotated[bool, typer.Option("--clip", help="Clip inputs to the range compiled for, and count them.")]
ProgramFile: TypeAlias = Annotated[Path, typer.Argument(help="Compiled program, P.enclair.", metavar="PROGRAM")]
ClientFile: TypeAlias = Annotated[
    Path, typer.Argument(help="The client's part of a program, P.client.enclair.", metavar="CLIENT_PROGRAM")
]
Obfuscate: TypeAlias = Annotated[
    str,
    typer.Option(
        "--obfuscate",
        metavar="KINDS",
        help="permute, scale, or permute,scale: shuffle and multiply the channels that the client decrypts."
        " Outputs stay the same; it protects nothing (inspect says why).",
    ),
]
SessionFolder: TypeAlias = Annotated[
    Path | None, typer.Option("--state", help="Folder of the sessions under way; KEYS/sessions if not given.")
]
