"""One ONNX node as a converter sees it: attributes, arguments, and where it comes from in the user's program."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeVar

import onnx
from numpy.typing import NDArray

from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Constant, Operand, shape_of

_FRAME = re.compile(r'File "([^"\n]*)", line (\d+)[^\n]*(?:\n    ([^\n]*))?')
_LIBRARY = re.compile(r"[/\\]torch[/\\]")
Default = TypeVar("Default", int, float, str)


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """A node with its arguments resolved; an absent optional argument is None."""

    proto: onnx.NodeProto
    args: tuple[Operand | None, ...]
    opset: int
    elements: int
    """How many elements a result may have."""

    @property
    def op_type(self) -> str:
        """The name of the ONNX op."""
        return self.proto.op_type

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes that are set."""
        return attributes_of(self.proto)

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))

    def real(self, name: str, default: float) -> float:
        """A float attribute, as stored: the nearest float64 of its float32."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute of integers, or None."""
        values = self.attributes.get(name)
        return None if values is None else tuple(map(int, values))

    def check_size(self, shape: Iterable[int]) -> None:
        """Refuse a result of more elements than are allowed."""
        if (size := math.prod(shape)) > self.elements:
            raise UnsupportedNodeError(
                f"a result of {size} elements is over the limit of {self.elements}",
                "compile a smaller model, or raise Limits.elements",
            )

    def has(self, index: int) -> bool:
        """Whether the argument is there."""
        return index < len(self.args) and self.args[index] is not None

    def arg(self, index: int = 0) -> Operand:
        """An argument that must be there."""
        operand = self.args[index] if index < len(self.args) else None
        if operand is None:
            raise UnsupportedNodeError(f"argument {index} of {self.op_type} is missing", "export the model again")
        return operand

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """The shape of an argument."""
        return shape_of(self.arg(index))

    def rank(self, index: int = 0) -> int:
        """How many axes an argument has."""
        return len(self.shape(index))

    def array(self, index: int, what: str) -> NDArray[Any] | None:
        """The array of an optional argument that must be a constant; None if it is absent."""
        if not self.has(index):
            return None
        operand = self.args[index]
        if not isinstance(operand, Constant):
            raise UnsupportedNodeError(
                f"the {what} of {self.op_type} depend on the input", f"make the {what} constants of the model"
            )
        return operand.array

    def numbers(self, index: int, what: str) -> tuple[int, ...] | None:
        """The integers of an optional argument that must be a constant; None if it is absent."""
        array = self.array(index, what)
        if array is not None and array.dtype.kind not in "bui":
            raise UnsupportedNodeError(
                f"the {what} of {self.op_type} have type {array.dtype}", "export the model again"
            )
        return None if array is None else tuple(map(int, array.ravel().tolist()))

    def axis(self, default: int, index: int = 0) -> int:
        """The attribute ``axis``, counted from the front."""
        return normalise_axis(self.integer("axis", default), self.rank(index))


def normalise_axis(axis: int, rank: int) -> int:
    """Count an axis from the front."""
    if not -rank <= axis < rank:
        raise UnsupportedNodeError(f"axis {axis} of a tensor with {rank} axes", "export the model again")
    return axis % rank


def attributes_of(proto: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in proto.attribute}


def describe_attributes(proto: onnx.NodeProto) -> str:
    """The attributes of a node on one line."""
    texts = []
    for name, value in attributes_of(proto).items():
        shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if isinstance(shown, onnx.TensorProto | onnx.GraphProto):
            shown = f"<{type(shown).__name__.removesuffix('Proto').lower()} {shown.name}>"
        texts.append(f"{name}={str(shown)[:80]}")
    return " ".join(", ".join(texts).split())


def _metadata(proto: onnx.NodeProto) -> Mapping[str, str]:
    return {entry.key: entry.value for entry in proto.metadata_props}


def module_of(proto: onnx.NodeProto) -> str:
    """The path of the PyTorch module the node was exported from, or nothing."""
    try:
        scopes = ast.literal_eval(_metadata(proto).get("pkg.torch.onnx.name_scopes", "[]")[:10_000])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return str(scopes[-2]) if isinstance(scopes, list) and len(scopes) >= 2 else ""


def is_torch(path: str) -> bool:
    """Whether a Python file belongs to torch."""
    return _LIBRARY.search(path) is not None


def source_of(proto: onnx.NodeProto) -> tuple[str, int, str]:
    """File, line and text of the innermost Python line outside of torch, or empty."""
    frames = _FRAME.findall(_metadata(proto).get("pkg.torch.onnx.stack_trace", ""))
    own = [frame for frame in frames if not is_torch(frame[0])] or frames
    return (own[-1][0], int(own[-1][1][:9]), own[-1][2].strip()) if own else ("", 0, "")


def describe_source(proto: onnx.NodeProto) -> str:
    """``path/net.py:12: y = self.conv(x)``, or nothing."""
    path, line, text = source_of(proto)
    return " ".join(f"{path}:{line}: {text}".split()) if path else ""


def origin_of(proto: onnx.NodeProto) -> str:
    """``module.path (net.py:12)``, fit for the text form of graphs; the node's name if nothing is known."""
    path, line, _ = source_of(proto)
    where = f"({PurePath(path.replace(chr(92), '/')).name}:{line})" if path else ""
    parts = [part for part in (module_of(proto), where) if part] or [proto.name]
    return " ".join(" ".join(parts).replace("#", "").split())
