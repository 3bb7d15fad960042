"""External data of an ONNX model: which tensors have it, and that it stays inside the model's folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from onnx.external_data_helper import load_external_data_for_tensor

from enclair.frontends.errors import ModelFileError
from enclair.frontends.limits import Limits


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph: initialisers, attributes, and those of nested graphs."""
    yield from graph.initializer
    for node in graph.node:
        yield from _tensors_of_attributes(node)


def tensors_of_model(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model, those in local functions included."""
    yield from tensors_of(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_of_attributes(node)


def _tensors_of_attributes(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            yield attribute.t
        yield from attribute.tensors
        for graph in [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs:
            yield from tensors_of(graph)


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor's values are in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL


def load_external_data(model: onnx.ModelProto, folder: Path, limits: Limits) -> None:
    """Read all external data into the model, in place.

    Raises:
        ModelFileError: a location outside of ``folder``, a missing or too short file, or too much data.
    """
    total = 0
    for tensor in filter(is_external, tensors_of_model(model)):
        total += _checked_length(tensor, folder)
        if total > limits.external_bytes:
            raise ModelFileError(
                f"the external data of the model have more than {limits.external_bytes} bytes: "
                "compile a smaller model, or raise Limits.external_bytes"
            )
        load_external_data_for_tensor(tensor, str(folder))
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _checked_length(tensor: onnx.TensorProto, folder: Path) -> int:
    """How many bytes the tensor's shape needs, once its file is known to hold them."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _inside(folder, entries.get("location", ""), tensor.name)
    needed = _byte_count(tensor)
    offset = _natural(entries.get("offset", "0"), "offset", tensor.name)
    length = _natural(entries.get("length", str(needed)), "length", tensor.name)
    if length != needed:
        raise ModelFileError(
            f"tensor {tensor.name!r} needs {needed} bytes for its shape, its external data say {length}"
        )
    if offset + length > (size := path.stat().st_size):
        raise ModelFileError(
            f"tensor {tensor.name!r} needs bytes {offset} to {offset + length} of {path.name!r}, which has {size}: "
            "the file is cut short, copy it again"
        )
    return needed


def _byte_count(tensor: onnx.TensorProto) -> int:
    """Bytes of the raw data that the tensor's shape and type ask for."""
    if tensor.data_type not in onnx.TensorProto.DataType.values() or min(tensor.dims, default=0) < 0:
        raise ModelFileError(f"tensor {tensor.name!r} has no valid type or shape: export the model again")
    itemsize = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    return int(math.prod(tensor.dims)) * itemsize


def _natural(text: str, what: str, tensor: str) -> int:
    """A non-negative decimal number."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ModelFileError(f"tensor {tensor!r} has {what} {text!r} in its external data, a number of bytes is needed")
    return int(text)


def _inside(folder: Path, location: str, tensor: str) -> Path:
    """The file of external data, once it is known to be a regular file below the model's folder."""
    where = f"tensor {tensor!r} has its data in {location!r}"
    remedy = "external data must be a file inside the model's folder, named by a relative path without '..'"
    parts = (PurePosixPath(location), PureWindowsPath(location))
    if (
        not location
        or "\0" in location
        or any(path.is_absolute() or path.drive or ".." in path.parts for path in parts)
    ):
        raise ModelFileError(f"{where}: {remedy}")
    path = (folder / location).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ModelFileError(f"{where}, a link that leads out of it: {remedy}")
    if not path.is_file():
        raise ModelFileError(f"{where}, which is not a file in {folder}: put it beside the model")
    return path
