"""Whether the graphs, exchanges and parameters of a program fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from enclair.compiler.artifact.errors import MalformedArtifact
from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Graph, Value
from enclair.compiler.ir.key_needs import KeyNeeds
from enclair.compiler.ir.types import CiphersType, TensorType, Type
from enclair.compiler.program import ClientProgram, Exchange, InputSpec, Program, exchange_of, in_the_clear, is_slots


def check_program(program: Program) -> None:
    """Check that every value is there, with its type, before it is read, on both sides.

    Raises:
        MalformedArtifact: names the round and the value.
    """
    stages = [round_.client for round_ in program.rounds]
    exchanges = [round_.exchange for round_ in program.rounds]
    _check_wire(program.prologue, stages, exchanges, program.parameters.slots)
    _check_client_side(program.inputs, program.outputs, program.prologue, stages, exchanges)
    for number, (before, round_) in enumerate(zip([program.prologue, *stages], program.rounds, strict=False), 1):
        wanted = exchange_of(round_.server, before, round_.client)
        if round_.exchange != wanted:
            raise MalformedArtifact(
                f"the exchange of round {number} does not match its graphs: they exchange {wanted}, got"
                f" {round_.exchange}"
            )
    _check_server_side(program)
    _check_reference(program)


def check_client_program(program: ClientProgram) -> None:
    """Check the client's side alone.

    Raises:
        MalformedArtifact: names the round and the value.
    """
    if len(program.server_digests) != len(program.exchanges):
        raise MalformedArtifact(
            f"a client's program of {len(program.exchanges)} rounds needs as many server digests, got"
            f" {len(program.server_digests)}"
        )
    if isinstance(program.parameters, CkksParameters):
        _check_keys(program.keys, program.parameters.levels)
    _check_wire(program.prologue, program.stages, program.exchanges, program.parameters.slots)
    _check_client_side(program.inputs, program.outputs, program.prologue, program.stages, program.exchanges)


def _check_keys(needs: KeyNeeds, top: int) -> None:
    if max(needs.levels, default=0) > top:
        raise MalformedArtifact(
            f"keys serve levels up to {top}, that of the parameters, got one of {max(needs.levels)}"
        )


def _check_wire(prologue: Graph, stages: Iterable[Graph], exchanges: Iterable[Exchange], slots: int) -> None:
    """What is exchanged is what the client's graphs pack and unpack, in ciphertexts of the parameters' size."""
    before = prologue
    for number, (after, exchange) in enumerate(zip(stages, exchanges, strict=True), 1):
        for name, type_ in (*exchange.uploads, *exchange.answers):
            if type_.slots != slots:
                raise MalformedArtifact(
                    f"round {number} exchanges %{name} of type {type_}; the parameters have {slots} slots"
                )
        _check_same(number, "uploads", exchange.uploads, before.outputs)
        _check_same(number, "answers", exchange.answers, after.inputs)
        before = after


def _check_same(number: int, what: str, ciphers: Iterable[tuple[str, CiphersType]], values: Iterable[Value]) -> None:
    exchanged = {name: in_the_clear(type_) for name, type_ in ciphers}
    handled = {value.name: value.type for value in values if is_slots(value.type)}
    if exchanged != handled:
        raise MalformedArtifact(
            f"the {what} of round {number} do not match the client's graphs: {_listed(exchanged)} are exchanged,"
            f" {_listed(handled)} are packed or unpacked"
        )


def _check_client_side(
    inputs: Iterable[InputSpec],
    outputs: Iterable[str],
    prologue: Graph,
    stages: Iterable[Graph],
    exchanges: Iterable[Exchange],
) -> None:
    known: dict[str, Type] = {spec.name: TensorType(spec.shape) for spec in inputs}
    _run(prologue, known, "the client's prologue")
    for number, (stage, exchange) in enumerate(zip(stages, exchanges, strict=True), 1):
        known |= {name: in_the_clear(type_) for name, type_ in exchange.answers}
        _run(stage, known, f"the client's graph of round {number}")
    for name in outputs:
        if not isinstance(type_ := known.get(name), TensorType) or type_.is_fixed:
            raise MalformedArtifact(f"output %{name} must be a tensor of reals that the client computes, got {type_}")


def _check_server_side(program: Program) -> None:
    known: dict[str, Type] = {}
    for number, round_ in enumerate(program.rounds, 1):
        known |= dict(round_.exchange.uploads)
        _run(round_.server, known, f"the server's graph of round {number}")


def _check_reference(program: Program) -> None:
    """The reference takes and gives what the program does."""
    takes = {value.name: value.type for value in program.fixed.inputs}
    wanted = {spec.name: TensorType(spec.shape) for spec in program.inputs}
    gives = tuple(value.name for value in program.fixed.outputs)
    if takes != wanted or gives != program.outputs:
        raise MalformedArtifact(
            f"the reference graph must take {_listed(wanted)} and give {', '.join(program.outputs)}, got"
            f" {_listed(takes)} and {', '.join(gives)}"
        )


def _run(graph: Graph, known: dict[str, Type], where: str) -> None:
    """Note what a graph computes, after checking that what it takes is known."""
    for value in graph.inputs:
        if known.get(value.name) != value.type:
            raise MalformedArtifact(
                f"{where} takes {value} of type {value.type}, got {known.get(value.name, 'nothing')}: no graph before"
                " it gives that"
            )
    known.update({value.name: value.type for value in graph.outputs})


def _listed(types: Mapping[str, Type]) -> str:
    return ", ".join(f"%{name}: {type_}" for name, type_ in sorted(types.items())) or "nothing"
