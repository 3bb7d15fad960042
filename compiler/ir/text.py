"""Text form of graphs. ``parse(print_graph(g), g.arrays) == g``.

graph denoise
input %x: real<1x1x8x8>
const %w: real<4x1x3x3>
%y: real<1x4x8x8> = Conv(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1) %x %w @server:1 # net.conv
output %y
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from enclair.compiler.ir.errors import ParseError
from enclair.compiler.ir.graph import Array, Graph, Node, Place, Value
from enclair.compiler.ir.ops.base import OPS, STRUCTS, Op
from enclair.compiler.ir.types import parse_type

_TYPE = r"\w+<[^>]*>"
_DECLARATION = re.compile(rf"(input|const) %(\S+): ({_TYPE})")
_NODE = re.compile(rf"%(\S+): ({_TYPE}) = (\w+\(.*?\))((?: %\S+)*)(?: @(client|server):([0-9]{{1,9}}))?(?: # (.*))?")


def print_graph(graph: Graph) -> str:
    """One line a value; constants by name and type only (their arrays travel beside the text)."""
    return str(graph)


def parse(text: str, arrays: Mapping[str, Array]) -> Graph:
    """Read a graph back. ``arrays`` holds the constants by name.

    Raises:
        ParseError: names the line that is not a graph's.
    """
    name = ""
    inputs: list[Value] = []
    constants: list[Value] = []
    nodes: list[Node] = []
    outputs: list[Value] = []
    known: dict[str, Value] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        try:
            if line.startswith("graph "):
                name = line.removeprefix("graph ")
            elif match := _DECLARATION.fullmatch(line):
                value = Value(match[2], parse_type(match[3]))
                (inputs if match[1] == "input" else constants).append(value)
                known[value.name] = value
            elif line.startswith("output %"):
                outputs.append(known[line.removeprefix("output %")])
            elif match := _NODE.fullmatch(line):
                nodes.append(node := _node(match, known))
                known[node.out.name] = node.out
            else:
                raise ParseError("not a line of a graph")
        except (ParseError, KeyError) as error:
            what = f"value %{error.args[0]} is not defined before" if isinstance(error, KeyError) else error
            raise ParseError(f"line {number}: {what}: {line[:200]!r}") from None
    if missing := [value.name for value in constants if value.name not in arrays]:
        raise ParseError(f"no arrays given for the constants {', '.join(missing)}")
    own = {value.name: arrays[value.name] for value in constants}
    return Graph(name, tuple(inputs), tuple(constants), tuple(nodes), tuple(outputs), own)


def _node(match: re.Match[str], known: Mapping[str, Value]) -> Node:
    name, type_text, op_text, args_text, side, round_, origin = match.groups()
    args = tuple(known[arg.removeprefix("%")] for arg in args_text.split())
    place = Place("client" if side == "client" else "server", int(round_)) if side else None
    return Node(parse_op(op_text), args, Value(name, parse_type(type_text)), origin or "", place)


def parse_op(text: str) -> Op:
    """Read back the ``repr`` of an op."""
    try:
        built = _build(ast.parse(text, mode="eval").body, OPS)
    except (SyntaxError, TypeError, ValueError) as error:
        raise ParseError(f"not an op: {error}") from None
    if not isinstance(built, Op):
        raise ParseError(f"{text!r} is not an op")
    return built


def _build(expression: ast.expr, callables: Mapping[str, type[Any]]) -> Any:
    """Evaluate literals, tuples and calls of known dataclasses with keyword arguments. Nothing else."""
    if isinstance(expression, ast.Tuple):
        return tuple(_build(element, STRUCTS) for element in expression.elts)
    if not isinstance(expression, ast.Call):
        return _literal(expression)
    if not isinstance(expression.func, ast.Name) or expression.func.id not in callables or expression.args:
        raise ValueError(f"unknown op or field {ast.unparse(expression)[:80]!r}")
    fields = {str(keyword.arg): _build(keyword.value, STRUCTS) for keyword in expression.keywords}
    return callables[expression.func.id](**fields)


def _literal(expression: ast.expr) -> Any:
    if isinstance(expression, ast.Name) and expression.id in ("inf", "nan"):
        return float(expression.id)
    if isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.USub):
        return -_literal(expression.operand)
    return ast.literal_eval(expression)
