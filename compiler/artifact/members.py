"""A program as named members: the record, the parameters, and two members for each graph."""

from __future__ import annotations

from collections.abc import Mapping

from enclair.compiler.artifact.errors import MalformedArtifact
from enclair.compiler.artifact.graphs import graph_names, read_graph, write_graph
from enclair.compiler.artifact.records import RECORD, Record, read_record, write_record
from enclair.compiler.ckks_parameters import CkksParameters, Parameters, parameters_from_json
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.stages import Stage
from enclair.compiler.parameters import ParameterError
from enclair.compiler.program import ClientProgram, Program, Round

PARAMETERS, SOURCE = "parameters.json", "source.onnx"


def write_program(program: Program, *, source: bool) -> dict[str, bytes]:
    """The members of a whole program.

    Raises:
        ArtifactError: something in it cannot be written.
    """
    exchanges = tuple(round_.exchange for round_ in program.rounds)
    record = Record(program.name, program.inputs, program.outputs, exchanges, program.facts)
    clients = _client_graphs(program.prologue, tuple(round_.client for round_ in program.rounds))
    servers = {_server_label(number): round_.server for number, round_ in enumerate(program.rounds, 1)}
    members = _members(record, program.parameters, clients | servers | {"fixed": program.fixed})
    return members | ({SOURCE: program.source} if source and program.source is not None else {})


def write_client_program(program: ClientProgram) -> dict[str, bytes]:
    """The members of a client's program; raises like ``write_program``."""
    record = Record(
        program.name, program.inputs, program.outputs, program.exchanges, server_digests=program.server_digests,
        keys=program.keys,
    )  # fmt: skip
    return _members(record, program.parameters, _client_graphs(program.prologue, program.stages))


def read_program(members: Mapping[str, bytes]) -> Program:
    """The program in its members, each graph verified.

    Raises:
        MalformedArtifact: a member is missing, unknown, or does not hold what it must.
    """
    record, parameters = _record(members), _parameters(members)
    numbers = range(1, len(record.exchanges) + 1)
    is_ckks = isinstance(parameters, CkksParameters)
    stages = {"prologue": Stage.CLIENT, "fixed": Stage.TENSOR if is_ckks else Stage.FIXED}
    stages |= {_client_label(number): Stage.CLIENT for number in numbers}
    stages |= {_server_label(number): Stage.LEVELED if is_ckks else Stage.SERVER for number in numbers}
    _check_names(members, stages, optional={SOURCE})
    graphs = {label: read_graph(label, members, stage) for label, stage in stages.items()}
    rounds = tuple(
        Round(graphs[_server_label(number)], graphs[_client_label(number)], exchange)
        for number, exchange in zip(numbers, record.exchanges, strict=True)
    )
    return Program(
        record.name, parameters, record.inputs, record.outputs, graphs["prologue"], rounds, graphs["fixed"],
        members.get(SOURCE), record.facts,
    )  # fmt: skip


def read_client_program(members: Mapping[str, bytes]) -> ClientProgram:
    """The client's program in its members; raises like ``read_program``."""
    record = _record(members)
    labels = ["prologue", *(_client_label(number) for number in range(1, len(record.exchanges) + 1))]
    _check_names(members, dict.fromkeys(labels, Stage.CLIENT), optional=set())
    prologue, *stages = (read_graph(label, members, Stage.CLIENT) for label in labels)
    return ClientProgram(
        record.name, _parameters(members), record.inputs, record.outputs, prologue, tuple(stages), record.exchanges,
        record.server_digests, record.keys,
    )  # fmt: skip


def _members(record: Record, parameters: Parameters, graphs: Mapping[str, Graph]) -> dict[str, bytes]:
    members = {RECORD: write_record(record), PARAMETERS: parameters.to_json().encode()}
    for label, graph in graphs.items():
        members |= write_graph(label, graph)
    return members


def _client_graphs(prologue: Graph, stages: tuple[Graph, ...]) -> dict[str, Graph]:
    return {"prologue": prologue} | {_client_label(number): stage for number, stage in enumerate(stages, 1)}


def _client_label(number: int) -> str:
    return f"round{number}.client"


def _server_label(number: int) -> str:
    return f"round{number}.server"


def _record(members: Mapping[str, bytes]) -> Record:
    if RECORD not in members:
        raise MalformedArtifact(f"member {RECORD} is missing")
    return read_record(members[RECORD])


def _check_names(members: Mapping[str, bytes], stages: Mapping[str, Stage], optional: set[str]) -> None:
    wanted = {RECORD, PARAMETERS} | {name for label in stages for name in graph_names(label)}
    if missing := sorted(wanted - members.keys()):
        raise MalformedArtifact(f"member {missing[0]} is missing: the program has {len(members)} members, not that one")
    if unknown := sorted(members.keys() - wanted - optional):
        raise MalformedArtifact(f"member {unknown[0]!r} is unknown: this file was not written by enclair")


def _parameters(members: Mapping[str, bytes]) -> Parameters:
    if PARAMETERS not in members:
        raise MalformedArtifact(f"member {PARAMETERS} is missing")
    try:
        return parameters_from_json(members[PARAMETERS].decode())
    except (ParameterError, UnicodeDecodeError) as error:
        raise MalformedArtifact(f"{PARAMETERS}: {error}") from error
