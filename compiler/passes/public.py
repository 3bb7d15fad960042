"""Which constants are public: those that say nothing about what was learned.

Single numbers (1/sqrt(d), 0.5 in a GELU) and the counts that averages divide by. Every other constant is a weight and
stays on the server.
"""

from __future__ import annotations

from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.types import TensorType

PREFIX = "public."


def public_constant(graph: Builder, stem: str, array: Array) -> Value:
    """Add a constant that may be known to the client."""
    return graph.constant(f"{PREFIX}{stem}", array)


def same_secrecy(graph: Graph | Builder, source: Value, stem: str) -> str:
    """A name for a constant made from another, public if that one is."""
    plain = stem.removeprefix(PREFIX)
    return PREFIX + plain if is_public(graph, source) else plain


def is_public(graph: Graph | Builder, value: Value) -> bool:
    """Whether a value is a constant that may be known to the client."""
    single = isinstance(value.type, TensorType) and value.type.size == 1
    return value.name in graph.arrays and (single or value.name.startswith(PREFIX))
