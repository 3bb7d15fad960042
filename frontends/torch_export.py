"""Export an unmodified PyTorch module to ONNX. torch is imported only when something is exported."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from enclair.frontends.errors import ExportError, MissingDependencyError, ModelShapeError
from enclair.frontends.onnx_node import is_torch

if TYPE_CHECKING:
    import torch

OPSET = 20
"""The opset that is exported."""


def is_module(model: object) -> bool:
    """Whether the object is a ``torch.nn.Module``; does not import torch."""
    torch_module = sys.modules.get("torch")
    return torch_module is not None and isinstance(model, torch_module.nn.Module)


def export(module: torch.nn.Module, sample_inputs: object) -> onnx.ModelProto:
    """Export a module in evaluation mode, without gradients. The module is left as it was.

    Args:
        module: any module that ``torch.export`` can trace.
        sample_inputs: one array, a sequence of arrays in the order of ``forward``'s parameters, or a mapping from their
            names. The shapes of the samples become those of the model.

    Raises:
        MissingDependencyError: torch or onnxscript is not installed.
        ModelShapeError: the samples do not fit ``forward``.
        ExportError: torch cannot trace the module, or has no ONNX form of an operator.
    """
    torch_module = _import("torch")
    _import("onnxscript")
    names = forward_names(module, sample_inputs)
    args = _tensors(torch_module, module, names, sample_inputs)
    try:
        with _evaluating(module), torch_module.no_grad(), _quiet():
            program = torch_module.onnx.export(
                module, args, input_names=names, dynamo=True, external_data=False, opset_version=OPSET, verbose=False
            )
    except torch_module.onnx.OnnxExporterError as error:
        raise _explained(module, error) from error
    model: onnx.ModelProto = program.model_proto
    return model


def _explained(module: torch.nn.Module, error: BaseException) -> ExportError:
    """The first cause of the exporter's error, with the user's line where its traceback has one."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    frames = [frame for frame in traceback.extract_tb(cause.__traceback__) if frame.name == "forward"]
    own = [frame for frame in frames if not is_torch(frame.filename)]
    where = f"\n  at {own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""
    reason = str(cause).strip().partition("\n")[0]
    return ExportError(
        f"torch cannot export {type(module).__name__}: {reason}{where}\n"
        "make the control flow independent of the data, check the samples, or write the operator with simpler ones"
    )


def forward_names(module: torch.nn.Module, sample_inputs: object) -> list[str]:
    """The names of ``forward``'s parameters that get a sample, in order.

    Raises:
        ModelShapeError: a sample has no parameter, or a parameter without default no sample.
    """
    parameters = list(inspect.signature(module.forward).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = [p.name for p in positional]
    if isinstance(sample_inputs, Mapping):
        given = [name for name in known if name in sample_inputs]
        unknown = [str(name) for name in sample_inputs if name not in known]
    else:
        count = len(_as_sequence(sample_inputs))
        given, unknown = known[:count], [f"number {count}"] * (count > len(known))
    missing = [p.name for p in positional if p.default is p.empty and p.name not in given]
    if unknown or missing or given != known[: len(given)]:
        raise ModelShapeError(
            f"forward takes ({', '.join(known)}), the samples lack {', '.join(missing) or 'none'} "
            f"and have {', '.join(unknown) or 'none'} beyond: give one sample for each parameter"
        )
    return given


def _as_sequence(sample_inputs: object) -> Sequence[Any]:
    """One sample or several as a sequence."""
    return list(sample_inputs) if isinstance(sample_inputs, tuple | list) else [sample_inputs]


def _tensors(
    torch_module: Any, module: torch.nn.Module, names: Sequence[str], sample_inputs: object
) -> tuple[torch.Tensor, ...]:
    """The samples as tensors of the module's type, on its device."""
    samples = (
        [sample_inputs[name] for name in names] if isinstance(sample_inputs, Mapping) else _as_sequence(sample_inputs)
    )
    like = next((p for p in module.parameters() if p.is_floating_point()), torch_module.zeros(0))
    return tuple(
        torch_module.as_tensor(np.ascontiguousarray(sample) if isinstance(sample, np.ndarray) else sample).to(like)
        for sample in samples
    )


def _import(name: str) -> Any:
    """A package of the extra."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingDependencyError(
            f"exporting a PyTorch module needs {name}, which is not installed: pip install enclair[torch], "
            "or give the path of an .onnx file"
        ) from None


@contextlib.contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode; afterwards every submodule is in the mode it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No output, warnings or log messages of the exporter."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
