"""The figures as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

MEGA, GIGA = 1e6, 1e9
PARTS = (
    "client.stages",
    "client.encrypt",
    "client.decrypt",
    "server.load",
    "server.sums",
    "server.answer",
)


def show(figures: Mapping[str, Any]) -> None:
    """Print all tables."""
    console = Console(width=150)
    console.print(f"{figures['threads']} cores, medians of {figures['runs']} runs", highlight=False)
    if figures["works"]:
        for table in (seconds_table, traffic_table, baselines_table, programs_table):
            console.print(table(figures["works"]))
    for work in figures["works"]:
        console.print(exactness(work), highlight=False)
    if figures["kernel"]:
        console.print(kernel_text(figures["kernel"]), highlight=False)
    if figures["growth"]:
        console.print(growth_table(figures["growth"]))
    for name, reason in figures["left_out"].items():
        console.print(f"left out: {name}: {reason}", highlight=False)


def seconds_table(works: Sequence[Mapping[str, Any]]) -> Table:
    """Seconds by part."""
    names = [part.replace(".", "\n") for part in PARTS]
    table = Table("work", "an image", "run", *names, "keys", "compile", title="Seconds, the network left out")
    for work in works:
        seconds = work["seconds"]
        parts = [f"{seconds['parts'].get(part, 0.0):.2f}" for part in PARTS]
        each = [f"{seconds['total'] / work['images']:.2f}", f"{seconds['total']:.2f}"]
        table.add_row(work["name"], *each, *parts, f"{seconds['keys']:.2f}", f"{seconds['compile']:.1f}")
    return table


def traffic_table(works: Sequence[Mapping[str, Any]]) -> Table:
    """Bytes and memory."""
    columns = ("rounds", "up, MB", "down, MB", "s at 1 Gbit/s", "s at 100 Mbit/s", "client, GB", "server, GB")
    table = Table("work", *columns, title="Bytes on the wire, and peak memory of each side")
    for work in works:
        wire, memory = work["wire_seconds"], work["peak_memory"]
        cells = [f"{work['bytes'][way] / MEGA:.1f}" for way in ("up", "down")]
        cells += [f"{seconds:.2f}" for seconds in wire.values()]
        cells += [f"{memory[side] / GIGA:.2f}" for side in ("client", "server")]
        table.add_row(work["name"], str(work["program"]["rounds"]), *cells)
    return table


def baselines_table(works: Sequence[Mapping[str, Any]]) -> Table:
    """The same work by others."""
    columns = ("enclair", "its sums", "onnxruntime", "sums by OpenFHE's operations*", "Paillier, a pixel each*")
    table = Table("work", *columns, title="Seconds beside others", caption="* extrapolated: see --help")
    for work in works:
        mine, others = work["seconds"], work["baselines"]
        values = (mine["total"], mine["parts"].get("server.sums", 0.0), others["onnxruntime"]["seconds"])
        values += (others["openfhe_operations"]["seconds"], others["paillier"]["seconds"])
        table.add_row(work["name"], *(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in values))
    return table


def programs_table(works: Sequence[Mapping[str, Any]]) -> Table:
    """What the compiler chose."""
    columns = ("N", "log2 Q", "log2 t", "activations", "weights", "ciphertexts up", "down", "products", "compile, GB")
    table = Table("work", *columns, title="Programs: bits and ciphertexts")
    for work in works:
        program = work["program"]
        counts = [f"{sum(program[f'ciphertexts_{way}']):,}" for way in ("up", "down")]
        cells = [str(program["ring_dim"]), str(program["log2_q"]), "+".join(map(str, program["log2_t"]))]
        cells += [str(program["activation_bits"]), str(program["weight_bits"]), *counts]
        cells += [f"{program['openfhe_products']:,}", f"{program['compile_peak_memory'] / GIGA:.2f}"]
        table.add_row(work["name"], *cells)
    return table


def growth_table(growth: Sequence[Mapping[str, Any]]) -> Table:
    """One convolution, larger and larger."""
    columns = ("size", "channels", "client, s", "server, s", "up, MB", "down, MB", "onnxruntime, s")
    table = Table(*columns, title="Growth: one 3 x 3 convolution")
    for row in growth:
        cells = [f"{row[key]:.3f}" for key in ("client", "server")]
        cells += [f"{row[key] / MEGA:.1f}" for key in ("up", "down")]
        table.add_row(str(row["size"]), str(row["channels"]), *cells, f"{row['onnxruntime']:.4f}")
    return table


def exactness(work: Mapping[str, Any]) -> str:
    """Whether the answers are the fixed-point reference, and how far from float."""
    answer = work["answer"]
    return (
        f"{work['name']}: {answer['differences']} differences from the fixed-point reference; "
        f"{answer['gap_to_float']:.2g} from float, bound {answer['gap_bound']:.2g}"
    )


def kernel_text(kernel: Mapping[str, Any]) -> str:
    """The kernel's lines."""
    shares = f"{kernel['share_of_square']:.0%} by the clock, {kernel['share_by_core_seconds']:.0%} by core seconds"
    by_part = ", ".join(f"{name} {value:.2f}" for name, value in kernel["core_seconds_by_part"].items())
    return (
        f"kernel, {kernel['channels']} -> {kernel['channels']} channels, 3 x 3, 512 x 512 pixels: "
        f"{kernel['kernel_seconds']:.2f} s, {kernel['kernel_core_seconds']:.2f} core seconds\n"
        f"  {kernel['terms']:,} terms, {kernel['digit_products']} digit products each; core seconds: {by_part}\n"
        f"  {kernel['kernel_gflops']:.1f} GFLOP/s; a square float64 product {kernel['square_gflops']:.1f}: "
        f"{shares}\n"
        f"  OpenFHE's own operations* {kernel['openfhe_core_seconds']:.0f} core seconds: "
        f"{kernel['times_openfhe_core_for_core']:.0f} times as many;  peak memory {kernel['peak_memory'] / GIGA:.2f} GB"
    )
