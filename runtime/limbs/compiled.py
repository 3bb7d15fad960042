"""Compiling the kernels with numba: explicit types, no interpreter lock, machine code kept between processes.

The code is kept beside the modules, or in the user's cache directory where an installation cannot be written to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

Words: TypeAlias = NDArray[np.uint64]
Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Word: TypeAlias = Any
"""A uint64 in compiled code; callers may give an int."""

BIT = types.boolean
INT = types.int64
FLOAT = types.float64
WORD = types.uint64


def read(dtype: Any, ndim: int) -> Any:
    """The type of a C-contiguous array that is only read."""
    return types.Array(dtype, ndim, "C", readonly=True)


def write(dtype: Any, ndim: int) -> Any:
    """The type of a C-contiguous array that is written."""
    return types.Array(dtype, ndim, "C")


def compiled(*args: Any, returns: Any = types.void) -> Callable[[Function], Function]:
    """Compile a function for arguments of these types."""

    def decorate(function: Function) -> Function:
        try:
            return make(function, cache=True)
        except RuntimeError:  # no directory to keep the machine code in can be written to
            return make(function, cache=False)

    def make(function: Function, *, cache: bool) -> Function:
        made: Function = njit(returns(*args), nogil=True, cache=cache, error_model="numpy")(function)
        return made

    return decorate


def _high_product(_: Any, a: Any, b: Any) -> Any:  # noqa: ARG001 - numba calls it with types by these names
    def generate(__: Any, builder: Any, ___: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        left, right = (builder.zext(arg, wide) for arg in args)
        return builder.trunc(builder.lshr(builder.mul(left, right), ir.Constant(wide, 64)), ir.IntType(64))

    return WORD(WORD, WORD), generate


high_product: Any = intrinsic(_high_product)
"""The upper 64 bits of the product of two words: numba has no 128-bit integers, LLVM has."""
