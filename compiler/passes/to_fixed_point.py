"""Reals to fixed point: the one pass of split mode that changes numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import floor, frexp, log2
from typing import ClassVar

import numpy as np

from enclair.compiler.approx.intervals import Interval, node_interval, of_array
from enclair.compiler.approx.ranges import Range
from enclair.compiler.errors import CompileError, DoesNotFit
from enclair.compiler.ir.graph import Array, Builder, Graph, Node, Place, Value
from enclair.compiler.ir.ops.activations import Clip, Relu
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Abs, Add, Maximum, Minimum, Neg, Sub
from enclair.compiler.ir.ops.fixed import Dequantise, Quantise, Refresh, Requantise, Shift
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.ops.pooling import MaxPool, SumPool
from enclair.compiler.ir.ops.reductions import ReduceMax, ReduceSum
from enclair.compiler.ir.ops.shape import Concat, Pad
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import TensorType
from enclair.compiler.planner.sides import MOVES

INTEGER_ON_CLIENT = (
    Relu,
    Clip,
    MaxPool,
    Add,
    Sub,
    Neg,
    Abs,
    Minimum,
    Maximum,
    SumPool,
    ReduceSum,
    ReduceMax,
    Refresh,
    Pad,
    *MOVES,
)
"""Client ops computed on integers; the others get reals, in float64 with a fixed order."""
ONE_SCALE = (Add, Sub, Concat, Minimum, Maximum)
"""Ops whose arguments must have equal scales."""
CLIENT_BITS = 61
"""Integers on the client stay below 2^61, so that int64 never overflows."""


@dataclass(frozen=True, slots=True)
class ToFixedPoint:
    """Integers wherever the server computes; powers of two as scales everywhere.

        %y = Conv(...) %x %w @server:1   ->   %x.q = Quantise(scale_bits=11, low=-2048, high=2047) %x @client:0
                                              %y = Conv(...) %x.q %w.q @server:1
        %z = Relu() %y @client:1         ->   %z = Relu() %y @client:1
                                              %z.q = Requantise(shift=13, low=0, high=2047) %z @client:1

    A value is rounded and saturated to its calibrated range, widened by ``margin``, where it goes up to the server
    and nowhere else. Weights get ``weight_bits`` and activations ``activation_bits``, sign included. The error is not
    bounded here: the compiler measures it, or proves it.
    """

    produces: ClassVar[Stage] = Stage.FIXED

    ranges: Mapping[str, Range]
    activation_bits: int
    weight_bits: int
    margin: float = 0.25

    def __call__(self, graph: Graph) -> Graph:
        """The fixed-point graph; inputs and outputs stay reals under their names."""
        return _Converter(graph, self).run()


class _Converter:
    """Builds the fixed-point graph. ``natural`` is the form in which a value is made, ``forms`` are the others."""

    def __init__(self, old: Graph, options: ToFixedPoint) -> None:
        self.old, self.options = old, options
        self.new = Builder(old.name, [value.name for value in old.inputs] + [node.out.name for node in old.nodes])
        self.outputs = {value.name for value in old.outputs}
        self.natural: dict[str, Value] = {}
        self.forms: dict[tuple[str, object], Value] = {}
        self.places: dict[str, Place] = {}
        self.intervals: dict[str, Interval] = {}

    def run(self) -> Graph:
        for value in self.old.inputs:
            self.natural[value.name] = self.new.input(value.name, value.type)
            self.places[value.name] = Place("client", 0)
        for node in self.old.nodes:
            self._convert(node)
        graph = self.new.build([self._output(value) for value in self.old.outputs])
        return replace(graph, nodes=tuple(sorted(graph.nodes, key=_running_order)))

    def _convert(self, node: Node) -> None:
        place = node.place
        if place is None:
            raise CompileError(f"{node.out} has no place")
        self.places[node.out.name] = place
        if place.side == "server":
            self._on_server(node)
        elif isinstance(node.op, MatMul):
            self._product_on_client(node)
        elif self._integers_fit(node):
            self._on_integers(node, self._aligned([self.natural[arg.name] for arg in node.args], node))
        else:
            args = [self._real(arg) for arg in node.args]
            self.natural[node.out.name] = self._add(node, node.op, *args, name=node.out.name)

    def _on_server(self, node: Node) -> None:
        if any(self.old.is_constant(arg) for arg in node.args):
            x = self._on_wire(node.args[0])
            constant = self._constant(node, self._scale(x) if isinstance(node.op, Add) else None)
            self._on_integers(node, [x, constant])
        else:
            self._on_integers(node, self._aligned([self._on_wire(arg) for arg in node.args], node))

    def _product_on_client(self, node: Node) -> None:
        """A product of two activations, rounded to their bits first: exact in any order, so BLAS may compute it."""
        args = [self._rounded(arg) for arg in node.args]
        self._on_integers(node, args)
        bits = self.intervals[self.natural[node.out.name].name].magnitude.bit_length()
        if bits > CLIENT_BITS:
            raise CompileError(
                f"{node.out} multiplies two computed values on the client: its sums need {bits} bits, int64 arithmetic"
                f" has room for {CLIENT_BITS}; ask for a larger tolerance or fewer activation bits"
            )

    def _on_integers(self, node: Node, args: list[Value]) -> None:
        op = node.op
        if isinstance(op, Clip | Pad):
            op = replace(op, scale_bits=self._scale(args[0]))
        name = f"{node.out.name}.fixed" if node.out.name in self.outputs else node.out.name
        self.natural[node.out.name] = self._add(node, op, *args, name=name)

    def _integers_fit(self, node: Node) -> bool:
        """Whether a client node can work on integers: all its arguments are, and no sum leaves int64."""
        if not isinstance(node.op, INTEGER_ON_CLIENT) or any(self.old.is_constant(arg) for arg in node.args):
            return False
        args = [self.natural[arg.name] for arg in node.args]
        if not all(_is_fixed(arg) for arg in args):
            return False
        top = max(self._scale(arg) for arg in args)
        total = sum(self.intervals[arg.name].magnitude << (top - self._scale(arg)) for arg in args)
        return total * _growth(node) < 1 << CLIENT_BITS

    def _aligned(self, args: list[Value], node: Node) -> list[Value]:
        """Bring arguments that must agree to the finest of their scales."""
        if not isinstance(node.op, ONE_SCALE):
            return args
        top = max(self._scale(arg) for arg in args)
        return [arg if self._scale(arg) == top else self._shifted(node, arg, top - self._scale(arg)) for arg in args]

    def _shifted(self, node: Node, arg: Value, bits: int) -> Value:
        return self._add(node, Shift(bits), arg, name=self.new.fresh(f"{node.out.name}.shift"))

    def _on_wire(self, value: Value) -> Value:
        """A value as the server has it: its own results as they are, the client's rounded and saturated."""
        return self.natural[value.name] if self.places[value.name].side == "server" else self._rounded(value)

    def _rounded(self, value: Value) -> Value:
        """A value rounded to the activations' bits and saturated to its range, once for all its readers."""
        if (value.name, "wire") not in self.forms:
            self.forms[value.name, "wire"] = self._round(value)
        return self.forms[value.name, "wire"]

    def _round(self, value: Value) -> Value:
        range_ = self.options.ranges[value.name].widened(self.options.margin)
        scale_bits = scale_for(range_.magnitude, self.options.activation_bits)
        natural, place = self.natural[value.name], self._client_place(value)
        name = self.new.fresh(f"{value.name}.q")
        if not _is_fixed(natural):
            return self._append(Quantise(scale_bits, *_limits(range_, scale_bits)), natural, name=name, place=place)
        scale_bits = min(scale_bits, self._scale(natural))
        shift = self._scale(natural) - scale_bits
        return self._append(Requantise(shift, *_limits(range_, scale_bits)), natural, name=name, place=place)

    def _real(self, value: Value) -> Value:
        """A value as reals, on the client; constants are the client's to know."""
        if self.old.is_constant(value):
            return self._once(value, "real", lambda: self.new.constant(value.name, self.old.constant(value)))
        natural = self.natural[value.name]
        if not _is_fixed(natural):
            return natural
        op, place = Dequantise(self._scale(natural)), self._client_place(value)
        name = value.name if value.name in self.outputs else self.new.fresh(f"{value.name}.real")
        return self._once(value, "real", lambda: self._append(op, natural, name=name, place=place))

    def _output(self, value: Value) -> Value:
        if self.old.is_constant(value):
            raise CompileError(f"output {value.name!r} is a constant of the model: it needs no compiling, take it out")
        return self._real(value)

    def _constant(self, node: Node, scale_bits: int | None) -> Value:
        """The node's constant as integers: weights by their bits, addends at the scale of what they are added to."""
        value = node.args[1]
        array = self.old.constant(value)
        bits = (
            scale_for(float(np.abs(array).max(initial=0.0)), self.options.weight_bits)
            if scale_bits is None
            else scale_bits
        )
        return self._once(value, bits, lambda: self._integers(node, value.name, array, bits))

    def _integers(self, node: Node, name: str, array: Array, scale_bits: int) -> Value:
        with np.errstate(over="ignore"):
            rounded = np.rint(np.ldexp(array, scale_bits))
        if np.abs(rounded).max(initial=0.0) >= 1 << CLIENT_BITS:
            raise DoesNotFit(
                node.out.name, f"its constant %{name} needs more than {CLIENT_BITS} bits at 2^-{scale_bits}"
            )
        constant = self.new.constant(name, rounded.astype(np.int64), scale_bits)
        self.intervals[constant.name] = of_array(self.new.arrays[constant.name])
        return constant

    def _once(self, value: Value, form: object, make: Callable[[], Value]) -> Value:
        if (value.name, form) not in self.forms:
            self.forms[value.name, form] = make()
        return self.forms[value.name, form]

    def _client_place(self, value: Value) -> Place:
        return Place("client", self.places[value.name].round)

    def _add(self, node: Node, op: Op, *args: Value, name: str = "") -> Value:
        return self._append(op, *args, name=name, place=node.place, origin=node.origin)

    def _append(self, op: Op, *args: Value, name: str = "", place: Place | None, origin: str = "") -> Value:
        value = self.new.add(op, *args, name=name, place=place, origin=origin)
        if (found := node_interval(self.new.nodes[-1], self.intervals, self.new.arrays)) is not None:
            self.intervals[value.name] = found
        return value

    def _scale(self, value: Value) -> int:
        if not isinstance(value.type, TensorType) or value.type.scale_bits is None:
            raise CompileError(f"{value} of type {value.type} has no scale")
        return value.type.scale_bits


def scale_for(magnitude: float, bits: int) -> int:
    """The largest s such that magnitude * 2^s fits in ``bits`` bits with a sign. A magnitude of 0 counts as 1."""
    if magnitude <= 0:
        return bits - 1
    return floor(log2(2 ** (bits - 1) - 1) - log2(magnitude)) if bits > 1 else -frexp(magnitude)[1]


def _limits(range_: Range, scale_bits: int) -> tuple[int, int]:
    return round(range_.low * 2.0**scale_bits), round(range_.high * 2.0**scale_bits)


def _growth(node: Node) -> int:
    """How many elements the node adds up."""
    x, out = node.args[0].type, node.out.type
    if isinstance(node.op, SumPool):
        return int(np.prod(node.op.kernel))
    if isinstance(node.op, ReduceSum) and isinstance(x, TensorType) and isinstance(out, TensorType):
        return max(1, x.size // max(out.size, 1))
    return 1


def _is_fixed(value: Value) -> bool:
    return isinstance(value.type, TensorType) and value.type.is_fixed


def _running_order(node: Node) -> tuple[int, bool]:
    return (node.place.round, node.place.side == "client") if node.place else (0, True)
