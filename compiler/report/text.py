"""A report as text: tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import floor

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from enclair.compiler.obfuscation import SplitPoint
from enclair.compiler.report.model import ClientParameter, Exposure, Findings, Layer, RoundReport, Step, Transfer
from enclair.compiler.report.systems import System
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


def render(report: Findings, width: int) -> str:
    """The whole report, without colours."""
    return print_parts(_parts(report), width)


def _parts(report: Findings) -> Iterator[RenderableType]:
    yield from _heading(report)
    for round_ in report.rounds:
        yield _round(round_)
    yield pairs("Parameters", _parameters(report))
    yield pairs("Precision", _precision(report))
    yield "Constants that the client is given" + ("" if report.client_parameters else ": none")
    if report.client_parameters:
        yield _client_parameters(report.client_parameters)
    yield "What the client sees"
    yield _exposures(report.exposures)
    yield from (listed(line) for exposure in report.exposures for line in _sentences(exposure))
    yield "What a server that obfuscates can permute and scale"
    yield _obfuscation(report.obfuscation)
    yield ""
    yield from (listed(note) for note in report.notes)


def _heading(report: Findings) -> Iterator[str]:
    up, down = sum(r.up_bytes for r in report.rounds), sum(r.down_bytes for r in report.rounds)
    yield escape(f"{report.name}: mode {report.mode}, {counted(len(report.rounds), 'round')}")
    for name, shape, low, high in report.inputs:
        yield escape(f"  input {name} {extents(shape)} in [{low:g}, {high:g}]")
    yield escape(f"  output {', '.join(report.outputs)}")
    milliseconds = sum(round_.estimated_ms for round_ in report.rounds)
    yield f"  {in_bytes(up)} up, {in_bytes(down)} down, about {in_time(milliseconds)} (one thread, 1 Gbit/s)"
    if report.moved_to_client:
        yield escape(f"  moved to the client to make stages fit: {', '.join(report.moved_to_client)}")
    if report.refreshed:
        yield escape(f"  refreshed by the client, at a round each, to make stages fit: {', '.join(report.refreshed)}")
    yield escape(f"  program {report.digest[:16]}")


def _round(round_: RoundReport) -> Table:
    title = f"Round {round_.number}" + (f": {round_.layout}" if round_.layout else "")
    return pairs(
        title,
        [
            ("server", _steps(round_.server)),
            ("client", _steps(round_.client)),
            ("up", _transfers(round_.uploads)),
            ("down", _transfers(round_.answers)),
            ("sums", f"{round_.sum_bits} bits of {round_.modulus_bits}"),
            ("noise", f"grows {round_.noise_growth_bits:.1f} bits, room {round_.noise_room_bits:.1f}"),
            ("flooding", f"hides it but for a statistical distance of 2^-{floor(round_.flood_distance_bits)} a query"),
            ("time", f"about {in_time(round_.estimated_ms)}"),
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
    yield "public key", in_bytes(p.public_key_bytes)


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
    made = table("name", "shape", "round", "for")
    for p in parameters:
        made.add_row(escape(p.name), extents(p.shape), str(p.round), escape(", ".join(p.read_by)))
    return made


def _exposures(exposures: Iterable[Exposure]) -> Table:
    made = table("round", "value", "shape", "before", "weights behind it", "unknowns", "queries")
    for e in exposures:
        count = sum(layer.count for layer in e.layers)
        queries = "-" if e.queries is None else str(e.queries)
        layers = ", ".join(map(_layer, e.layers)) or "none"
        before = ", ".join(e.read_by)
        made.add_row(str(e.round), escape(e.value), extents(e.shape), before, escape(layers), str(count), queries)
    return made


def _obfuscation(points: Iterable[SplitPoint]) -> Table:
    made = table("round", "value", "permute", "scale")
    for p in points:
        permuted = f"no: {p.not_permuted}" if p.not_permuted else counted(p.channels, "channel")
        scaled = f"no: {p.not_scaled}" if p.not_scaled else f"by 1 to {p.largest_factor}"
        made.add_row(str(p.round), escape(p.value), escape(permuted), escape(scaled))
    return made


def _sentences(e: Exposure) -> Iterator[str]:
    if e.queries is None:
        yield f"{e.value}: depends on none of them." if e.layers else f"{e.value}: no weights behind it."
        return
    what = "the map that these layers make together" if e.composed else "the weights"
    yield f"{e.value}: {counted(e.queries, 'query', 'queries')} to solve for {what}: {_systems(e.systems)}."
    if e.composed and e.inner is not None:
        yield (
            f"{e.value}: {counted(e.inner.queries, 'query', 'queries')} for its commonest part (away from borders):"
            f" {counted(e.inner.unknowns, 'unknown')} in {counted(e.inner.equations, 'equation')} a query. The single"
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
        f"{counted(s.copies, 'system')} of {counted(s.unknowns, 'unknown')}, {counted(s.equations, 'equation')} a query"
        for s in systems[:3]
    ]
    return "; ".join(parts) + (f"; and {counted(len(systems) - 3, 'kind')} more" if len(systems) > 3 else "")


def _layer(layer: Layer) -> str:
    return f"{layer.op} {layer.weights} {extents(layer.shape)}" + (f" ({layer.origin})" if layer.origin else "")


def _steps(steps: Iterable[Step]) -> str:
    return "\n".join(_step(step) for step in steps) or "nothing"


def _step(step: Step) -> str:
    return f"{step.value} = {step.op}" + (f"  # {step.origin}" if step.origin else "")


def _transfers(transfers: tuple[Transfer, ...]) -> str:
    lines = [f"{t.value}: {counted(t.ciphertexts, 'ciphertext')}, {in_bytes(t.bytes)}, {t.layout}" for t in transfers]
    return "\n".join(lines) or "nothing"
