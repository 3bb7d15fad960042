"""What a converter returns: ops applied to values and constants, not yet in a graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.graph import Value
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Mul
from enclair.compiler.ir.ops.shape import Reshape, Transpose
from enclair.compiler.ir.types import TensorType, Type


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """An array known when the model is converted, of any element type.

    It is ``learned`` unless the model's code, or a converter, wrote it down.
    """

    name: str
    array: NDArray[Any]
    learned: bool = True

    @property
    def type(self) -> TensorType:
        """As reals."""
        return TensorType(self.array.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Apply:
    """An op on arguments. Its type rule has run."""

    op: Op
    args: tuple[Operand, ...]
    type: Type


Operand: TypeAlias = "Value | Constant | Apply"


def apply(op: Op, *args: Operand) -> Apply:
    """Apply an op. Raises TypeRuleError if it has no meaning for the arguments."""
    return Apply(op, args, op.result_type(*(arg.type for arg in args)))


def constant(array: NDArray[Any] | float, name: str = "constant") -> Constant:
    """A constant of reals that a converter writes down."""
    return Constant(name, np.asarray(array, dtype=np.float64), learned=False)


def shape_of(operand: Operand) -> tuple[int, ...]:
    """The shape of a tensor operand."""
    type_ = operand.type
    if not isinstance(type_, TensorType):
        raise TypeError(f"converters work on tensors, got {type_}")
    return type_.shape


def reshape(operand: Operand, shape: tuple[int, ...]) -> Operand:
    """The operand in another shape; constants are reshaped at once."""
    if shape_of(operand) == shape:
        return operand
    if isinstance(operand, Constant):
        return replace(operand, array=operand.array.reshape(shape))
    return apply(Reshape(shape), operand)


def transpose(operand: Operand, perm: tuple[int, ...]) -> Operand:
    """The operand with its axes permuted; constants are permuted at once."""
    if perm == tuple(range(len(perm))):
        return operand
    if isinstance(operand, Constant):
        return replace(operand, array=operand.array.transpose(perm))
    return apply(Transpose(perm), operand)


def scale(operand: Operand, factor: float) -> Operand:
    """The operand times a number; constants are multiplied at once."""
    if factor == 1.0:
        return operand
    if isinstance(operand, Constant):
        return replace(operand, array=operand.array.astype(np.float64) * factor)
    return apply(Mul(), operand, constant(factor, "factor"))
