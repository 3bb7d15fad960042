"""Convert a checked ONNX model to a graph on real tensors, node by node by the table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import onnx
from numpy.typing import NDArray

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.types import TensorType
from enclair.frontends.emit import Emitter, sanitise
from enclair.frontends.errors import (
    ModelFileError,
    ModelShapeError,
    UnsupportedModel,
    UnsupportedNode,
    UnsupportedNodeError,
)
from enclair.frontends.expression import Constant, Operand, apply, shape_of
from enclair.frontends.families import TABLE
from enclair.frontends.fold import Folder, can_fold
from enclair.frontends.limits import Limits
from enclair.frontends.onnx_node import OnnxNode, describe_attributes, describe_source, module_of, origin_of
from enclair.frontends.onnx_shapes import inputs_of, static_shape, with_shapes
from enclair.frontends.rewrites import rewrite_of

Known: TypeAlias = "Value | Constant"
_WRITTEN_DOWN = re.compile(r"val_\d+|(.*/)?Constant(_\d+)?_output_0")
"""``val_7`` by torch.onnx.export(dynamo=True), ``/net/Constant_1_output_0`` by the exporter before it."""


def convert(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]] | None = None, limits: Limits | None = None
) -> Graph:
    """The graph of a model. Inputs and outputs keep their ONNX names, constants those of the initialisers.

    Args:
        model: as ``onnx_load.load`` gives it.
        shapes: input name -> shape, for the inputs whose dimensions are open.
        limits: caps on what folding constants may produce.

    Raises:
        ModelShapeError: an input has no fixed shape, or is not a tensor of floats.
        UnsupportedModel: lists every node that has no conversion.
        ModelFileError: the model contradicts itself.
    """
    return Conversion(with_shapes(model, shapes or {}), limits or Limits()).run()


class Conversion:
    """One model on its way to a graph: what is known about each ONNX value, and what cannot be converted."""

    def __init__(self, model: onnx.ModelProto, limits: Limits) -> None:
        self.model = model
        self.limits = limits
        self.folder = Folder(model, limits)
        self.builder = Builder(sanitise(model.graph.name or "model"))
        self.known: dict[str, Known | None] = {}
        self.offenders: list[UnsupportedNode] = []
        self.types = {value.name: value.type for value in (*model.graph.value_info, *model.graph.output)}
        self.used = {name for node in model.graph.node for name in node.input} | {v.name for v in model.graph.output}
        names = [value.name for value in (*inputs_of(model), *model.graph.output)]
        self.emitter = Emitter(self.builder, names)

    def run(self) -> Graph:
        """Convert inputs, initialisers, nodes and outputs."""
        for value in (*inputs_of(self.model), *self.model.graph.output):
            _check_name(value.name)
        for value in inputs_of(self.model):
            self.known[value.name] = self._input(value)
        for tensor in self.model.graph.initializer:
            self.known[tensor.name] = Constant(tensor.name, _array_of(tensor), is_learned(tensor.name))
        for node in self.model.graph.node:
            self._visit(node)
        if self.offenders:
            raise UnsupportedModel(self.offenders)
        return self.builder.build([self._output(value.name) for value in self.model.graph.output])

    def _input(self, value: onnx.ValueInfoProto) -> Value:
        type_ = TensorType(static_shape(value.type) or ())
        if type_.size > self.limits.elements:
            raise ModelShapeError(
                f"input {value.name!r} of type {type_} has more elements than the limit of {self.limits.elements}: "
                "give a smaller sample, or raise Limits.elements"
            )
        return self.builder.input(value.name, type_)

    def _output(self, name: str) -> Value:
        """The output under its ONNX name; one that is an input, a constant or another output is copied."""
        known = self.known.get(name)
        if known is None:
            raise ModelFileError(f"no node makes the output {name!r}: export the model again")
        if isinstance(known, Value) and known.name == name:
            return known
        return self.emitter.emit(apply(Reshape(shape_of(known)), known), name, "")

    def _visit(self, node: onnx.NodeProto) -> None:
        """Compute or convert one node, or write it down as an offender."""
        args = [self.known.get(name) if name else None for name in node.input]
        try:
            results = self._results(node, args)
            self._check_outputs(node, len(results))
        except (UnsupportedNodeError, TypeRuleError) as error:
            self._refuse(node, error)
            return
        except (ValueError, LookupError, ArithmeticError) as error:
            raise ModelFileError(
                f"the attributes and arguments of node {node.name!r} ({node.op_type}) do not fit together "
                f"({type(error).__name__}: {error}): export the model again"
            ) from error
        for name, result in zip(node.output, results, strict=False):
            if name:
                self.known[name] = result

    def _results(self, node: onnx.NodeProto, args: Sequence[Known | None]) -> list[Known]:
        """What the node gives, in the graph or as constants."""
        if can_fold(node) and all(arg is None or isinstance(arg, Constant) for arg in args) and self._all_known(node):
            return self._folded(node, [arg for arg in args if arg is None or isinstance(arg, Constant)])
        if node.domain not in ("", "ai.onnx") or node.op_type not in TABLE:
            domain = f" of the operator set {node.domain!r}" if node.domain not in ("", "ai.onnx") else ""
            raise UnsupportedNodeError(f"there is no conversion for {node.op_type}{domain}", rewrite_of(node.op_type))
        if not self._all_known(node):
            return []
        view = OnnxNode(node, tuple(args), self.folder.opset, self.limits.elements)
        converted = TABLE[node.op_type].convert(view)
        operands = converted if isinstance(converted, tuple) else (converted,)
        for operand in operands:
            view.check_size(shape_of(operand))
        return [self._emit(node, number, operand) for number, operand in enumerate(operands)]

    def _folded(self, node: onnx.NodeProto, args: Sequence[Constant | None]) -> list[Known]:
        """The results of a node on constants: learned if one of its arguments is."""
        learned = any(arg is not None and arg.learned for arg in args)
        results = self.folder.fold(node, [None if arg is None else arg.array for arg in args])
        names = [name for name in node.output if name]
        return [Constant(name, array, learned) for name, array in zip(names, results, strict=True)]

    def _emit(self, node: onnx.NodeProto, number: int, operand: Operand) -> Known:
        """Put a result into the graph; constants stay outside until they are used."""
        if isinstance(operand, Constant):
            return operand
        return self.emitter.emit(operand, node.output[number] or f"{node.output[0]}.{number}", origin_of(node))

    def _all_known(self, node: onnx.NodeProto) -> bool:
        return all(not name or self.known.get(name) is not None for name in node.input)

    def _check_outputs(self, node: onnx.NodeProto, count: int) -> None:
        """Check that nobody needs an output that the conversion does not give."""
        needed = [name for name in node.output[count:] if name in self.used]
        if count and needed:
            raise UnsupportedNodeError(
                f"output {needed[0]!r} of {node.op_type} is used, only the first is converted",
                "use the first output only",
            )

    def _refuse(self, node: onnx.NodeProto, error: UnsupportedNodeError | TypeRuleError) -> None:
        """Write the node down, and stand in for its results so that the nodes after it are looked at too."""
        if isinstance(error, TypeRuleError):
            reason, _, advice = str(error).rpartition(": ")
            error = UnsupportedNodeError(reason or advice, advice if reason else rewrite_of(node.op_type))
        where = (describe_attributes(node), module_of(node), describe_source(node))
        self.offenders.append(UnsupportedNode(node.name, node.op_type, *where, error.reason, error.rewrite))
        for name in node.output:
            shape = static_shape(self.types[name]) if name in self.types else None
            self.known[name] = None if shape is None else Value(name, TensorType(shape))


def is_learned(initialiser: str) -> bool:
    """Whether an initialiser may have been trained: all but those whose names PyTorch's exporters give to numbers.

    What a Constant node holds is written down in any case.
    """
    return _WRITTEN_DOWN.fullmatch(initialiser) is None


def _check_name(name: str) -> None:
    """Check that a name can stand in the text of a graph: inputs and outputs keep theirs."""
    if not name or name != "".join(name.split()):
        raise ModelShapeError(f"the name {name!r} of an input or output is empty or has white space: rename it")


def _array_of(tensor: onnx.TensorProto) -> NDArray[Any]:
    """The array of an initialiser."""
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, LookupError) as error:
        raise ModelFileError(f"tensor {tensor.name!r} cannot be read ({error}): export the model again") from None
