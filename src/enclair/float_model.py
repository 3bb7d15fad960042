"""The ``float`` execution: onnxruntime on the original model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from enclair.compiler.ir.errors import EnclairError
from enclair.frontends.onnx_shapes import inputs_of

NUMPY_TYPES: dict[str, type[np.floating[Any]]] = {"FLOAT": np.float32, "FLOAT16": np.float16, "DOUBLE": np.float64}
"""Types of inputs that onnxruntime takes from numpy."""


class FloatModelError(EnclairError):
    """The float model cannot be run, or its result is not finite."""


class FloatModel:
    """Runs a model in floating point, on one thread: its sums are the same every time.

    Args:
        source: the ONNX model.
        observed: names of intermediate values to return beside the outputs; those the model does not have are ignored.

    Raises:
        FloatModelError: onnxruntime refuses the model.
    """

    def __init__(self, source: bytes, observed: Sequence[str] = ()) -> None:
        model = onnx.load_model_from_string(source)
        self._types = {value.name: _numpy_type(value) for value in inputs_of(model)}
        self._session = _open(_with_outputs(model, observed) if observed else source)
        self._names = [output.name for output in self._session.get_outputs()]

    def as_inputs(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The inputs in the types that the model takes."""
        return {name: np.asarray(inputs[name], dtype=type_) for name, type_ in self._types.items()}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        """Outputs, and the observed values, as float64 by name.

        Raises:
            FloatModelError: onnxruntime fails, or an output is not finite.
        """
        try:
            results = self._session.run(self._names, self.as_inputs(inputs))
        except _failures() as error:
            raise FloatModelError(f"onnxruntime cannot run the float model: {_first_line(error)}") from None
        outputs = {
            name: np.asarray(result, dtype=np.float64) for name, result in zip(self._names, results, strict=True)
        }
        for name, array in outputs.items():
            if not np.isfinite(array).all():
                raise FloatModelError(
                    f"%{name} of the float model is not finite for this input: check the weights and the input"
                )
        return outputs


def _numpy_type(value: onnx.ValueInfoProto) -> type[np.floating[Any]]:
    name = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    if name not in NUMPY_TYPES:
        raise FloatModelError(f"input {value.name!r} has type {name.lower()}: export the model in float32")
    return NUMPY_TYPES[name]


def _open(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _failures() as error:
        raise FloatModelError(
            f"onnxruntime cannot load the model: {_first_line(error)}; export it again, or update onnxruntime"
        ) from None


def _failures() -> tuple[type[Exception], ...]:
    """onnxruntime's exceptions have no common base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (*own, RuntimeError, ValueError)


def _with_outputs(model: onnx.ModelProto, observed: Sequence[str]) -> bytes:
    made = {name for node in model.graph.node for name in node.output}
    present = {output.name for output in model.graph.output}
    for name in observed:
        if name in made and name not in present:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    content: bytes = model.SerializeToString()
    return content


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
