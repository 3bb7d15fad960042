"""What can be wrong with the user's model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enclair.compiler.ir.errors import EnclairError


class ModelFileError(EnclairError):
    """An ONNX file that cannot be read, is not valid, or reaches beyond its folder or the size limits."""


class ModelShapeError(EnclairError):
    """An input of the model whose shape or type is open, or does not fit the sample inputs."""


class MissingDependencyError(EnclairError):
    """A package of an extra is needed and not installed."""


class ExportError(EnclairError):
    """A PyTorch module that torch cannot export to ONNX."""


class UnsupportedNodeError(EnclairError):
    """One node has no conversion: ``reason`` says why, ``rewrite`` what to do. Converters raise it."""

    def __init__(self, reason: str, rewrite: str) -> None:
        super().__init__(f"{reason}: {rewrite}")
        self.reason = reason
        self.rewrite = rewrite


@dataclass(frozen=True, slots=True)
class UnsupportedNode:
    """A node without a conversion, where it comes from, and the nearest rewrite."""

    name: str
    op_type: str
    attributes: str
    module: str
    source: str
    reason: str
    rewrite: str

    def __str__(self) -> str:
        lines = [f"{self.name or '(no name)'}: {self.op_type}({self.attributes})"]
        lines += [f"    in module {self.module}"] * bool(self.module)
        lines += [f"    at {self.source}"] * bool(self.source)
        return "\n".join([*lines, f"    why: {self.reason}", f"    instead: {self.rewrite}"])


class UnsupportedModel(EnclairError):
    """A model with nodes that have no conversion: all of them in one message."""

    def __init__(self, nodes: Sequence[UnsupportedNode]) -> None:
        many = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
        listing = "\n".join(f"{number}. {node}" for number, node in enumerate(nodes, 1))
        super().__init__(f"the model has {many} that enclair cannot convert\n{listing}")
        self.nodes = tuple(nodes)
