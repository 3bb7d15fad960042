"""What an op is: frozen data with one type rule and one meaning in the clear."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import NDArray

from enclair.compiler.ir.types import Type

OPS: dict[str, type[Op]] = {}
"""Every op by its name, as printed."""

STRUCTS: dict[str, type[Any]] = {}
"""Frozen dataclasses that may be fields of ops (layouts), by name."""


class Op:
    """Base of all ops. Subclasses are frozen dataclasses whose ``repr`` evaluates back to themselves."""

    __slots__ = ()

    def result_type(self, *args: Type) -> Type:
        """The type of the result. Raises TypeRuleError when the op has no meaning for the arguments."""
        raise NotImplementedError(type(self).__name__)

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The meaning in the clear: float64 arrays for reals, int64 arrays for fixed point, slots and ciphertexts."""
        raise NotImplementedError(type(self).__name__)


OpType = TypeVar("OpType", bound=type[Op])
StructType = TypeVar("StructType", bound=type[Any])


def register(cls: OpType) -> OpType:
    """Class decorator: make an op known to the parser. Put it outside ``dataclass(frozen=True, slots=True)``."""
    OPS[cls.__name__] = cls
    return cls


def register_struct(cls: StructType) -> StructType:
    """Class decorator: make a frozen dataclass known to the parser as a field of ops."""
    STRUCTS[cls.__name__] = cls
    return cls
