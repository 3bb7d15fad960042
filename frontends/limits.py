"""How large an untrusted model may be."""

from __future__ import annotations

from dataclasses import dataclass

OPSETS = (11, 22)
"""The first and the last version of ONNX's own operator set that the converters know."""

IR_VERSIONS = (4, 14)
"""The first and the last version of the ONNX file format that is read."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on what a model file may hold and on what folding its constants may produce."""

    file_bytes: int = 2**31 - 1
    external_bytes: int = 2**31 - 1
    tensors: int = 100_000
    nodes: int = 100_000
    elements: int = 2**28
    """Elements of one tensor of the model, or of one value of the graph."""

    folded_elements: int = 2**29
    """Elements of all constants that folding computes, together."""
