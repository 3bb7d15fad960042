"""Which constants are public: those that say nothing about what was learned.

They are named so by who makes them: the counts that averages divide by, and the numbers that a model's code has
written down (1/sqrt(d), 0.5). Every other constant is a weight and stays on the server, a single number too.
"""

from __future__ import annotations

from collections.abc import Iterable

from enclair.compiler.ir.graph import Array, Builder, Graph, Value

PREFIX = "public:"
"""Begins the names of public constants. No name that a model gives its weights has a colon once it is in a graph."""


def public_constant(graph: Builder, stem: str, array: Array) -> Value:
    """Add a constant that may be known to the client."""
    return graph.constant(f"{PREFIX}{stem}", array)


def derived_name(graph: Graph | Builder, sources: Iterable[Value], stem: str) -> str:
    """A name for a constant made from others, public if all of them are."""
    plain = stem.removeprefix(PREFIX)
    return PREFIX + plain if all(is_public(graph, source) for source in sources) else plain


def is_public(graph: Graph | Builder, value: Value) -> bool:
    """Whether a value is a constant that may be known to the client."""
    return value.name in graph.arrays and value.name.startswith(PREFIX)
