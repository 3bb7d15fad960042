"""Programs of full mode as files; a client's file holds no weight and no polynomial of the server's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from tests.leaks import byte_hits, members_of, telling, value_hits
from tests.models import Net
from tests.strategies import samples_of

import enclair.compiler
from enclair.compiler import FullOptions
from enclair.compiler.artifact import DamagedArtifact, WrongKind, load, load_client, save, save_client
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.ops.activations import Sigmoid
from enclair.compiler.ir.ops.ckks import EvaluatePolynomial
from enclair.compiler.ir.ops.polynomial import Polynomial
from enclair.compiler.program import Program
from enclair.compiler.report import inspect

TABLES = re.compile(r"^(rows|cols|rotations|which|select)")
"""Integers that say where, not how much."""


def network() -> Graph:
    net = Net(5)
    h = net.conv(net.input(1, 1, 5, 5), 2)
    return net.graph(net.gemm(net.flatten(net.op(Sigmoid(), h)), 3))


@pytest.fixture(scope="module")
def program() -> Program:
    graph = network()
    return enclair.compiler.compile(graph, samples_of(graph), options=FullOptions(tolerance=0.2))


@pytest.fixture(scope="module")
def whole(program: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("whole") / "p.enclair"
    save(program, path)
    return members_of(path)


@pytest.fixture(scope="module")
def client(program: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("client") / "p.client.enclair"
    save_client(program.for_client(), path)
    return members_of(path)


def weights_of(program: Program) -> dict[str, Array]:
    """The model's, the reference's, the server's, and the coefficients of polynomials; not ones and zeros."""
    server = program.rounds[0].server
    model = {f"model {name}": array for name, array in network().arrays.items()}
    fixed = {f"fixed {name}": array for name, array in program.fixed.arrays.items()}
    packed = {f"server {name}": array for name, array in server.arrays.items() if not TABLES.match(name)}
    ops = [node.op for graph in (program.fixed, server) for node in graph.nodes]
    polynomials = [op for op in ops if isinstance(op, Polynomial | EvaluatePolynomial)]
    coefficients = {f"polynomial {at}": np.array(op.coefficients) for at, op in enumerate(polynomials)}
    found = {name: array[np.abs(array) % 0.25 > 0] for name, array in (model | fixed | packed | coefficients).items()}
    return {name: array for name, array in found.items() if array.dtype.kind == "f" and telling(array)}


def test_every_kind_of_weight_has_something_telling(program: Program) -> None:
    kinds = {name.split()[0] for name in weights_of(program)}
    assert kinds == {"model", "fixed", "server", "polynomial"}
    assert sum(name.startswith("model") for name in weights_of(program)) == 4


def test_no_weight_is_in_the_clients_artifact(program: Program, client: dict[str, bytes]) -> None:
    assert byte_hits(weights_of(program), client) == set()
    assert value_hits(weights_of(program), client) == set()


def test_the_search_finds_weights_where_they_are(program: Program, whole: dict[str, bytes]) -> None:
    found = value_hits(weights_of(program), whole)
    assert found >= {name for name in weights_of(program) if not name.startswith("model")}
    assert any(name.startswith("server") for name in byte_hits(weights_of(program), whole))


def test_the_client_gets_its_graphs_its_keys_and_nothing_else(program: Program, client: dict[str, bytes]) -> None:
    labels = ("prologue", "round1.client")
    graphs = {name for label in labels for name in (f"graphs/{label}.txt", f"constants/{label}.safetensors")}
    assert set(client) == {"manifest.json", "program.json", "parameters.json", *graphs}
    assert not any(load_tensors(data) for name, data in client.items() if name.endswith(".safetensors"))
    texts = "".join(data.decode() for name, data in client.items() if name.endswith(".txt"))
    assert set(re.findall(r"= (\w+)\(", texts)) == {"PackReals", "UnpackReals"}
    assert not json.loads(client["program.json"]).get("facts")


def test_loading_gives_what_was_saved_byte_for_byte(program: Program, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(program, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded = load(tmp_path / "one")
    assert (loaded, loaded.digest(), loaded.facts) == (program, program.digest(), program.facts)
    assert inspect(loaded).to_json() == inspect(program).to_json()
    save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "one").read_bytes()


def test_one_kind_is_not_the_other(program: Program, tmp_path: Path) -> None:
    save(program, tmp_path / "p.enclair")
    save_client(program.for_client(), tmp_path / "c.enclair")
    with pytest.raises(WrongKind, match=r"this is a client's program .*; needed is a whole program"):
        load(tmp_path / "c.enclair")
    with pytest.raises(WrongKind, match=r"this is a whole program .*; needed is a client's program"):
        load_client(tmp_path / "p.enclair")


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_damaged_file_is_refused(place: float, program: Program, tmp_path: Path) -> None:
    save(program, tmp_path / "p.enclair")
    data = bytearray((tmp_path / "p.enclair").read_bytes())
    data[int(place * len(data))] ^= 0x10
    (tmp_path / "p.enclair").write_bytes(data)
    with pytest.raises(DamagedArtifact, match="get the file again"):
        load(tmp_path / "p.enclair")
    (tmp_path / "p.enclair").write_bytes(data[: int(place * len(data))])
    with pytest.raises(DamagedArtifact, match="get the file again"):
        load(tmp_path / "p.enclair")
