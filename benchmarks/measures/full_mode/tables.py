"""The figures of full mode as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from measures.full_mode.counts import CIPHER, DECOMPOSED, FULL, HOISTED, PLAIN, RELINEARISED, RESCALED

MEGA, GIGA = 1e6, 1e9
ROTATIONS = (HOISTED, FULL, DECOMPOSED)
Rows = Sequence[Mapping[str, Any]]


def show(figures: Mapping[str, Any]) -> None:
    """Print all tables."""
    console, models = Console(width=150), figures["models"]
    for table in (programs_table, seconds_table, precision_table):
        console.print(table(models))
    if verified := [model for model in models if model["gaps"]]:
        console.print(gaps_table(verified))
    if limited := [model for model in models if model["openfhe"]]:
        console.print(operations_table(limited))
    if any(model["orion"] for model in models):
        console.print(orion_table(models))


def summary(model: Mapping[str, Any]) -> str:
    """One model's figures in a line."""
    program, run = model["program"], fullest(model)
    server = ", ".join(f"{run['seconds']['server']:.3g} s on {cores}" for cores, run in model["runs"].items())
    found = run["precision"]
    return (
        f"{model['name']}: compiled in {program['compile_seconds']:.1f} s; server {server};"
        f" largest error of {found['inputs']} inputs {found['largest_error']:.2g},"
        f" tolerance {program['tolerance']:g} {'met' if model['met'] else 'NOT met'}"
    )


def fullest(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The run of the most inputs."""
    run: Mapping[str, Any] = max(model["runs"].values(), key=lambda run: run["precision"]["inputs"])
    return run


def programs_table(models: Rows) -> Table:
    """What compiling took and chose."""
    columns = ("compile, s", "core s", "export", "save", "GB", "N", "log2 Q", "levels", "scale", "digits", "up", "down")
    columns += ("keys, s", "keys, MB")
    table = Table("model", *columns, title="Programs: ring, levels, ciphertexts, keys")
    for model in models:
        program, run = model["program"], next(iter(model["runs"].values()))
        parameters = program["parameters"]
        reading = next(iter(program["compile_steps"].values()))
        times = [program[f"{name}_seconds"] for name in ("compile", "compile_core")] + [
            reading,
            program["save_seconds"],
        ]
        cells = [f"{each:.1f}" for each in times]
        cells += [f"{program['compile_peak_memory'] / GIGA:.2f}"]
        cells += [str(parameters["ring_dim"]), str(program["log2_q"])]
        cells += [str(parameters.get(name, "")) for name in ("levels", "scale_bits", "digits")]
        cells += [str(program["ciphertexts_up"]), str(program["ciphertexts_down"])]
        cells += [f"{run['keys']:.2f}", f"{run['bytes']['keys'] / MEGA:.1f}"]
        table.add_row(model["title"], *cells)
    return table


def seconds_table(models: Rows) -> Table:
    """Seconds of one input, by cores."""
    columns = ("cores", "client", "server", "by part", "server + client, core s", "memory, GB")
    table = Table("model", *columns, title="Seconds of one input")
    for model in models:
        for cores, run in model["runs"].items():
            parts = ", ".join(f"{name} {seconds:.3g}" for name, seconds in run["parts"].items())
            seconds = [f"{run['seconds'][side]:.3g}" for side in ("client", "server")]
            memory = f"{run['peak_memory'] / GIGA:.2f}"
            table.add_row(model["title"], cores, *seconds, parts, f"{run['core_seconds']:.3g}", memory)
    return table


def precision_table(models: Rows) -> Table:
    """How far from the float model, and how many are classified right."""
    columns = ("inputs", "range", "largest error", "tolerance", "met", "bits: worst", "median", "of mean", "accuracy")
    table = Table("model", *columns, title="Answers beside the float model's")
    for model in models:
        run = fullest(model)
        found, tolerance = run["precision"], model["program"]["tolerance"]
        cells = [
            str(found["inputs"]),
            f"{found['output_range']:.3g}",
            f"{found['largest_error']:.2g}",
            f"{tolerance:g}",
        ]
        cells += ["yes" if model["met"] else "NO"]
        cells += [f"{found[name]:.1f}" for name in ("worst_bits", "median_bits", "mean_bits")]
        right = f"{run['accuracy']:.1%}, float {run['float_accuracy']:.1%}" if "accuracy" in run else ""
        table.add_row(model["title"], *cells, right)
    return table


def gaps_table(models: Rows) -> Table:
    """How far each execution is from the one before, measured and predicted."""
    names = list(dict.fromkeys(gap["name"] for model in models for gap in model["gaps"]))
    heads = [name.replace("_vs_", "\nbeside ") for name in names]
    table = Table("model", *heads, title="Gaps between executions, of one input: measured, bound")
    for model in models:
        found = {gap["name"]: gap for gap in model["gaps"]}
        table.add_row(model["title"], *(gap_text(found[name]) if name in found else "" for name in names))
    return table


def gap_text(gap: Mapping[str, Any]) -> str:
    """A gap and its bound."""
    bound = gap["bound"]
    return f"{gap['max_abs']:.2g}, {bound['value']:.2g} ({bound['kind']})"


def operations_table(models: Rows) -> Table:
    """How often what is done, and what OpenFHE's own operations would take."""
    kinds = (*ROTATIONS, PLAIN, CIPHER, RELINEARISED, RESCALED)
    heads = [kind.replace("_", "\n") for kind in kinds]
    table = Table("model", *heads, "OpenFHE, s", title="Operations: how often, and seconds by OpenFHE on one thread")
    for model in models:
        counts, seconds = model["program"]["total"], model["openfhe"]["seconds"]
        cells = [f"{counts[kind]:,}\n{seconds.get(kind, 0.0):.3g} s" for kind in kinds]
        table.add_row(model["title"], *cells, f"{sum(seconds.values()):.3g}")
    return table


def orion_table(models: Rows) -> Table:
    """Orion beside ours."""
    columns = (
        "cores",
        "enclair, s",
        "Orion, s",
        "bits of mean: ours",
        "Orion's",
        "rotations hoisted, full: ours",
        "Orion's",
    )
    table = Table(
        "model",
        *columns,
        "compile, s",
        "GB",
        title="Beside Orion: the server's part of one input; rotations hoisted, full",
    )
    for model in models:
        for cores, peer in model["orion"].items():
            run, counts = model["runs"][cores], model["program"]["total"]
            cells = [f"{run['seconds']['server']:.3g}", f"{peer['seconds']['forward']['wall']:.3g}"]
            cells += [f"{run['precision']['mean_bits']:.1f}", f"{peer['precision']['bits_of_mean_error']:.1f}"]
            cells += [f"{each[HOISTED]}, {each[FULL]}" for each in (counts, peer["rotations"])]
            cells += [f"{peer['compile']['wall']:.1f}", f"{peer['compile']['peak_memory'] / GIGA:.1f}"]
            table.add_row(model["title"], cores, *cells)
    return table
