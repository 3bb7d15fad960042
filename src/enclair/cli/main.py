"""Entry of the command line: runs a command, turns errors into one message and an exit code."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

import enclair
from enclair.cli import calibration, client_commands, model_commands, server_commands
from enclair.cli.output import note
from enclair.compiler.ir.errors import EnclairError, VerifyError

OK, CHECK_FAILED, BAD_INPUT, BUG = 0, 1, 2, 70

commands = typer.Typer(
    help="Run PyTorch and ONNX models on encrypted data, with the same answer as en clair.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for module in (model_commands, client_commands, server_commands, calibration):
    for name, command in module.COMMANDS.items():
        commands.command(name)(command)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"enclair {enclair.__version__}")
        raise typer.Exit


@commands.callback()
def enclair_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Run PyTorch and ONNX models on encrypted data, with the same answer as en clair."""


def app(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; ``--debug`` may stand anywhere."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    rest = [argument for argument in given if argument != "--debug"]
    sys.exit(_run(rest or ["--help"], as_json="--json" in rest, debug=debug))


def _run(arguments: list[str], *, as_json: bool, debug: bool) -> int:
    try:
        returned = get_command(commands).main(arguments, "enclair", standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        return _report(error, as_json=as_json)
    except KeyboardInterrupt:
        note("interrupted")
        return 130
    return returned if isinstance(returned, int) else OK


def _report(error: Exception, *, as_json: bool) -> int:
    """Print one message; return the exit code."""
    code, kind, message = _explain(error)
    if as_json:
        typer.echo(json.dumps({"error": {"kind": kind, "message": message}}, indent=2))
    note(f"error: {message}")
    return code


def _explain(error: Exception) -> tuple[int, str, str]:
    """Exit code, kind and message of an error."""
    kind = type(error).__name__
    usage: Any = getattr(error, "format_message", None)
    if usage is not None:
        return BAD_INPUT, "UsageError", f"{usage()} (enclair COMMAND --help says how it is used)"
    if isinstance(error, EnclairError) and not isinstance(error, VerifyError):
        return BAD_INPUT, kind, str(error)
    if isinstance(error, OSError) and error.strerror:
        return BAD_INPUT, kind, f"{error.filename or 'a file'}: {error.strerror}"
    return (
        BUG,
        kind,
        f"{kind}: {error}\nthis is a fault of enclair: run it again with --debug and report what it prints",
    )
