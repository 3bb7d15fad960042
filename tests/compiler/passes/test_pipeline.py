"""Passes in order: verified, dumped, and named when they break something."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from tests.models import convolutions
from tests.strategies import samples_of

from enclair import compiler
from enclair.compiler import SplitOptions
from enclair.compiler.ir.errors import VerifyError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.text import parse
from enclair.compiler.passes.fold_constants import FoldConstants
from enclair.compiler.passes.pipeline import dump, run_passes
from enclair.compiler.passes.place_ops import PlaceOps


@dataclass(frozen=True, slots=True)
class DropFirst:
    """A pass with a bug: it forgets the first node."""

    produces: ClassVar[Stage] = Stage.TENSOR

    def __call__(self, graph: Graph) -> Graph:
        return replace(graph, nodes=graph.nodes[1:])


def test_a_pass_that_breaks_a_graph_is_named_with_those_before_it() -> None:
    with pytest.raises(VerifyError) as caught:
        run_passes(convolutions(2), [FoldConstants(), DropFirst()])
    assert str(caught.value).startswith(
        "pass DropFirst, after FoldConstants broke the graph; this is a bug in enclair: %conv used before it is defined"
    )


def test_the_stage_a_pass_produces_is_checked() -> None:
    class Unplaced(DropFirst):
        produces: ClassVar[Stage] = Stage.PLACED

        def __call__(self, graph: Graph) -> Graph:
            return graph

    with pytest.raises(VerifyError, match=r"pass Unplaced broke the graph.*has no place: run PlaceOps first"):
        run_passes(convolutions(1), [Unplaced()])


def test_nothing_is_dumped_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENCLAIR_DUMP", raising=False)
    monkeypatch.chdir(tmp_path)
    run_passes(convolutions(1), [FoldConstants(), PlaceOps()])
    assert list(tmp_path.iterdir()) == []


def test_each_pass_is_dumped_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new" / "dumps"
    monkeypatch.setenv("ENCLAIR_DUMP", str(folder))
    placed = run_passes(convolutions(1), [FoldConstants(), PlaceOps()])
    assert [path.name for path in sorted(folder.iterdir())] == ["01-FoldConstants.txt", "02-PlaceOps.txt"]
    assert parse((folder / "02-PlaceOps.txt").read_text(), placed.arrays) == placed


def test_a_compilation_is_dumped_from_the_first_pass_to_the_last_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCLAIR_DUMP", str(tmp_path))
    graph = convolutions(2, activation=Relu())
    compiler.compile(graph, samples_of(graph), options=SplitOptions(activation_bits=6, weight_bits=6))
    names = [path.name.partition("-")[2].removesuffix(".txt") for path in sorted(tmp_path.iterdir())]
    assert names[0] == "FoldConstants"
    assert names[-5:] == ["fixed", "server1", "client1", "server2", "client2"]


def test_dumps_go_on_counting_after_a_hundred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCLAIR_DUMP", str(tmp_path))
    (tmp_path / "99-last.txt").write_text("")
    (tmp_path / "notes.txt").write_text("")
    for label in ("a", "b"):
        dump(label, convolutions(1))
    assert {path.name for path in tmp_path.glob("1*")} == {"100-a.txt", "101-b.txt"}
