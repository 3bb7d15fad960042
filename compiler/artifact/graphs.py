"""A graph as two members: its text, and its constants as safetensors.

Integers are stored in the narrowest type that holds them all: index tables shrink to a quarter or an eighth before they
are compressed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from enclair.compiler.artifact.errors import ArtifactError, MalformedArtifact
from enclair.compiler.ir.errors import EnclairError, ParseError
from enclair.compiler.ir.graph import Array, Graph, Value
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.text import parse
from enclair.compiler.ir.types import TensorType
from enclair.compiler.ir.verify import verify

NARROW = (np.int8, np.int16, np.int32)
STORED = {"i": np.int64, "f": np.float64}
"""Kind of number -> how graphs hold it."""
_NONSENSE = (
    EnclairError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError, MemoryError,
)  # fmt: skip
"""What reading a text that no enclair printed may raise: ops check the fields they get by using them."""


def graph_names(label: str) -> tuple[str, str]:
    """The members of a graph: text and constants."""
    return f"graphs/{label}.txt", f"constants/{label}.safetensors"


def write_graph(label: str, graph: Graph) -> dict[str, bytes]:
    """The two members of a graph.

    Raises:
        ArtifactError: the graph's text would not be read back as the same graph.
    """
    text = str(graph)
    _check_readable(label, graph, text)
    names = graph_names(label)
    tensors = {value.name: _narrowed(graph.arrays[value.name]) for value in graph.constants}
    return {names[0]: text.encode(), names[1]: save_tensors(tensors)}


def read_graph(label: str, members: Mapping[str, bytes], stage: Stage) -> Graph:
    """The graph in two members, verified.

    Raises:
        MalformedArtifact: the text does not parse, constants are missing or of another type, or the graph breaks its
            rules.
    """
    text_name, constants_name = graph_names(label)
    arrays = _arrays(constants_name, members[constants_name])
    with _as_malformed(f"{text_name} does not parse"):
        graph = parse(members[text_name].decode(), arrays)
    _check_constants(constants_name, graph, arrays)
    with _as_malformed(f"{text_name} is not a graph of {stage.value}"):
        verify(graph, stage)
    return graph


def _check_readable(label: str, graph: Graph, text: str) -> None:
    try:
        read = parse(text, graph.arrays)
    except ParseError as error:
        raise ArtifactError(f"graph {label} has no text that can be read back: {error}") from error
    if (read.inputs, read.constants, read.nodes, read.outputs) != (
        graph.inputs, graph.constants, graph.nodes, graph.outputs
    ):  # fmt: skip
        raise ArtifactError(f"graph {label} is read back as another: a name or an origin in it has a line break")


def _narrowed(array: Array) -> Array:
    """The same numbers in the narrowest integer type; reals as they are."""
    if array.dtype.kind != "i":
        return array
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    fitting = (type_ for type_ in NARROW if np.iinfo(type_).min <= low and high <= np.iinfo(type_).max)
    return array.astype(next(fitting, np.int64))


def _arrays(name: str, data: bytes) -> dict[str, Array]:
    with _as_malformed(f"{name} is not a file of safetensors"):
        tensors = load_tensors(data)
    for key, array in tensors.items():
        if array.dtype.kind not in STORED:
            raise MalformedArtifact(f"{name}: constant {key!r} must be of integers or float64, got {array.dtype}")
    return {key: _widened(array) for key, array in tensors.items()}


def _widened(array: Array) -> Array:
    """As computed with; what is so already is not copied: constants may take gigabytes."""
    wide = np.asarray(array, dtype=STORED[array.dtype.kind], order="C").view()
    wide.setflags(write=False)
    return wide


def _check_constants(name: str, graph: Graph, arrays: Mapping[str, Array]) -> None:
    for value in graph.constants:
        found = arrays[value.name]
        kind, shape = _stored_type(value)
        if (found.dtype.kind, found.shape) != (kind, shape):
            raise MalformedArtifact(
                f"{name}: constant {value.name!r} of type {value.type} must be {STORED[kind].__name__} of shape"
                f" {shape}, got {found.dtype} of shape {found.shape}"
            )
    if unknown := sorted(arrays.keys() - {value.name for value in graph.constants}):
        raise MalformedArtifact(f"{name}: constant {unknown[0]!r} is not in the graph")


def _stored_type(value: Value) -> tuple[str, tuple[int, ...]]:
    """Kind of number and shape."""
    type_ = value.type
    if not isinstance(type_, TensorType):
        raise MalformedArtifact(f"constant {value.name!r} must be a tensor, got {type_}")
    return "i" if type_.is_fixed else "f", type_.shape


@contextmanager
def _as_malformed(what: str) -> Iterator[None]:
    try:
        yield
    except MalformedArtifact:
        raise
    except (*_NONSENSE, SafetensorError) as error:
        raise MalformedArtifact(f"{what}: {error}") from error
