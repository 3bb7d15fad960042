"""Commands of who owns the model: compile, inspect, verify, run, export-client; and doctor."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enclair.cli.files import arrays_as_bytes, check_output, check_path, read_arrays, write_file
from enclair.cli.obfuscation import report_obfuscation
from enclair.cli.options import Clip, Force, Inputs, Json, Obfuscate, Output, ProgramFile
from enclair.cli.output import emit, note, progress_bar, session_text, size_text, steps
from enclair.compiler.ir.errors import InputError

if TYPE_CHECKING:
    from enclair.compiler.program import Program
    from enclair.runtime.session import SessionResult


def compile_model(
    model: Annotated[Path, typer.Argument(help="The model, an .onnx file.", metavar="MODEL")],
    inputs: Annotated[
        Path, typer.Option("--inputs", help=".npz file with real samples of each input; they show the ranges.")
    ],
    output: Output,
    mode: Annotated[
        str,
        typer.Option(help="split: the server computes with weights, the client the rest; full: the server all."),
    ] = "split",
    tolerance: Annotated[
        float | None, typer.Option(help="Largest gap to the float model, in the outputs' units [1e-4 of their range].")
    ] = None,
    activation_bits: Annotated[int | None, typer.Option(help="Bits of activations, instead of a tolerance.")] = None,
    weight_bits: Annotated[int | None, typer.Option(help="Bits of weights, instead of a tolerance.")] = None,
    margin: Annotated[float, typer.Option(help="Share by which the ranges of the samples are widened.")] = 0.25,
    finishing_sums: Annotated[
        bool,
        typer.Option(help="Let layouts leave the last additions of a sum to the client, who then sees the summands."),
    ] = True,
    input_range: Annotated[
        list[str] | None, typer.Option(metavar="NAME=LOW:HIGH", help="The range of an input, instead of the samples'.")
    ] = None,
    max_ram: Annotated[int | None, typer.Option(help="Full mode: bytes of memory that the server may use.")] = None,
    max_rotation_keys: Annotated[int | None, typer.Option(help="Full mode: most rotation keys.")] = None,
    batch: Annotated[int, typer.Option(help="Leading dimension, where the model leaves it open.")] = 1,
    name: Annotated[str | None, typer.Option(help="Name of the program [the file's].")] = None,
    no_source: Annotated[
        bool, typer.Option("--no-source", help="Leave the original model out; verify needs it.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Compile an ONNX model into a program that runs on encrypted data."""
    import enclair

    check_output(output, force=force)
    check_path(model)
    start = time.perf_counter()
    with steps() as step:
        program = enclair.compile(
            model,
            read_arrays(inputs),
            mode=mode,
            tolerance=tolerance,
            activation_bits=activation_bits,
            weight_bits=weight_bits,
            margin=margin,
            finishing_sums=finishing_sums,
            input_ranges=dict(_range(text) for text in input_range or []),
            max_ram=max_ram,
            max_rotation_keys=max_rotation_keys,
            batch=batch,
            name=name,
            progress=step,
        )
        enclair.save(program, output, source=not no_source)
    data = _program_json(program, output, time.perf_counter() - start)
    if derived := data["samples"]["derived"]:
        note(f"{derived} samples were derived from the {data['samples']['given']} given: better give more")
    emit(data, _program_text(data), as_json=as_json)


def inspect(program: ProgramFile, as_json: Json = False) -> None:
    """Say what a program does, costs, and shows to whom."""
    import enclair

    report = enclair.inspect(enclair.load(program))
    emit(report.to_json(), "" if as_json else report.to_text(), as_json=as_json)


