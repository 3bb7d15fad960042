"""Text of graphs: prints, parses back, and says which line is not a graph's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ir.errors import ParseError
from enclair.compiler.ir.graph import Builder, Graph, Node, Place, Value
from enclair.compiler.ir.layouts import Axes, MaskedCopies, Tiles, Viewed
from enclair.compiler.ir.ops.activations import Clip, LeakyRelu, Relu
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.packed import Pack
from enclair.compiler.ir.ops.pooling import AveragePool
from enclair.compiler.ir.text import parse, parse_op, print_graph
from enclair.compiler.ir.types import CipherType, SlotsType, TensorType, Type, parse_type

TEXT = """\
graph net
input %x: real<1x1x4x4>
const %w: real<2x1x3x3>
%y: real<1x2x2x2> = Conv(strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), groups=1) %x %w @server:1 # net.py, line 7
%z: real<1x2x2x2> = Relu() %y @client:1
output %z
"""
ARRAYS = {"w": np.ones((2, 1, 3, 3))}
TILES = Tiles((1, 1, 2, 2), Axes(0, 1, 2, 3), (1, 1), (2, 2), (-1, 0), (2, 2), 4)

# What a user's names may hold: anything but white space.
visible = st.characters(exclude_categories=("Cs", "Zs", "Zl", "Zp", "Cc"))
names = st.text(visible, min_size=1).filter(lambda name: name.split() == [name])


def test_text_reads_as_documented() -> None:
    graph = parse(TEXT, ARRAYS)
    assert print_graph(graph) == TEXT
    assert graph.nodes[0].place == Place("server", 1)
    assert graph.nodes[0].origin == "net.py, line 7"
    assert graph.nodes[1].place == Place("client", 1)


@given(name=names, other=names, origin=st.text())
def test_any_name_and_origin_parse_back(name: str, other: str, origin: str) -> None:
    builder = Builder("net")
    x = builder.input(name, TensorType((2,)))
    w = builder.constant(other, np.ones(2))
    graph = builder.build([builder.add(Relu(), builder.add(Relu(), w, origin=origin), origin=origin), x])
    assert parse(str(graph), graph.arrays) == graph


@pytest.mark.parametrize(
    "op",
    [
        Clip(-np.inf, 6.0),
        Clip(-1e-300, float("inf"), scale_bits=-3),
        LeakyRelu(0.1),
        AveragePool((2,), (1,), (0, 0), count_include_pad=False),
        Pack(TILES),
        Pack(Viewed(MaskedCopies(TILES, ((0, 0, 1, 0, 1), (1, 0, 1, 0, 1))), (4,))),
    ],
    ids=str,
)
def test_an_op_parses_back(op: Op) -> None:
    assert parse_op(repr(op)) == op


@pytest.mark.parametrize(
    "type_",
    [
        TensorType(()),
        TensorType((), 3),
        TensorType((1, 2)),
        TensorType((4,), -2),
        SlotsType(3, 8, 5),
        CipherType(0, 16, -1),
    ],
    ids=str,
)
def test_a_type_parses_back(type_: Type) -> None:
    assert parse_type(str(type_)) == type_


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "line 6: not a line of a graph: ''"),
        ("output z", "line 6: not a line of a graph: 'output z'"),
        ("output %q", "line 6: value %q is not defined before: 'output %q'"),
        ("%v: real<2> = Relu() %q", "line 6: value %q is not defined before"),
        ("%v: real<2x> = Relu() %y", "line 6: a type looks like"),
        ("%v: real<2, 2^-3> = Relu() %y", "line 6: type 'real<2, 2\\^-3>' has the wrong number of parts for real"),
        ("%v: slots<2, 2^-3> = Relu() %y", "line 6: type 'slots<2, 2\\^-3>' has the wrong number of parts for slots"),
        ("%v: wood<2> = Relu() %y", "line 6: a type looks like real<1x3x8x8> or fixed<4, 2\\^-12>, got 'wood<2>'"),
        ("%v: real<2> = Launch() %y", "line 6: not an op: unknown op or field 'Launch\\(\\)'"),
        ("%v: real<2> = Relu(3) %y", "line 6: not an op: unknown op or field 'Relu\\(3\\)'"),
        ("%v: real<2> = Relu(alpha=3) %y", "line 6: not an op: .* unexpected keyword argument 'alpha'"),
        ("%v: real<2> = Clip(low=open) %y", "line 6: not an op: malformed node"),
        ("%v: real<2> = Clip(low=(, high=2) %y", "line 6: not an op: .*"),
        ("%v: real<2> = Clip(low=exec('1'), high=2) %y", "line 6: not an op: unknown op or field"),
        ("%v: real<2> = Relu() %y @server:x", "line 6: not a line of a graph"),
        ("%v: real<2> = Relu() %y @cloud:1", "line 6: not a line of a graph"),
        (f"%v: real<2> = Relu() %y @server:{9**99}", "line 6: not a line of a graph"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse(TEXT.replace("output %z", line), ARRAYS)


def test_missing_constants_are_named() -> None:
    with pytest.raises(ParseError, match="no arrays given for the constants w"):
        parse(TEXT, {})


@pytest.mark.parametrize("text", ["Tiles(shape=())", "3", "(1, 2)"])
def test_what_is_no_op_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="op"):
        parse_op(text)


@pytest.mark.parametrize("extents", ["2x", "x2", "2xx3", "-1", "9" * 5000])
def test_malformed_extents_are_refused(extents: str) -> None:
    with pytest.raises(ParseError, match="a type looks like"):
        parse_type(f"real<{extents}>")


def test_a_graph_without_a_name_parses_back() -> None:
    x = Value("x", TensorType((1,)))
    graph = Graph("", (x,), (), (Node(Relu(), (x,), Value("y", x.type)),), (x,))
    assert parse(str(graph), {}) == graph
