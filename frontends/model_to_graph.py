"""From whatever the user has to a graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from enclair.compiler.ir.graph import Graph
from enclair.frontends.errors import ModelShapeError
from enclair.frontends.limits import Limits
from enclair.frontends.onnx_convert import convert
from enclair.frontends.onnx_load import load
from enclair.frontends.onnx_shapes import inputs_of
from enclair.frontends.torch_export import export, is_module


def to_graph(model: Any, sample_inputs: Any = None, limits: Limits | None = None) -> tuple[Graph, onnx.ModelProto]:
    """The graph of a model, and the ONNX model it came from.

    Args:
        model: a ``torch.nn.Module``, the path of an ``.onnx`` file, its bytes, or an ``onnx.ModelProto``.
        sample_inputs: one array, a sequence of arrays in the order of the inputs, or a mapping from their names. A
            module needs them; an ONNX model only where its dimensions are open: the shapes of the samples fix them.
        limits: caps on sizes.

    Raises:
        ModelFileError, ModelShapeError, UnsupportedModel, ExportError, MissingDependencyError: as their docstrings say.
    """
    loaded = to_onnx(model, sample_inputs, limits)
    return convert(loaded, sample_shapes(loaded, sample_inputs), limits), loaded


def to_onnx(model: Any, sample_inputs: Any = None, limits: Limits | None = None) -> onnx.ModelProto:
    """The checked ONNX model of whatever the user has; arguments and errors as ``to_graph``'s."""
    if is_module(model):
        if sample_inputs is None:
            raise ModelShapeError("a PyTorch module has no shapes of its own: give sample inputs")
        model = export(model, sample_inputs)
    elif not isinstance(model, str | Path | bytes | onnx.ModelProto):
        raise ModelShapeError(
            "a model is a torch.nn.Module, the path of an .onnx file, its bytes or an onnx.ModelProto, "
            f"got {type(model).__name__}: export it to ONNX"
        )
    return load(model, limits)


def sample_shapes(model: onnx.ModelProto, sample_inputs: Any) -> dict[str, tuple[int, ...]]:
    """Input name -> shape of its sample."""
    if sample_inputs is None:
        return {}
    names = [value.name for value in inputs_of(model)]
    if isinstance(sample_inputs, Mapping):
        return {str(name): tuple(np.shape(sample)) for name, sample in sample_inputs.items()}
    samples = sample_inputs if isinstance(sample_inputs, tuple | list) else (sample_inputs,)
    if len(samples) != len(names):
        raise ModelShapeError(
            f"the model has the inputs {', '.join(names)}, got {len(samples)} samples: give one for each"
        )
    return {name: tuple(np.shape(sample)) for name, sample in zip(names, samples, strict=True)}
