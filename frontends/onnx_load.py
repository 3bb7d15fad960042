"""Read an ONNX model from an untrusted file."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import onnx.checker
import onnx.inliner
from google.protobuf.message import DecodeError

from enclair.frontends.errors import ModelFileError
from enclair.frontends.external_data import is_external, load_external_data, tensors_of_model
from enclair.frontends.limits import IR_VERSIONS, OPSETS, Limits


def load(source: str | Path | bytes | onnx.ModelProto, limits: Limits | None = None) -> onnx.ModelProto:
    """The checked model with all its data inside, local functions inlined. The source is not changed.

    Nothing in the file is executed: ONNX is protobuf, and pickled models are refused.

    Args:
        source: the path of an ``.onnx`` file, its bytes, or a model in memory.
        limits: caps on sizes.

    Raises:
        ModelFileError: says what is wrong with the file and what to do.
    """
    limits = limits or Limits()
    model, folder = _read(source, limits)
    _check_text(model)
    _check_versions(model)
    _check_sizes(model, limits)
    if folder is not None:
        load_external_data(model, folder, limits)
    _check_data_present(model)
    _check(model)
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _read(source: str | Path | bytes | onnx.ModelProto, limits: Limits) -> tuple[onnx.ModelProto, Path | None]:
    """The model as parsed, and the folder its external data may be in."""
    if isinstance(source, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(source)
        return copy, None
    if isinstance(source, bytes):
        return _parse(source, "the given bytes"), None
    path = Path(source)
    return _parse(_read_bytes(path, limits), str(path)), path.parent


def _read_bytes(path: Path, limits: Limits) -> bytes:
    """The content of a model file."""
    if path.suffix.lower() in (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin"):
        raise ModelFileError(
            f"{path} may hold pickled code, which is never loaded: export it to ONNX (torch.onnx.export)"
        )
    if path.suffix.lower() != ".onnx":
        raise ModelFileError(f"a model file ends in .onnx, got {path}: export the model to ONNX")
    if not path.is_file():
        raise ModelFileError(f"there is no file {path}: give the path of an .onnx file")
    if (size := path.stat().st_size) > limits.file_bytes:
        raise ModelFileError(
            f"{path} has {size} bytes, more than the limit of {limits.file_bytes}: "
            "compile a smaller model, or raise Limits.file_bytes"
        )
    return path.read_bytes()


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    """Bytes to a model."""
    remedy = "it is not an ONNX model, or it is cut short; copy or export it again"
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{name} cannot be parsed ({error}): {remedy}") from None
    if not model.graph.node and not model.graph.output:
        raise ModelFileError(f"{name} holds no graph: {remedy}")
    return model


def _check_text(model: onnx.ModelProto) -> None:
    """Check that all names are text: protobuf gives bytes for what is not UTF-8."""
    names: list[object] = [model.graph.name, *(tensor.name for tensor in tensors_of_model(model))]
    names += [value.name for value in (*model.graph.input, *model.graph.output, *model.graph.value_info)]
    for node in model.graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    if broken := [name for name in names if not isinstance(name, str)]:
        raise ModelFileError(f"the model has a name that is not UTF-8 text ({broken[0]!r}): export it again")


def _check_versions(model: onnx.ModelProto) -> None:
    """Check the file format and the operator set."""
    first, last = IR_VERSIONS
    if not first <= model.ir_version <= last:
        raise ModelFileError(
            f"the model has ONNX IR version {model.ir_version}, enclair reads {first} to {last}: export it again"
        )
    versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    first, last = OPSETS
    if len(versions) != 1 or not first <= versions[0] <= last:
        found = " and ".join(map(str, versions)) or "none"
        raise ModelFileError(
            f"the model has ONNX opset {found}, enclair reads {first} to {last}: "
            f"export it with opset_version={min(20, last)}, or convert it with onnx.version_converter"
        )


def _check_sizes(model: onnx.ModelProto, limits: Limits) -> None:
    """Check the numbers of nodes, tensors and elements."""
    if len(model.graph.node) > limits.nodes:
        raise ModelFileError(
            f"the model has {len(model.graph.node)} nodes, more than the limit of {limits.nodes}: "
            "compile a smaller model, or raise Limits.nodes"
        )
    for number, tensor in enumerate(tensors_of_model(model), 1):
        if number > limits.tensors:
            raise ModelFileError(
                f"the model has more than {limits.tensors} tensors: compile a smaller model, or raise Limits.tensors"
            )
        if (size := math.prod(tensor.dims)) > limits.elements:
            raise ModelFileError(
                f"tensor {tensor.name!r} has {size} elements, more than the limit of {limits.elements}: "
                "compile a smaller model, or raise Limits.elements"
            )


def _check_data_present(model: onnx.ModelProto) -> None:
    """Check that no data are left outside of the model."""
    if outside := [tensor.name for tensor in tensors_of_model(model) if is_external(tensor)]:
        raise ModelFileError(
            f"tensor {outside[0]!r} has its data in another file, but the model was not given as a path: "
            "give the path of the .onnx file, with its data file beside it"
        )
    if model.graph.sparse_initializer:
        raise ModelFileError("the model has sparse initialisers: store its weights as dense tensors")


def _check(model: onnx.ModelProto) -> None:
    """Run ONNX's own checker."""
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:600]
        raise ModelFileError(f"the model is not valid ONNX ({text}): export it again") from None
