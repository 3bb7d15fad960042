"""A report on a program of full mode as text: tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from enclair.compiler.report.full_model import FullFindings, LayerReport
from enclair.compiler.report.model import Transfer
from enclair.compiler.report.tables import (
    counted,
    extents,
    in_bytes,
    in_time,
    listed,
    pairs,
    print_parts,
    table,
)


def render_full(report: FullFindings, width: int) -> str:
    """The whole report, without colours."""
    return print_parts(_parts(report), width)


def _parts(report: FullFindings) -> Iterator[RenderableType]:
    yield from _heading(report)
    yield pairs("Parameters", _parameters(report))
    yield pairs("Precision", _precision(report))
    how = "estimated" if report.cost.calibrated else "estimated; enclair calibrate measures this machine"
    yield pairs(f"Cost, {how}", _cost(report))
    yield "What the server computes"
    yield _layers(report.layers)
    yield "Approximated activations" + ("" if report.activations else ": none")
    if report.activations:
        yield _activations(report.activations)
    yield ""
    yield from (listed(note) for note in report.notes)


def _heading(report: FullFindings) -> Iterator[str]:
    up, down = (sum(t.bytes for t in transfers) for transfers in (report.uploads, report.answers))
    yield escape(f"{report.name}: mode {report.mode}, one round")
    for name, shape, low, high in report.inputs:
        yield escape(f"  input {name} {extents(shape)} in [{low:g}, {high:g}]")
    yield escape(f"  output {', '.join(report.outputs)}")
    yield f"  {in_bytes(up)} up, {in_bytes(down)} down, keys {in_bytes(report.keys.bytes)} once"
    yield escape(f"  up: {_transfers(report.uploads)}")
    yield escape(f"  down: {_transfers(report.answers)}")
    yield escape(f"  program {report.digest[:16]}")


def _parameters(report: FullFindings) -> Iterator[tuple[str, str]]:
    p, keys = report.parameters, report.keys
    yield "scheme", f"{p.scheme}, ring dimension {p.ring_dim}, {p.slots} slots"
    yield "levels", f"{p.levels}, scale 2^{p.scale_bits}, first prime of {p.first_bits} bits"
    yield "switching", f"{counted(p.digits, 'digit')}, {counted(len(p.special_primes), 'special prime')}"
    yield "security", p.statement
    kinds = counted(len(keys.rotations), "rotation key") + (" and the relinearisation key" if keys.relinearise else "")
    yield "keys", f"{kinds}, {in_bytes(keys.key_bytes)} each at most"


def _precision(report: FullFindings) -> Iterator[tuple[str, str]]:
    p = report.precision
    if p.tolerance is not None:
        yield "tolerance", f"{p.tolerance:.3g}"
    if p.approximation_bound is not None:
        yield "polynomials", f"at most {p.approximation_bound:.3g} from the float model ({p.approximation_kind})"
    if p.noise_bound is not None and p.noise_bits is not None:
        yield "encryption", f"adds at most {p.noise_bound:.3g} (predicted), {p.noise_bits:.1f} bits below the outputs"
    if p.margin is not None:
        yield "ranges", f"calibrated, widened by {p.margin:.0%}"
    if p.samples:
        yield "samples", ", ".join(f"{count} {kind}" for kind, count in p.samples.items())


def _cost(report: FullFindings) -> Iterator[tuple[str, str]]:
    cost, done = report.cost, report.operations
    threads = ", ".join(f"{in_time(ms)} on {n} threads" for n, ms in cost.threads_ms.items() if n != "1")
    yield "server", f"{in_time(cost.server_ms)} on one thread" + (f", {threads}" if threads else "")
    yield "chain", in_time(cost.critical_ms)
    yield "client", in_time(cost.client_ms)
    yield "memory", f"about {in_bytes(cost.memory_bytes)} on the server"
    yield (
        "operations",
        (
            f"{done.hoisted} hoisted and {done.rotations} full rotations, {done.plain_products} plaintext products,"
            f" {done.products} products, {done.relinearisations} relinearisations, {done.rescales} rescales"
        ),
    )


def _layers(layers: Iterable[LayerReport]) -> Table:
    made = table("value", "op", "layout", "ciphertexts", "levels", "hoisted", "rotations", "plain", "products", "ms")
    for layer in layers:
        done = layer.operations
        counts = (done.hoisted, done.rotations, done.plain_products, done.products)
        levels = f"{layer.levels[0]} to {layer.levels[1]}"
        name = layer.value + (f" ({layer.origin})" if layer.origin else "")
        made.add_row(
            escape(name), escape(layer.op), escape(layer.layout), str(layer.ciphertexts), levels, *map(str, counts),
            f"{layer.estimated_ms:.1f}",
        )  # fmt: skip
    return made


def _activations(activations: Iterable[Mapping[str, Any]]) -> Table:
    made = table("value", "op", "range", "seen", "method", "degrees", "levels", "error", "share", "growth")
    for a in activations:
        made.add_row(
            escape(a["name"]), escape(a["op"]), f"[{a['range'][0]:.3g}, {a['range'][1]:.3g}] {a['range_kind']}",
            f"[{a['seen'][0]:.3g}, {a['seen'][1]:.3g}]", a["method"], ", ".join(map(str, a["degrees"])),
            str(a["levels"]), f"{a['error']:.2g} {a['error_kind']}", f"{a['share']:.1%}", f"{a['growth']:.3g}",
        )  # fmt: skip
    return made


def _transfers(transfers: tuple[Transfer, ...]) -> str:
    return "; ".join(f"{t.value}: {counted(t.ciphertexts, 'ciphertext')}, {t.layout}" for t in transfers)
