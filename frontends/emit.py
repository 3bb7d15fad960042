"""Put expressions into a graph, under the names of the ONNX model where they are unique and fit for text."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Builder, Value
from enclair.compiler.ir.public import public_constant
from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Apply, Constant, Operand

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")


def sanitise(name: str) -> str:
    """The name with every character outside of A-Z a-z 0-9 _ . - replaced by an underscore."""
    return _UNFIT.sub("_", name) or "value"


class Emitter:
    """Adds expressions to a builder; names in ``reserved`` are given to nobody but who asks for them exactly."""

    def __init__(self, builder: Builder, reserved: Iterable[str]) -> None:
        self.builder = builder
        self.reserved = frozenset(reserved)
        self._used = set(self.reserved)
        self._constants: dict[int, tuple[Constant, Value]] = {}

    def emit(self, operand: Operand, name: str, origin: str) -> Value:
        """The value of an expression in the graph. An op at its root gets the name, those below names made from it."""
        done: dict[int, Value] = {}
        return self._emit(operand, self._exact(name), origin, done)

    def _emit(self, operand: Operand, name: str, origin: str, done: dict[int, Value]) -> Value:
        if isinstance(operand, Value):
            return operand
        if isinstance(operand, Constant):
            return self._constant(operand)
        if id(operand) not in done:
            args = [self._emit(arg, self._below(name, arg), origin, done) for arg in operand.args]
            done[id(operand)] = self.builder.add(operand.op, *args, name=name, origin=origin)
        return done[id(operand)]

    def _below(self, name: str, operand: Operand) -> str:
        """A name for an inner op."""
        return self._unique(f"{name}.{type(operand.op).__name__.lower()}") if isinstance(operand, Apply) else ""

    def _exact(self, name: str) -> str:
        return name if name in self.reserved else self._unique(name)

    def _unique(self, name: str) -> str:
        """The sanitised name, with a number if it is taken."""
        stem = fresh = sanitise(name)
        number = 0
        while fresh in self._used:
            number += 1
            fresh = f"{stem}.{number}"
        self._used.add(fresh)
        return fresh

    def _constant(self, constant: Constant) -> Value:
        """The constant in the graph, added once; public if it is one number that was not learned."""
        if id(constant) not in self._constants:
            name, reals = self._unique(constant.name), as_reals(constant)
            single = reals.size == 1 and not constant.learned
            value = public_constant(self.builder, name, reals) if single else self.builder.constant(name, reals)
            self._constants[id(constant)] = (constant, value)
        return self._constants[id(constant)][1]


def as_reals(constant: Constant) -> NDArray[np.float64]:
    """The array as float64."""
    if constant.array.dtype.kind in "cOSUM":
        raise UnsupportedNodeError(f"constant {constant.name!r} has type {constant.array.dtype}", "use real numbers")
    return constant.array.astype(np.float64)
