"""What ``inspect`` finds out about a program of full mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from enclair.compiler.ckks_parameters import SCHEME, CkksParameters, modulus_bits
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import PackReals, UnpackReals
from enclair.compiler.ir.text import parse_op
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import MAX_MODULUS_BITS
from enclair.compiler.program import Program
from enclair.compiler.report.full_model import (
    CkksParametersReport,
    CostReport,
    FullFindings,
    FullPrecisionReport,
    KeysReport,
    LayerReport,
)
from enclair.compiler.report.full_text import render_full
from enclair.compiler.report.layout_text import describe
from enclair.compiler.report.model import Transfer
from enclair.compiler.report.operations import layers, operations
from enclair.compiler.report.plain import with_lists

RESULT_NOTE = (
    "The client decrypts the outputs and nothing else. Enough queries still let it fit a model of its own to the"
    " answers, as with any service."
)
SERVER_NOTE = (
    "The server sees ciphertexts, their number, and the client's public and evaluation keys. It learns nothing of"
    " inputs and outputs."
)
CLIENT_FILE_NOTE = (
    "The client's artifact tells shapes, layouts, the number of levels, and which rotations the server makes: they hint"
    " at the sizes of layers. It holds no weight."
)
RANGE_NOTE = (
    "Polynomials are right on their ranges. Inputs outside of the declared range are refused or clipped by the client;"
    " a calibrated range further in can be left by an input that is within it, and nobody would see it: growth says how"
    " large the polynomial gets at 1.5 times its range, beside the largest value inside."
)
SHARING_NOTE = (
    "Whoever publishes decrypted values publishes the noise in them, from which, with the ciphertext, the secret key"
    " can be found (Li and Micciancio, eprint 2020/1533): round outputs before passing them on."
)


@dataclass(frozen=True, slots=True)
class FullReport(FullFindings):
    """What ``inspect`` found out, as text and as JSON."""

    def to_json(self) -> dict[str, Any]:
        """Plain data: dicts, lists, strings and numbers."""
        plain = asdict(self)
        plain["inputs"] = [
            {"name": name, "shape": list(shape), "low": low, "high": high} for name, shape, low, high in self.inputs
        ]
        plain["bytes"] = {
            "up": sum(transfer.bytes for transfer in self.uploads),
            "down": sum(transfer.bytes for transfer in self.answers),
            "keys": self.keys.bytes,
        }
        listed: dict[str, Any] = with_lists(plain)
        return listed

    def to_text(self, width: int = 120) -> str:
        """Tables for a terminal of ``width`` columns, without colours."""
        return render_full(self, width)


def inspect_full(program: Program, parameters: CkksParameters) -> FullReport:
    """What a program of full mode computes, costs and reveals."""
    (round_,) = program.rounds
    facts = program.facts
    return FullReport(
        program.name,
        facts.get("mode", "full"),
        program.digest(),
        tuple((spec.name, spec.shape, spec.low, spec.high) for spec in program.inputs),
        program.outputs,
        tuple(_transfers(round_.exchange.uploads, program.prologue, parameters)),
        tuple(_transfers(round_.exchange.answers, round_.client, parameters)),
        _keys(program, parameters),
        _parameters(parameters),
        _precision(facts),
        _cost(facts),
        operations(round_.server, round_.server.nodes),
        tuple(_layers(program, round_.server)),
        tuple(facts.get("activations", ())),
        (RESULT_NOTE, SERVER_NOTE, CLIENT_FILE_NOTE, RANGE_NOTE, SHARING_NOTE),
    )


def _transfers(ciphers: Any, client: Graph, parameters: CkksParameters) -> Iterator[Transfer]:
    coded = {value.name: node.op for node in client.nodes for value in (node.out, *node.args)}
    for name, type_ in ciphers:
        op = coded[name]
        layout = describe(op.layout) if isinstance(op, PackReals | UnpackReals) else ""
        yield Transfer(name, layout, type_.count, parameters.ciphertext_bytes(type_.level or 0) * type_.count)


def _keys(program: Program, parameters: CkksParameters) -> KeysReport:
    needs = program.keys
    levels = needs.key_levels(parameters.levels)
    sizes = [parameters.key_bytes_at(level) for level in levels]
    total = parameters.public_key_bytes + sum(sizes)
    return KeysReport(needs.rotations, needs.relinearise, levels, max(sizes, default=0), total)


def _parameters(parameters: CkksParameters) -> CkksParametersReport:
    bits, most = modulus_bits(parameters), MAX_MODULUS_BITS.get(parameters.ring_dim)
    return CkksParametersReport(
        SCHEME,
        parameters.ring_dim,
        parameters.slots,
        parameters.levels,
        parameters.scale_bits,
        parameters.first_bits,
        parameters.primes,
        parameters.special_primes,
        bits,
        most,
        parameters.digits,
        parameters.security,
        parameters.secure,
        _security(parameters, bits),
    )


def _security(parameters: CkksParameters, bits: int) -> str:
    if not parameters.secure:
        return f"{parameters.security}: these parameters protect nothing"
    most = MAX_MODULUS_BITS[parameters.ring_dim]
    return (
        f"128 bits against classical attacks by {parameters.security} (Homomorphic Encryption Standard 2018, table 1,"
        f" ternary secret): log2 QP is {bits}, at ring dimension {parameters.ring_dim} at most {most}"
    )


def _precision(facts: Mapping[str, Any]) -> FullPrecisionReport:
    approximation, noise = facts.get("gap_bound", {}), facts.get("noise_bound", {})
    return FullPrecisionReport(
        facts.get("tolerance"),
        approximation.get("value"),
        approximation.get("kind"),
        noise.get("value"),
        noise.get("bits"),
        facts.get("margin"),
        dict(facts.get("samples", {})),
    )


def _cost(facts: Mapping[str, Any]) -> CostReport:
    cost = facts.get("cost", {})
    return CostReport(
        cost.get("server_ms", 0.0),
        cost.get("critical_ms", 0.0),
        dict(cost.get("threads_ms", {})),
        cost.get("client_ms", 0.0),
        cost.get("memory_bytes", 0),
        bool(cost.get("calibrated", False)),
    )


def _layers(program: Program, server: Graph) -> Iterator[LayerReport]:
    makers = program.fixed.producers()
    layouts, milliseconds = program.facts.get("layouts", {}), program.facts.get("node_ms", {})
    for value, nodes in layers(server, program.facts.get("values", {})):
        made, out = makers.get(value), nodes[-1].out.type
        yield LayerReport(
            value,
            type(made.op).__name__ if made else "",
            made.origin if made else "",
            _layout(layouts.get(value)),
            out.count if isinstance(out, CkksType) else 0,
            _levels(nodes),
            operations(server, nodes),
            sum(milliseconds.get(node.out.name, 0.0) for node in nodes),
        )


def _layout(text: str | None) -> str:
    """In words, of an op's text that has the layout; see ``Program.facts``."""
    op = None if text is None else parse_op(text)
    return describe(op.layout) if isinstance(op, UnpackReals) else ""


def _levels(nodes: list[Node]) -> tuple[int, int]:
    types = [value.type for node in nodes for value in (*node.args, node.out)]
    found = [type_.level or 0 for type_ in types if isinstance(type_, CkksType)]
    return max(found), (nodes[-1].out.type.level or 0) if isinstance(nodes[-1].out.type, CkksType) else 0
