"""Small ONNX models, and their agreement between onnxruntime and the graph they are converted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import strategies as st
from numpy.typing import NDArray

from enclair.compiler.ir import text
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.verify import verify
from enclair.frontends.families import TABLE
from enclair.frontends.onnx_convert import convert
from enclair.frontends.onnx_load import load

FLOAT = onnx.TensorProto.FLOAT

seeds = st.integers(0, 2**32 - 1)
opsets = st.integers(11, 22)


def opsets_from(first: int) -> st.SearchStrategy[int]:
    """The opsets that have an operator introduced in ``first``."""
    return st.integers(first, 22)


def normal(seed: int, *shape: int) -> NDArray[np.float32]:
    """Normally distributed float32."""
    return np.asarray(np.random.default_rng(seed).normal(size=shape), dtype=np.float32)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str] | Mapping[str, Sequence[int | str]],
    constants: Mapping[str, NDArray[Any]] | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    """A model on float32 inputs. The shapes of the outputs are inferred where they are not given."""
    declared = outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs)
    graph = onnx.helper.make_graph(
        list(nodes),
        "test",
        [onnx.helper.make_tensor_value_info(name, FLOAT, list(shape)) for name, shape in inputs.items()],
        [onnx.helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in declared.items()],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    return model if isinstance(outputs, Mapping) else onnx.shape_inference.infer_shapes(model)


def single_node(
    op_type: str,
    args: Sequence[NDArray[Any] | None],
    constant: Sequence[int],
    opset: int,
    outputs: int,
    shape: Sequence[int | str] | None = None,
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]]]:
    """A model of one node, with the feeds of its inputs; arguments at the positions ``constant`` are initialisers."""
    names = ["" if arg is None else f"{'c' if at in constant else 'x'}{at}" for at, arg in enumerate(args)]
    given = {name: arg for name, arg in zip(names, args, strict=True) if arg is not None}
    feeds = {name: arg for name, arg in given.items() if name[0] == "x"}
    constants = {name: arg for name, arg in given.items() if name[0] == "c"}
    results = [f"y{number}" for number in range(outputs)]
    attributes = {name: value for name, value in attributes.items() if value is not None}
    node = onnx.helper.make_node(op_type, names, results, name="node", **attributes)
    declared = results if shape is None else dict.fromkeys(results, shape)
    return model_of([node], {name: arg.shape for name, arg in feeds.items()}, declared, constants, opset), feeds


def agree(
    op_type: str,
    args: Sequence[NDArray[Any] | None],
    *,
    constant: Sequence[int] = (),
    opset: int = 20,
    outputs: int = 1,
    shape: Sequence[int] | None = None,
    tolerance: float = 2e-5,
    **attributes: Any,
) -> Graph:
    """Check that one node means the same in onnxruntime and in the graph, made of the ops that its table row names."""
    model, feeds = single_node(op_type, args, constant, opset, outputs, shape, **attributes)
    graph = agree_model(model, feeds, tolerance)
    made = {type(node.op) for node in graph.nodes}
    assert made <= {*TABLE[op_type].ours, *_COPY}, (made, TABLE[op_type].ours)
    return graph


_COPY = {type(node.op) for node in convert(
    model_of([onnx.helper.make_node("Identity", ["x"], ["y"])], {"x": (1,)}, ["y"])
).nodes}  # fmt: skip
"""What gives an output its name if it is an input."""


def agree_model(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], tolerance: float = 2e-5) -> Graph:
    """Check that a model means the same in onnxruntime and in the graph; that types are shapes; and the text form."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = dict(zip([value.name for value in session.get_outputs()], session.run(None, dict(feeds)), strict=True))
    graph = convert(load(model), {name: array.shape for name, array in feeds.items()})
    verify(graph, Stage.TENSOR)
    assert text.parse(str(graph), graph.arrays) == graph
    got = run(graph, feeds, observe=lambda node, _args, result: _check_type(node.out.type, result))
    assert list(got) == list(wanted)
    for name, array in got.items():
        scale = max(1.0, float(np.abs(wanted[name]).max(initial=0.0)))
        np.testing.assert_allclose(array, wanted[name], rtol=tolerance, atol=tolerance * scale, err_msg=str(graph))
    return graph


def _check_type(type_: Any, result: NDArray[Any]) -> None:
    assert isinstance(result, np.ndarray)
    assert result.shape == type_.shape
    assert result.dtype == (np.int64 if type_.is_fixed else np.float64)