def verify(
    program: ProgramFile,
    inputs: Inputs,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Of the last execution: bfv or ckks [the program's]; or simulated or clear, without OpenFHE."
        ),
    ] = None,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Compare every value that the client decrypts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the same inputs in float, fixed point, simulated and encrypted. Exits with 1 if a gap passes its bound."""
    import enclair
    from enclair.cli.verification_text import verification_text

    with progress_bar() as progress:
        result = enclair.verify(
            enclair.load(program), read_arrays(inputs), backend, per_layer=per_layer, progress=progress
        )
    emit(result.to_json(), "" if as_json else verification_text(result), as_json=as_json)
    if not result.ok:
        raise typer.Exit(1)


def run(
    program: ProgramFile,
    inputs: Inputs,
    output: Output,
    backend: Annotated[
        str | None,
        typer.Option(help="bfv or ckks, whichever the program is for; or simulated or clear, which encrypt nothing."),
    ] = None,
    clip: Clip = False,
    obfuscate: Obfuscate = "",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run all rounds in one process, client and server, with nothing but bytes between them."""
    import enclair
    from enclair.runtime.obfuscation import kinds_of

    kinds = kinds_of(obfuscate)
    check_output(output, force=force)
    loaded = enclair.load(program)
    with progress_bar() as progress:
        session = enclair.Session(loaded, backend, progress=progress, obfuscate=kinds)
        result = session.run(read_arrays(inputs), clip=clip)
    write_file(output, arrays_as_bytes(result.outputs), force=force)
    note_limits(result.clipped, result.saturated)
    obfuscated = report_obfuscation(loaded, kinds)
    data = {"output": str(output), "backend": session.backend, **_run_json(result), "obfuscation": obfuscated}
    emit(data, f"{output}: {session_text(result)}", as_json=as_json)


def export_client(program: ProgramFile, output: Output, force: Force = False, as_json: Json = False) -> None:
    """Write the client's part of a program: stages, layouts, parameters, and no weight of the server's layers."""
    import enclair

    check_output(output, force=force)
    client = enclair.load(program).for_client()
    enclair.save_client(client, output)
    data = {"client": str(output), "name": client.name, "digest": client.digest(), "bytes": output.stat().st_size}
    emit(data, f"{output}: the client's part of {client.name}, {size_text(output.stat().st_size)}", as_json=as_json)


def doctor(
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Folder for keys to check [the working directory].")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check interpreter, OpenFHE, threads, memory; print a remedy for each fault. Exits with 1 if there is one."""
    from enclair.doctor import run_checks

    checks = run_checks(keys)
    ok = all(check.ok for check in checks)
    lines = [f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.found}" for check in checks]
    remedies = [f"      {check.name}: {check.remedy}" for check in checks if not check.ok]
    emit({"ok": ok, "checks": [asdict(check) for check in checks]}, "\n".join(lines + remedies), as_json=as_json)
    if not ok:
        raise typer.Exit(1)


def _program_json(program: Program, path: Path, seconds: float) -> dict[str, Any]:
    facts = ("mode", "activation_bits", "weight_bits", "tolerance", "gap_bound", "noise_bound", "samples")
    return {
        "program": str(path),
        "name": program.name,
        "digest": program.digest(),
        "rounds": len(program.rounds),
        **{name: program.facts[name] for name in facts if name in program.facts},
        "parameters": asdict(program.parameters),
        "bytes": path.stat().st_size,
        "seconds": seconds,
    }


def _program_text(data: Mapping[str, Any]) -> str:
    bound = data["gap_bound"]
    if "noise_bound" in data:
        how = f"one round, polynomials at most {bound['value']:.3g} from the float model ({bound['kind']}),"
        how += f" noise at most {data['noise_bound']['value']:.3g} (predicted)"
    else:
        how = f"{data['rounds']} rounds, {data['activation_bits']}-bit activations, {data['weight_bits']}-bit weights,"
        how += f" gap to the float model at most {bound['value']:.3g} ({bound['kind']})"
    return f"{data['program']}: {how}; {size_text(data['bytes'])}, {data['seconds']:.1f} s"


def _run_json(result: SessionResult) -> dict[str, Any]:
    return {
        "outputs": {name: list(array.shape) for name, array in result.outputs.items()},
        "rounds": result.rounds,
        "batches": result.batches,
        "seconds": result.seconds,
        "parts": result.parts,
        "bytes": asdict(result.traffic),
        "peak_rss": result.peak_rss,
        "clipped": result.clipped,
        "saturated": result.saturated,
    }


def note_limits(clipped: dict[str, int], saturated: dict[str, int]) -> None:
    """Say on stderr what was cut off: the stated gap to the float model does not hold then."""
    if count := sum(clipped.values()):
        note(f"{count} input elements were clipped to the range compiled for")
    if count := sum(saturated.values()):
        note(f"{count} intermediate values saturated: the bound on the gap to the float model does not hold here")


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, _, interval = text.rpartition("=")
    low, _, high = interval.partition(":")
    try:
        return name, (float(low), float(high))
    except ValueError:
        raise InputError(f"--input-range is NAME=LOW:HIGH, for instance x=0:1, got {text!r}") from None


COMMANDS = {
    "compile": compile_model,
    "inspect": inspect,
    "verify": verify,
    "run": run,
    "export-client": export_client,
    "doctor": doctor,
}
