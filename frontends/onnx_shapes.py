"""Give every input of an ONNX model a fixed shape; those of all other values follow from the type rules of the ops."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from enclair.frontends.errors import ModelShapeError

FLOATS = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.BFLOAT16: "bfloat16",
}
"""The types that values of the graph may have: all become reals."""


def inputs_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs a caller gives: those that are not initialisers."""
    own = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in own]


def with_shapes(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """The model with fixed input shapes.

    Args:
        model: a checked model; it is not changed.
        shapes: input name -> shape, for the inputs whose dimensions are open.

    Raises:
        ModelShapeError: an input's type or shape does not fit, or stays open.
    """
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    names = [value.name for value in inputs_of(bound)]
    if unknown := [name for name in shapes if name not in names]:
        raise ModelShapeError(f"the model has no input {unknown[0]!r}: its inputs are {', '.join(names)}")
    for value in inputs_of(bound):
        _check_type(value)
        _bind(value, shapes.get(value.name))
    return bound


def static_shape(type_: onnx.TypeProto) -> tuple[int, ...] | None:
    """The shape of a tensor type, or None if any part of it is open."""
    if not type_.HasField("tensor_type") or not type_.tensor_type.HasField("shape"):
        return None
    extents = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in type_.tensor_type.shape.dim]
    return tuple(extents) if min(extents, default=0) >= 0 else None


def _check_type(value: onnx.ValueInfoProto) -> None:
    """Check that an input is a tensor of floats."""
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "no type"
        raise ModelShapeError(f"input {value.name!r} is a {kind}, a tensor is needed: pass its tensors one by one")
    if value.type.tensor_type.elem_type not in FLOATS:
        name = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        raise ModelShapeError(
            f"input {value.name!r} has type {name}, encrypted inputs are real numbers: "
            "feed floats (for token ids, the embedded vectors), or make it a constant of the model"
        )


def _bind(value: onnx.ValueInfoProto, shape: tuple[int, ...] | None) -> None:
    """Fix the shape of one input."""
    dims = value.type.tensor_type.shape.dim
    if shape is not None and value.type.tensor_type.HasField("shape"):
        _check_fit(value.name, dims, shape)
    if shape is not None:
        del dims[:]
        for extent in shape:
            dims.add().dim_value = extent
    if not value.type.tensor_type.HasField("shape"):
        raise ModelShapeError(f"input {value.name!r} has no shape: give a sample input")
    for axis, dim in enumerate(dims):
        if dim.dim_value <= 0:
            raise ModelShapeError(
                f"dimension {axis} of input {value.name!r} is open ({dim.dim_param or 'no name'}), a program needs "
                "fixed shapes: give a sample input, or export the model with a fixed shape"
            )


def _check_fit(name: str, dims: list[onnx.TensorShapeProto.Dimension], shape: tuple[int, ...]) -> None:
    """Check a given shape against the dimensions that the model fixes."""
    declared = [str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims]
    fits = len(dims) == len(shape) and all(
        extent > 0 and (not dim.HasField("dim_value") or dim.dim_value == extent)
        for dim, extent in zip(dims, shape, strict=True)
    )
    if not fits:
        wanted, given = "x".join(declared), "x".join(map(str, shape))
        raise ModelShapeError(
            f"input {name!r} has shape {wanted} in the model, the sample has {given}: give one that fits"
        )
