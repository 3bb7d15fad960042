"""Vectors of eight float64 in compiled code, and arithmetic modulo a prime on them.

LLVM turns one such vector into whatever registers the processor has; loops over them need no luck with its vectoriser.

A product modulo a prime p < 2^50 is exact: with h = fl(a b) and q the integer next to h / p, both h - q p and a b - h
are exact in one fused multiply-add each, and their sum is an integer below 2^53. Needs |a| <= 2^52 and |b| <= p / 2 (or
any bounds with |a b| <= 2^51 p); the result is at most (1/2 + 2^-52 |a b / p|) p. (Shoup; van der Hoeven, Lecerf and
Quintin, ACM TOMS 43, 2016.)
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.datamodel.registry import register_default
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic
from numba.np import arrayobj

from enclair.runtime.limbs.compiled import Function

WIDTH = 8
MAGIC = 1.5 * 2.0**52
"""Added and taken off again, it rounds a number below 2^51 to the nearest integer."""

Lanes: TypeAlias = Any
"""Eight float64 in compiled code."""

_VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
_INDEX = ir.IntType(32)
_INDICES = ir.VectorType(_INDEX, WIDTH)
_WIDE = '"prefer-vector-width"="512" "min-legal-vector-width"="512"'


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES = _LanesType()


@register_default(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, type_: Any) -> None:
        super().__init__(manager, type_, _VECTOR)  # type: ignore[no-untyped-call]


def _intrinsic(make: Callable[..., Any]) -> Any:
    return intrinsic(make)


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any, pointee: Any) -> Any:
    data = arrayobj.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), pointee.as_pointer())


def _load(_: Any, array: Any, index: Any) -> Any:  # noqa: ARG001 - numba calls it with types by these names
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        set.add(builder.function.attributes, _WIDE)  # llvmlite knows no attribute with a value
        if sig.args[0].dtype == types.int32:
            words = builder.load(_place(context, builder, sig.args[0], args[0], args[1], _INDICES), align=4)
            return builder.sitofp(words, _VECTOR)
        return builder.load(_place(context, builder, sig.args[0], args[0], args[1], _VECTOR), align=8)

    return LANES(array, types.intp), generate


def _store(_: Any, array: Any, index: Any, value: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, sig.args[0], args[0], args[1], _VECTOR), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), generate


def _gather(_: Any, array: Any, start: Any, places: Any, index: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = arrayobj.make_array(sig.args[0])(context, builder, args[0]).data
        base = builder.gep(data, [args[1]])
        chosen = builder.load(_place(context, builder, sig.args[2], args[2], args[3], _INDICES), align=4)
        out = ir.Constant(_VECTOR, ir.Undefined)
        for lane in range(WIDTH):
            number = ir.Constant(_INDEX, lane)
            place = builder.sext(builder.extract_element(chosen, number), ir.IntType(64))
            out = builder.insert_element(out, builder.load(builder.gep(base, [place])), number)
        return out

    return LANES(array, types.intp, places, types.intp), generate


def _full(_: Any, value: Any) -> Any:  # noqa: ARG001
    def generate(__: Any, builder: Any, ___: Any, args: Any) -> Any:
        empty = ir.Constant(_VECTOR, ir.Undefined)
        one = builder.insert_element(empty, args[0], ir.Constant(_INDEX, 0))
        return builder.shuffle_vector(one, empty, ir.Constant(_INDICES, [0] * WIDTH))

    return LANES(types.float64), generate


def _call_fma(builder: Any, args: Any) -> Any:
    function_type = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, "llvm.fma.v8f64"), args)


def _multiply_add(_: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001
    def generate(__: Any, builder: Any, ___: Any, args: Any) -> Any:
        return _call_fma(builder, args)

    return LANES(LANES, LANES, LANES), generate


def _multiply_subtract(_: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001
    def generate(__: Any, builder: Any, ___: Any, args: Any) -> Any:
        return _call_fma(builder, [args[0], args[1], builder.fneg(args[2])])

    return LANES(LANES, LANES, LANES), generate


def _transposed(_: Any, rows: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = cgutils.unpack_tuple(builder, args[0])
        for distance in (1, 2, 4):
            low = ir.Constant(_INDICES, [k if not k & distance else WIDTH + (k ^ distance) for k in range(WIDTH)])
            high = ir.Constant(_INDICES, [k | distance if not k & distance else WIDTH + k for k in range(WIDTH)])
            for i in (i for i in range(WIDTH) if not i & distance):
                x, y = rows[i], rows[i + distance]
                rows[i] = builder.shuffle_vector(x, y, low)
                rows[i + distance] = builder.shuffle_vector(x, y, high)
        return context.make_tuple(builder, sig.return_type, rows)

    eight = types.UniTuple(LANES, WIDTH)
    return eight(eight), generate


load = _intrinsic(_load)
"""load(array, index): the eight elements of the array's memory from this one on; int32 become float64."""

store = _intrinsic(_store)
"""store(array, index, lanes): the reverse of ``load``."""

gather = _intrinsic(_gather)
"""gather(array, start, places, index): the elements start + places[index], ...; ``places`` are int32."""

full = _intrinsic(_full)
"""full(number): eight times the number."""

multiply_add = _intrinsic(_multiply_add)
"""a b + c, rounded once."""

multiply_subtract = _intrinsic(_multiply_subtract)
"""a b - c, rounded once."""

transposed = _intrinsic(_transposed)
"""Eight lanes of eight, as rows of a matrix, transposed."""


def compiled_for_both(types_for: Callable[[Any], tuple[Any, ...]]) -> Callable[[Function], Function]:
    """``compiled`` twice: ``types_for`` gives the arguments' types for arrays of float64 and for arrays of int32."""
    signatures = [types.void(*types_for(dtype)) for dtype in (types.float64, types.int32)]

    def decorate(function: Function) -> Function:
        try:
            return make(function, cache=True)
        except RuntimeError:  # no directory to keep the machine code in can be written to
            return make(function, cache=False)

    def make(function: Function, *, cache: bool) -> Function:
        made: Any = njit(signatures, nogil=True, cache=cache, error_model="numpy")(function)
        return made  # type: ignore[no-any-return]

    return decorate


def _give(op: Any, name: str) -> None:
    class Template(AbstractTemplate):
        def generic(self, args: Any, _: Any) -> Any:
            return signature(LANES, LANES, LANES) if tuple(args) == (LANES, LANES) else None

    infer_global(op)(Template)

    @lower_builtin(op, LANES, LANES)  # type: ignore[untyped-decorator]
    def lower(_: Any, builder: Any, __: Any, args: Any) -> Any:
        return getattr(builder, name)(*args)


_give(operator.add, "fadd")
_give(operator.iadd, "fadd")
_give(operator.sub, "fsub")
_give(operator.mul, "fmul")


@njit(inline="always")
def product(a: Lanes, b: Lanes, p: Lanes, n: Lanes) -> Lanes:
    """A b modulo p; n is -1 / p."""
    magic = full(MAGIC)
    h = a * b
    return multiply_add(multiply_add(h, n, magic) - magic, p, h) + multiply_subtract(a, b, h)


@njit(inline="always")
def centred(a: Lanes, p: Lanes, n: Lanes) -> Lanes:
    """A modulo p, at most half of p in magnitude; |a| < 2^51 p. n is -1 / p."""
    magic = full(MAGIC)
    return multiply_add(multiply_add(a, n, magic) - magic, p, a)
