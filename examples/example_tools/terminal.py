"""The examples' command lines and what they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from enclair.compiler.ir.errors import EnclairError

Progress: TypeAlias = Callable[[float, str], None]
"""Told the part done, 0 to 1, and what is being done."""


def parser(description: str) -> argparse.ArgumentParser:
    """The options that all examples have."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--seed", type=int, default=0, help="of everything random")
    options.add_argument("--tolerance", type=float, help="largest gap to the float model, in units of the output")
    options.add_argument("--fast", action="store_true", help="leave out the executions in the clear but onnxruntime's")
    options.add_argument("--json", action="store_true", help="print one JSON object")
    return options


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on standard error, so that standard output holds results alone."""
    columns = (TextColumn("{task.description:<48}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda done, what: bar.update(task, completed=done, description=what)


def main(work: Callable[[], tuple[dict[str, Any], bool]]) -> int:
    """Do the work and print its result, as JSON if it says so: 0 if all is well, 1 if a check failed, 2 if it cannot
    run.
    """
    try:
        result, as_json = work()
    except (EnclairError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2)) if as_json else show(result)
    return 0 if result["ok"] else 1


def show(result: dict[str, Any]) -> None:
    """Print figures, gaps, costs, and whether all is well."""
    console = Console()
    for name, figure in result["figures"].items():
        console.print(f"{name}: {figure:.4g}" if isinstance(figure, float) else f"{name}: {figure}", highlight=False)
    console.print(gaps_table(result["gaps"]))
    console.print(program_line(result["program"]), highlight=False)
    console.print(costs_line(result), highlight=False)
    console.print(verdict(result), highlight=False)


def gaps_table(gaps: dict[str, Any]) -> Table:
    """How far executions are apart, and the bounds."""
    table = Table("gap", "largest", "its bound")
    for name, gap in gaps.items():
        table.add_row(
            name.replace("_", " "), f"{gap['max_abs']:.3g}", f"{gap['bound']['value']:.3g} ({gap['bound']['kind']})"
        )
    return table


def program_line(program: dict[str, Any]) -> str:
    """Parameters, bits and ciphertexts."""
    up, down = (sum(program[f"ciphertexts_{way}"]) for way in ("up", "down"))
    numbers = full_numbers(program) if "scale_bits" in program else split_numbers(program)
    return f"N = {program['ring_dim']}, {numbers};  {up} ciphertexts up, {down} down"


def split_numbers(program: dict[str, Any]) -> str:
    """Of a program of exact integers."""
    return (
        f"{program['limbs']} primes of {program['prime_bits']} bits, t of {'+'.join(map(str, program['log2_t']))} bits;"
        f"  activations {program['activation_bits']} bits, weights {program['weight_bits']}"
    )


def full_numbers(program: dict[str, Any]) -> str:
    """Of a program of approximate reals."""
    return (
        f"{program['levels']} levels of {program['scale_bits']} bits on one of {program['first_bits']}, "
        f"{program['digits']} digits;  {program['rotation_keys']} rotation keys"
    )


def costs_line(result: dict[str, Any]) -> str:
    """Rounds, bytes, seconds, memory."""
    seconds, size = result["seconds"], result["bytes"]
    return (
        f"{result['rounds']} rounds;  {size['up'] / 1e6:.1f} MB up, {size['down'] / 1e6:.1f} MB down;  encrypted part "
        f"{seconds['total']:.1f} s (client {seconds['client']:.1f}, server {seconds['server']:.1f}), keys "
        f"{seconds['keys']:.1f} s, compiling {seconds['compile']:.1f} s;  peak memory {result['peak_rss'] / 1e9:.1f} GB"
    )


def verdict(result: dict[str, Any]) -> str:
    """The last line."""
    if "equal" not in result or "scale_bits" in result["program"]:
        return "the gap is within its bound" if result["ok"] else "the gap is BEYOND its bound"
    return "encrypted == fixed point, bit for bit" if result["equal"] else "NOT EQUAL: encrypted and fixed point differ"
