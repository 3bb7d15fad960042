"""What ``enclair verify`` prints."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from enclair.cli.output import session_text
from enclair.verification import EXECUTIONS, GAPS, Layer, SlotLayer, Verification, farthest

WIDTH = 120


def verification_text(result: Verification) -> str:
    """The four executions side by side, the gaps beside their bounds, and what it took."""
    tables = io.StringIO()
    console = Console(file=tables, width=WIDTH, no_color=True, highlight=False)
    console.print(_executions(result))
    console.print(_gaps(result))
    if full := [layer for layer in result.layers if isinstance(layer, SlotLayer)]:
        console.print(_slot_layers(full))
    elif result.layers:
        console.print(_layers(result))
    return "\n".join([tables.getvalue().rstrip(), *_lines(result)])


def _executions(result: Verification) -> Table:
    table = Table("output", *EXECUTIONS, title="largest magnitude in each execution", title_justify="left")
    for name, output in result.to_json()["outputs"].items():
        table.add_row(name, *(f"{output['max_abs'][execution]:.9g}" for execution in EXECUTIONS))
    return table


def _gaps(result: Verification) -> Table:
    table = Table("gap", "largest", "bound", "kind", "", title="gaps", title_justify="left")
    for gap in result.gaps:
        table.add_row(
            gap.name, f"{gap.max_abs:.3g}", f"{gap.bound.value:.3g}", gap.bound.kind, "ok" if gap.met else "EXCEEDED"
        )
    return table


def _layers(result: Verification) -> Table:
    names = [name for name, _, _ in GAPS]
    table = Table("round", "value", "largest", *names, "origin", title="what the client decrypts", title_justify="left")
    for layer in result.layers:
        if not isinstance(layer, Layer):
            continue
        gaps = (f"{layer.gaps[name]:.3g}" if name in layer.gaps else "" for name in names)
        seen = layer.seen
        table.add_row(str(seen.round), seen.value.name, f"{layer.max_abs:.6g}", *gaps, seen.origin)
    return table


def _slot_layers(layers: list[SlotLayer]) -> Table:
    table = Table("value", "largest", "noise", "predicted", "", "origin", title="layers", title_justify="left")
    for layer in layers:
        met = "ok" if layer.met else "EXCEEDED"
        table.add_row(layer.value, f"{layer.max_abs:.6g}", f"{layer.gap:.3g}", f"{layer.bound:.3g}", met, layer.origin)
    return table


def _lines(result: Verification) -> list[str]:
    run, saturated = result.encrypted, sum(result.saturated.values())
    lines = [_equality(result)] if result.equal is not None else [_tolerance(result)]
    if result.diverges is not None:
        lines.append(f"first divergence, {result.diverges}")
    if saturated:
        lines.append(
            f"{saturated} values saturated ({', '.join(result.saturated)}): poly_vs_float has no stated bound then"
        )
    if result.room_left_bits is not None:
        lines.append(f"noise room left, as predicted: {result.room_left_bits:.1f} bits")
    lines.append(f"{result.backend}: {session_text(run)}")
    return lines


def _tolerance(result: Verification) -> str:
    total = max(farthest(result.outputs["encrypted"], result.outputs["float"]), 0.0)
    asked = "" if result.tolerance is None else f", tolerance {result.tolerance:.3g}"
    return f"encrypted is within {total:.3g} of float{asked}"


def _equality(result: Verification) -> str:
    if result.equal:
        return "encrypted == fixed point, bit for bit: 0 differences"
    different = sum(
        int((array != result.outputs["poly"][name]).sum()) for name, array in result.outputs["encrypted"].items()
    )
    return f"encrypted and fixed point DIFFER in {different} elements"
