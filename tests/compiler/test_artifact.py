"""Programs survive being saved and loaded; saving is deterministic and leaves nothing half-written."""

import json
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.golden.tiny import tiny_program
from tests.rounds import run_rounds
from tests.strategies import graphs, samples_of

import enclair.compiler
from enclair.compiler import CompileError, SplitOptions
from enclair.compiler.artifact import ArtifactError, InsecureArtifact, load, load_client, save, save_client
from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.types import TensorType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.program import Program

SOURCE = b"\x08\x07 not really an ONNX file"


@pytest.fixture(scope="module")
def program() -> Program:
    return replace(tiny_program(), source=SOURCE)


def members_of(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def same_everywhere(left: Program, right: Program) -> bool:
    return left == right and left.digest() == right.digest() and left.facts == right.facts


@settings(max_examples=15)
@given(graph=graphs(), bits=st.integers(6, 12))
def test_loading_gives_what_was_saved(graph: Graph, bits: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        options = SplitOptions(activation_bits=bits, weight_bits=bits)
        program = enclair.compiler.compile(graph, samples_of(graph), options=options)
    except CompileError:
        return  # some random graphs have nothing for a server to do
    path = tmp_path_factory.mktemp("round-trip") / "p.enclair"
    save(program, path)
    assert same_everywhere(load(path), program)
    save_client(program.for_client(), path)
    assert load_client(path) == program.for_client()
    assert load_client(path).digest() == program.digest()


def test_loaded_program_computes_the_same(program: Program, tmp_path: Path) -> None:
    save(program, tmp_path / "p.enclair")
    loaded = load(tmp_path / "p.enclair")
    inputs = {"x": np.linspace(-1, 1, 36).reshape(1, 1, 6, 6)}
    for name, array in run_rounds(program, inputs).items():
        np.testing.assert_array_equal(run_rounds(loaded, inputs)[name], array)


def test_constants_come_back_frozen_and_wide(program: Program, tmp_path: Path) -> None:
    save(program, tmp_path / "p.enclair")
    fixed = load(tmp_path / "p.enclair").fixed
    assert {array.dtype for array in fixed.arrays.values()} == {np.dtype(np.int64), np.dtype(np.float64)}
    assert not any(array.flags.writeable for array in fixed.arrays.values())


def constant_graph(array: Array, scale_bits: int | None) -> Graph:
    builder = Builder("constants")
    return builder.build([builder.constant("c", array, scale_bits)])


@pytest.mark.parametrize(
    ("array", "scale_bits"),
    [
        (np.array(-5), 3),
        (np.array([]), 3),
        (np.array([127, -128]), 0),
        (np.array([128]), 0),
        (np.array([[2**31 - 1], [-(2**31)]]), 0),
        (np.array([2**62, -(2**63)]), 0),
        (np.array(0.1), None),
        (np.array([[np.inf, -0.0, 5e-324]]), None),
        (np.zeros((0, 3)), None),
    ],
    ids=str,
)
def test_any_constant_round_trips(array: Array, scale_bits: int | None, program: Program, tmp_path: Path) -> None:
    graph = constant_graph(array, scale_bits)
    save(replace(program, prologue=merged(program.prologue, graph)), tmp_path / "p.enclair")
    loaded = load(tmp_path / "p.enclair").prologue
    np.testing.assert_array_equal(loaded.arrays["c"], graph.arrays["c"])
    assert (loaded.arrays["c"].dtype, loaded.arrays["c"].shape) == (graph.arrays["c"].dtype, array.shape)


def merged(graph: Graph, more: Graph) -> Graph:
    return replace(graph, constants=graph.constants + more.constants, arrays={**graph.arrays, **more.arrays})


def test_saving_twice_gives_the_same_bytes(program: Program, tmp_path: Path) -> None:
    first, second = tmp_path / "a.enclair", tmp_path / "b.enclair"
    save(program, first)
    os.utime(first, (0, 0))
    save(load(first), second)
    assert first.read_bytes() == second.read_bytes()
    with ZipFile(first) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr for entry in archive.infolist()} == {0o644 << 16}
        assert archive.namelist()[1:] == sorted(archive.namelist()[1:])


def test_source_is_left_out_on_demand(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "p.enclair"
    save(program, path)
    assert load(path).source == SOURCE
    assert members_of(path)["source.onnx"] == SOURCE
    save(program, path, source=False)
    assert load(path).source is None
    assert "source.onnx" not in members_of(path)


def test_members_are_what_the_docstring_lists(program: Program, tmp_path: Path) -> None:
    save(program, tmp_path / "p.enclair")
    members = members_of(tmp_path / "p.enclair")
    labels = ["prologue", "fixed"] + [f"round{n}.{side}" for n in (1, 2, 3) for side in ("client", "server")]
    graph_members = {name for label in labels for name in (f"graphs/{label}.txt", f"constants/{label}.safetensors")}
    assert set(members) == {"manifest.json", "program.json", "parameters.json", "source.onnx", *graph_members}
    assert members["graphs/fixed.txt"].decode() == str(program.fixed)
    manifest = json.loads(members["manifest.json"])
    assert (manifest["format"], manifest["kind"]) == (3, "program")
    assert set(manifest["members"]) == set(members) - {"manifest.json"}


def test_index_tables_are_stored_small(tmp_path: Path) -> None:
    program = tiny_program()
    table = np.tile(np.arange(300), 400)
    save(replace(program, prologue=merged(program.prologue, constant_graph(table, 0))), tmp_path / "p.enclair")
    members = members_of(tmp_path / "p.enclair")
    assert len(members["constants/prologue.safetensors"]) < 2 * table.size + 1000
    assert (tmp_path / "p.enclair").stat().st_size < table.size


def test_failed_save_keeps_the_old_file(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.enclair"
    save(program, path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: No space left on device")):
        save(program, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_named(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "p.enclair"
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: folder {path.parent} does not exist: make it first")):
        save(program, path)


def test_facts_must_be_plain_data(program: Program, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"p.enclair: cannot be written as JSON: .*not JSON serializable"):
        save(replace(program, facts={"bits": {1, 2}}), tmp_path / "p.enclair")
    with pytest.raises(ArtifactError, match=r"cannot be written as JSON: Out of range float values"):
        save(replace(program, facts={"bound": float("inf")}), tmp_path / "p.enclair")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["two words", "x\u2028y"])
def test_graphs_that_cannot_be_read_back_are_not_written(name: str, program: Program, tmp_path: Path) -> None:
    odd = Value(name, TensorType((1,)))
    with pytest.raises(ArtifactError, match="graph fixed has no text that can be read back: line 2"):
        save(replace(program, fixed=Graph("odd", (odd,), (), (), (odd,))), tmp_path / "p.enclair")


def test_origins_with_line_breaks_are_not_written(program: Program, tmp_path: Path) -> None:
    nodes = (replace(program.fixed.nodes[0], origin="a\noutput %x"), *program.fixed.nodes[1:])
    with pytest.raises(ArtifactError, match="graph fixed is read back as another: a name or an origin"):
        save(replace(program, fixed=replace(program.fixed, nodes=nodes)), tmp_path / "p.enclair")


def test_insecure_parameters_are_loaded_and_flagged(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "p.enclair"
    insecure = replace(program, parameters=replace(program.parameters, security=INSECURE))
    save(insecure, path)
    with pytest.warns(
        InsecureArtifact, match=re.escape(f"{path}: its parameters are {INSECURE}: they protect nothing")
    ):
        assert load(path) == insecure
    save_client(insecure.for_client(), path)
    with pytest.warns(InsecureArtifact, match="they protect nothing"):
        assert load_client(path) == insecure.for_client()


def test_secure_parameters_raise_no_flag(program: Program, tmp_path: Path) -> None:
    save(program, tmp_path / "p.enclair")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path / "p.enclair")
