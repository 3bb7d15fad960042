"""Graphs as data: building, rewriting, pruning, renaming, merging, drawing."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.graph import Builder, Graph, Node, Rewriter, Value, prune, rewrite
from enclair.compiler.ir.ops.activations import Relu, Tanh
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.rename import merge, rename
from enclair.compiler.ir.types import TensorType

PAIR = TensorType((2,))


def skip() -> Graph:
    """tanh(relu(x) + w) + relu(x)"""
    builder = Builder("skip")
    x, w = builder.input("x", PAIR), builder.constant("w", np.array([1.0, 2.0]))
    y = builder.add(Relu(), x, name="y")
    z = builder.add(Tanh(), builder.add(Add(), y, w, name="sum"), name="z")
    return builder.build([builder.add(Add(), z, y, name="out")])


def test_fresh_names_are_neither_taken_nor_reserved() -> None:
    builder = Builder("net", reserved=["relu.1", "w"])
    x = builder.input("x", PAIR)
    assert [builder.add(Relu(), x).name for _ in range(3)] == ["relu", "relu.2", "relu.3"]
    assert builder.constant("w", np.ones(1)).name == "w.1"
    assert builder.add(Relu(), x, name="w").name == "w"


@pytest.mark.parametrize("name", ["a b", "", "a\n", "\u2028"])
def test_a_name_with_white_space_is_refused(name: str) -> None:
    with pytest.raises(TypeRuleError, match="is empty or has white space"):
        Builder("net").input(name, PAIR)


def test_a_name_is_used_once() -> None:
    builder = Builder("net")
    builder.input("x", PAIR)
    with pytest.raises(TypeRuleError, match="value name 'x' is used twice"):
        builder.add(Relu(), builder.constant("w", np.ones(2)), name="x")


def test_a_type_error_says_where() -> None:
    builder = Builder("net")
    x, y = builder.input("x", PAIR), builder.input("y", TensorType((3,)))
    with pytest.raises(
        TypeRuleError, match=r"cannot broadcast shapes 2 and 3.*\n  in Add\(\) %x %y\n  at model.py, line 3"
    ):
        builder.add(Add(), x, y, origin="model.py, line 3")


def test_constants_are_frozen_copies() -> None:
    builder, array = Builder("net"), np.ones(2)
    w = builder.constant("w", array)
    array[0] = 7
    assert builder.arrays[w.name].tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        builder.arrays[w.name][0] = 7
    assert builder.constant("n", np.ones(2), 3).type == TensorType((2,), 3)
    assert builder.arrays["n"].dtype == np.int64


def test_building_drops_what_no_output_needs() -> None:
    builder = Builder("net")
    x, unused = builder.input("x", PAIR), builder.constant("unused", np.ones(2))
    builder.add(Add(), x, unused)
    graph = builder.build([builder.add(Relu(), x)])
    assert (len(graph.nodes), graph.constants, dict(graph.arrays)) == (1, (), {})
    assert graph.inputs == (x,)
    assert prune(graph) == graph


def test_equality_and_digest_see_names_types_and_constants() -> None:
    graph = skip()
    assert graph == skip()
    assert hash(graph) == hash(skip())
    assert graph.digest() == skip().digest()
    for other in (replace(graph, name="other"), replace(graph, arrays={"w": np.array([1.0, 3.0])})):
        assert other != graph
        assert other.digest() != graph.digest()
    assert graph != replace(graph, arrays={"w": np.array([1, 2])})
    assert graph != "skip"


def test_producers_consumers_and_constants() -> None:
    graph = skip()
    assert set(graph.producers()) == {"y", "sum", "z", "out"}
    readers = {name: [node.out.name for node in nodes] for name, nodes in graph.consumers().items()}
    assert readers == {"x": ["y"], "w": ["sum"], "y": ["sum", "out"], "sum": ["z"], "z": ["out"], "out": []}
    assert graph.is_constant(graph.constants[0])
    assert not graph.is_constant(graph.inputs[0])


def test_a_value_read_twice_by_a_node_is_read_by_it_once() -> None:
    builder = Builder("net")
    x = builder.input("x", PAIR)
    graph = builder.build([builder.add(Add(), x, x)])
    assert len(graph.consumers()["x"]) == 1


def test_networkx_has_types_ops_and_uses() -> None:
    drawn = skip().to_networkx()
    assert nx.is_directed_acyclic_graph(drawn)
    assert set(drawn.edges) == {("x", "y"), ("y", "sum"), ("w", "sum"), ("sum", "z"), ("z", "out"), ("y", "out")}
    assert drawn.nodes["x"] == {"type": PAIR}
    assert drawn.nodes["z"]["op"] == "Tanh"
    assert drawn.nodes["z"]["node"].out.name == "z"
    assert nx.shortest_path(drawn, "x", "out") == ["x", "y", "out"]


def test_rewriting_replaces_some_nodes() -> None:
    def smooth(graph: Rewriter, node: Node, args: tuple[Value, ...]) -> Value | None:
        return graph.add(Tanh(), *args) if isinstance(node.op, Relu) else None

    after = rewrite(skip(), smooth)
    assert [type(node.op).__name__ for node in after.nodes] == ["Tanh", "Add", "Tanh", "Add"]
    assert after.nodes[0].out.name == "tanh"
    assert [value.name for value in after.outputs] == ["out"]
    assert rewrite(skip(), lambda *_: None) == skip()


def test_a_rewriter_keeps_off_the_names_of_the_old_graph() -> None:
    rewriter = Rewriter(skip())
    assert [rewriter.fresh(name) for name in ("x", "z", "w", "v")] == ["x.1", "z.1", "w.1", "v"]


def test_renaming_changes_every_name() -> None:
    graph = rename(skip(), lambda name: f"a.{name}")
    assert {value.name for value in graph.values()} == {f"a.{name}" for name in ("x", "w", "y", "sum", "z", "out")}
    assert set(graph.arrays) == {"a.w"}
    assert rename(graph, lambda name: name.removeprefix("a.")) == skip()


def test_merging_shares_inputs_of_one_name() -> None:
    graph = skip()
    other = rename(graph, lambda name: name if name == "x" else f"b.{name}")
    both = merge("both", [graph, other])
    assert [value.name for value in both.inputs] == ["x"]
    found = run(both, {"x": np.array([1.0, -1.0])})
    np.testing.assert_array_equal(found["out"], found["b.out"])
