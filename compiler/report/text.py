"""A report as text: tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import StringIO
from math import floor

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from enclair.compiler.obfuscation import SplitPoint
from enclair.compiler.report.model import ClientParameter, Exposure, Findings, Layer, RoundReport, Step, Transfer
from enclair.compiler.report.systems import System


def render(report: Findings, width: int) -> str:
    """The whole report, without colours."""
    console = Console(
        width=width, file=StringIO(), color_system=None, force_terminal=False, highlight=False, emoji=False
    )
    for part in _parts(report):
        console.print(part)
    file = console.file
    text = file.getvalue() if isinstance(file, StringIO) else ""
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _parts(report: Findings) -> Iterator[RenderableType]:
    yield from _heading(report)
    for round_ in report.rounds:
        yield _round(round_)
    yield _pairs("Parameters", _parameters(report))
    yield _pairs("Precision", _precision(report))
    yield "Constants that the client is given" + ("" if report.client_parameters else ": none")
    if report.client_parameters:
        yield _client_parameters(report.client_parameters)
    yield "What the client sees"
    yield _exposures(report.exposures)
    yield from (_listed(line) for exposure in report.exposures for line in _sentences(exposure))
    yield "What a server that obfuscates can permute and scale"
    yield _obfuscation(report.obfuscation)
    yield ""
    yield from (_listed(note) for note in report.notes)


def _heading(report: Findings) -> Iterator[str]:
    up, down = sum(r.up_bytes for r in report.rounds), sum(r.down_bytes for r in report.rounds)
    yield escape(f"{report.name}: mode {report.mode}, {_count(len(report.rounds), 'round')}")
    for name, shape, low, high in report.inputs:
        yield escape(f"  input {name} {_shape(shape)} in [{low:g}, {high:g}]")
    yield escape(f"  output {', '.join(report.outputs)}")
    milliseconds = sum(round_.estimated_ms for round_ in report.rounds)
    yield f"  {_bytes(up)} up, {_bytes(down)} down, about {_seconds(milliseconds)} (one thread, 1 Gbit/s)"
    if report.moved_to_client:
        yield escape(f"  moved to the client to make stages fit: {', '.join(report.moved_to_client)}")
    if report.refreshed:
        yield escape(f"  refreshed by the client, at a round each, to make stages fit: {', '.join(report.refreshed)}")
    yield escape(f"  program {report.digest[:16]}")


def _round(round_: RoundReport) -> Table:
    title = f"Round {round_.number}" + (f": {round_.layout}" if round_.layout else "")
    return _pairs(
        title,
        [
            ("server", _steps(round_.server)),
            ("client", _steps(round_.client)),
            ("up", _transfers(round_.uploads)),
            ("down", _transfers(round_.answers)),
            ("sums", f"{round_.sum_bits} bits of {round_.modulus_bits}"),
            ("noise", f"grows {round_.noise_growth_bits:.1f} bits, room {round_.noise_room_bits:.1f}"),
            ("flooding", f"hides it but for a statistical distance of 2^-{floor(round_.flood_distance_bits)} a query"),
            ("time", f"about {_seconds(round_.estimated_ms)}"),
        ],
    )


def _parameters(report: Findings) -> Iterator[tuple[str, str]]:
    p = report.parameters
    bits = [prime.bit_length() for prime in p.primes]
    moduli = " and ".join(f"{t} ({t.bit_length()} bits)" for t in p.plaintext_moduli)
    yield "scheme", f"{p.scheme}, ring dimension {p.ring_dim}"
    yield "Q", f"{len(bits)} primes of {max(bits)} bits, log2 Q = {p.modulus_bits:.1f}"
    yield "t", moduli
    yield "flooding", f"at least {p.flood_bits} bits above the noise of the sums"
    yield "security", p.statement
    yield "public key", _bytes(p.public_key_bytes)


def _precision(report: Findings) -> Iterator[tuple[str, str]]:
    p = report.precision
    if p.activation_bits is not None:
        yield "bits", f"activations {p.activation_bits}, weights {p.weight_bits}, signs included"
    if p.gap_bound is not None:
        yield "gap to float", f"at most {p.gap_bound:.3g} ({p.gap_bound_kind}), tolerance {p.tolerance:.3g}"
    if p.margin is not None:
        yield "ranges", f"calibrated, widened by {p.margin:.0%}"
    if p.samples:
        yield "samples", ", ".join(f"{count} {kind}" for kind, count in p.samples.items())


def _client_parameters(parameters: Iterable[ClientParameter]) -> Table:
    table = _table("name", "shape", "round", "for")
    for p in parameters:
        table.add_row(escape(p.name), _shape(p.shape), str(p.round), escape(", ".join(p.read_by)))
    return table


def _exposures(exposures: Iterable[Exposure]) -> Table:
    table = _table("round", "value", "shape", "before", "weights behind it", "unknowns", "queries")
    for e in exposures:
        count = sum(layer.count for layer in e.layers)
        queries = "-" if e.queries is None else str(e.queries)
        layers = ", ".join(map(_layer, e.layers)) or "none"
        before = ", ".join(e.read_by)
        table.add_row(str(e.round), escape(e.value), _shape(e.shape), before, escape(layers), str(count), queries)
    return table


def _obfuscation(points: Iterable[SplitPoint]) -> Table:
    table = _table("round", "value", "permute", "scale")
    for p in points:
        permuted = f"no: {p.not_permuted}" if p.not_permuted else _count(p.channels, "channel")
        scaled = f"no: {p.not_scaled}" if p.not_scaled else f"by 1 to {p.largest_factor}"
        table.add_row(str(p.round), escape(p.value), escape(permuted), escape(scaled))
    return table


def _sentences(e: Exposure) -> Iterator[str]:
    if e.queries is None:
        yield f"{e.value}: depends on none of them." if e.layers else f"{e.value}: no weights behind it."
        return
    what = "the map that these layers make together" if e.composed else "the weights"
    yield f"{e.value}: {_count(e.queries, 'query', 'queries')} to solve for {what}: {_systems(e.systems)}."
    if e.composed and e.inner is not None:
        yield (
            f"{e.value}: {_count(e.inner.queries, 'query', 'queries')} for its commonest part (away from borders):"
            f" {_count(e.inner.unknowns, 'unknown')} in {_count(e.inner.equations, 'equation')} a query. The single"
            " layers are not told apart."
        )
    if e.unreached:
        yield f"{e.value}: {e.unreached} of these numbers only ever meet padding: they show, and change, nothing."
    if e.summands > 1:
        yield (
            f"{e.value}: each element comes in up to {e.summands} summands, which the client adds: it sees each of"
            " them, so that every one is an equation."
        )


def _systems(systems: tuple[System, ...]) -> str:
    parts = [
        f"{_count(s.copies, 'system')} of {_count(s.unknowns, 'unknown')}, {_count(s.equations, 'equation')} a query"
        for s in systems[:3]
    ]
    return "; ".join(parts) + (f"; and {_count(len(systems) - 3, 'kind')} more" if len(systems) > 3 else "")


def _layer(layer: Layer) -> str:
    return f"{layer.op} {layer.weights} {_shape(layer.shape)}" + (f" ({layer.origin})" if layer.origin else "")


def _steps(steps: Iterable[Step]) -> str:
    return "\n".join(_step(step) for step in steps) or "nothing"


def _step(step: Step) -> str:
    return f"{step.value} = {step.op}" + (f"  # {step.origin}" if step.origin else "")


def _transfers(transfers: tuple[Transfer, ...]) -> str:
    lines = [f"{t.value}: {_count(t.ciphertexts, 'ciphertext')}, {_bytes(t.bytes)}, {t.layout}" for t in transfers]
    return "\n".join(lines) or "nothing"


def _pairs(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(width=14)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(f"  {name}", escape(text))
    return table


def _listed(text: str) -> Table:
    """A paragraph with a star before it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("  *", escape(text))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.ASCII2)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count} bytes"


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"
