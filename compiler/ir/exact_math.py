"""Elementary functions whose results are the same bits everywhere.

numpy's own exp, tanh, ... differ in the last bit between CPUs, versions and array lengths (its vector loops). Here
each function is a fixed sequence of IEEE 754 operations (+, -, *, /, square root, comparison, round to even, exact
scaling by powers of two), one ufunc an operation, so that no compiler can fuse a multiplication with an addition.
Arrays are float64; relative errors are a few units in the last place.

Methods: argument reduction and series (Muller, *Elementary Functions*, 3rd ed., chapters 3, 5 and 11). The two
polynomials of ``erf`` interpolate at Chebyshev nodes and were computed with 60 digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]

_BLOCK = 1 << 14
"""Elements worked on at a time, so that the temporaries stay in the cache. No result depends on it."""

_LN2_HIGH = 0.6931471803691238  # the upper 32 bits of log 2: times an exponent, the product is exact
_LN2_LOW = 1.9082149292705877e-10  # the rest
_INVERSE_LN2 = 1.4426950408889634
_EXP_RANGE = (-746.0, 710.0)  # exp is 0 below, infinite above

_EXP_SERIES = [1.0 / math.factorial(n) for n in range(14)]
_ATANH_SERIES = [1.0 / (2 * n + 1) for n in range(1, 12)]
_ERF_LIMIT = 6.0  # erf rounds to 1 beyond
# erf(x) / x as a polynomial in x^2 for |x| <= 1; relative error 2e-19.
_ERF_SMALL = [
    1.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792, 0.0052239776248180145,
    -0.000854832698083379, 0.0001205533111164271, -1.4925595266831182e-05, 1.6461000484121368e-06,
    -1.6350312701054695e-07, 1.4659775274047436e-08, -1.1372848856791674e-09, 5.957176147748911e-11,
]  # fmt: skip
# exp(x^2) erfc(x) as a polynomial in s = (12 (x - 3) / (x + 3) + 1) / 5 for 1 <= x <= 6; relative error 2e-16.
_ERFCX = [
    0.20798329133342885, -0.15436117429436919, 0.04969844540339464, -0.012713147695692198, 0.002479314697078186,
    -0.0003316029605764125, 1.9563583246137112e-05, 2.4255574719050315e-06, -5.541274478467714e-07,
    -4.526700764248741e-09, 1.1339538061744706e-08, -2.6381508985080735e-10, -2.571511429603255e-10,
    6.047405945991704e-12, 6.0857915906870915e-12,
]  # fmt: skip


def _blockwise(function: Callable[[Reals], Reals]) -> Callable[[NDArray[Any]], Reals]:
    """Apply a function of single elements to an array of any shape, block by block, without numpy's warnings."""

    @wraps(function)
    def whole(x: NDArray[Any]) -> Reals:
        flat = np.ascontiguousarray(x, dtype=np.float64).reshape(-1)
        result = np.empty_like(flat)
        with np.errstate(all="ignore"):
            for start in range(0, flat.size, _BLOCK):
                result[start : start + _BLOCK] = function(flat[start : start + _BLOCK])
        return result.reshape(np.shape(x))

    return whole


def _horner(x: Reals, coefficients: Sequence[float]) -> Reals:
    """sum_i coefficients[i] x^i."""
    result = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result *= x
        result += coefficient
    return result


def _power_of_two(exponent: NDArray[np.int64]) -> Reals:
    """2^exponent for -1022 <= exponent <= 1023, by its bits."""
    return ((exponent + 1023) << 52).view(np.float64)


def _exp(x: Reals) -> Reals:
    """exp(k log 2 + r) = 2^k exp(r) with |r| <= log(2) / 2; the series of exp(r) has 14 terms."""
    bounded = np.minimum(np.maximum(x, _EXP_RANGE[0]), _EXP_RANGE[1])
    bounded = np.where(np.isnan(x), 0.0, bounded)
    k = np.rint(bounded * _INVERSE_LN2)
    series = _horner((bounded - k * _LN2_HIGH) - k * _LN2_LOW, _EXP_SERIES)
    half = k.astype(np.int64) >> 1
    result = series * _power_of_two(half) * _power_of_two(k.astype(np.int64) - half)
    return np.where(np.isnan(x), x, result)


def _expm1(x: Reals) -> Reals:
    """exp(x) - 1; near 0 by the series without its first term."""
    near = np.minimum(np.maximum(x, -0.35), 0.35)
    series = near * _horner(near, _EXP_SERIES[1:])
    return np.where(np.abs(x) <= 0.35, series, _exp(x) - 1.0)


def _atanh_log(f: Reals, s: Reals) -> Reals:
    """log(1 + f) = 2 atanh(s) for s = f / (2 + f), |s| <= 0.1716: f - s (f - R) with R = 2 (s^2/3 + s^4/5 + ...)."""
    square = s * s
    tail = 2.0 * square * _horner(square, _ATANH_SERIES)
    return f - s * (f - tail)


def _log(x: Reals) -> Reals:
    """log(2^e m) = e log 2 + log m with sqrt(1/2) <= m < sqrt 2."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < math.sqrt(0.5)
    f = np.where(small, 2.0 * mantissa, mantissa) - 1.0
    e = (exponent - small).astype(np.float64)
    result = e * _LN2_HIGH + (e * _LN2_LOW + _atanh_log(f, f / (2.0 + f)))
    result = np.where(x > 0, result, np.where(x == 0, -math.inf, math.nan))
    return np.where(x == math.inf, x, result)


def _log1p_of_exp(x: Reals) -> Reals:
    """log(1 + exp(x)) for x <= 0."""
    u = _exp(x)
    near = np.minimum(u, 0.4)
    return np.where(u <= 0.4, _atanh_log(near, near / (2.0 + near)), _log(1.0 + u))


def _softplus(x: Reals) -> Reals:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    return np.maximum(x, 0.0) + _log1p_of_exp(-np.abs(x))


def _sigmoid(x: Reals) -> Reals:
    """1 / (1 + exp(-x)), for x < 0 as exp(x) / (1 + exp(x))."""
    power = _exp(-np.abs(x))
    return np.where(x >= 0, 1.0, power) / (1.0 + power)


def _tanh(x: Reals) -> Reals:
    """-t / (t + 2) with t = exp(-2|x|) - 1, and the sign of x."""
    t = _expm1(-2.0 * np.abs(x))
    return np.copysign(t / (t + 2.0), x)


def _erf(x: Reals) -> Reals:
    """Within 1 by a polynomial in x^2; beyond as 1 - exp(-x^2) times the scaled complement, and the sign of x."""
    size = np.abs(x)
    near = np.minimum(size, 1.0)
    small = near * _horner(near * near, _ERF_SMALL)
    far = np.minimum(np.maximum(size, 1.0), _ERF_LIMIT)
    complement = _exp(-(far * far)) * _horner((12.0 * ((far - 3.0) / (far + 3.0)) + 1.0) / 5.0, _ERFCX)
    result = np.where(size <= 1.0, small, 1.0 - complement)
    return np.asarray(np.copysign(np.where(np.isnan(x), x, result), x))


exp = _blockwise(_exp)
expm1 = _blockwise(_expm1)
log = _blockwise(_log)
softplus = _blockwise(_softplus)
sigmoid = _blockwise(_sigmoid)
tanh = _blockwise(_tanh)
erf = _blockwise(_erf)


def _natural_power(x: Reals, exponent: int) -> Reals:
    """x^exponent by repeated squaring, exponent >= 0."""
    result = np.ones_like(x)
    square = x
    while exponent:
        if exponent & 1:
            result = result * square
        exponent >>= 1
        square = square * square if exponent else square
    return result


def power(x: NDArray[Any], exponent: float) -> Reals:
    """x^exponent: products and a square root for |exponent| = 0, 1/2, 1, 3/2, ... 64; else exp(exponent log |x|).

    The latter has a relative error of about |exponent log x| 2^-52. NaN for x < 0 and an exponent that is no integer.
    """
    values = np.asarray(x, dtype=np.float64)
    size = abs(exponent)
    with np.errstate(all="ignore"):
        if size > 64 or 2 * size != int(2 * size):
            return _general_power(values, exponent)
        result = _natural_power(values, int(size))
        if size != int(size):
            result = result * np.sqrt(values)
        return result if exponent >= 0 else 1.0 / result


def _general_power(x: Reals, exponent: float) -> Reals:
    """exp(exponent log |x|), negative for a negative x and an odd exponent."""
    result = exp(exponent * log(np.abs(x)))
    if exponent != math.floor(exponent):
        return np.where(x < 0, math.nan, result)
    return np.where((x < 0) & (exponent % 2 == 1), -result, result)


def ordered_sum(x: NDArray[Any], axis: int) -> NDArray[Any]:
    """The sum along an axis, which goes away: element i plus element i + n/2, until one is left.

    An odd last element waits a turn. The order depends on the extent alone; the error is that of pairwise summation.
    """
    terms = np.moveaxis(np.asarray(x), axis, 0)
    if terms.shape[0] == 0:
        return np.zeros(terms.shape[1:], dtype=terms.dtype)
    while (count := terms.shape[0]) > 1:
        half = count // 2
        paired = terms[:half] + terms[half : 2 * half]
        terms = np.concatenate([paired, terms[2 * half :]]) if count % 2 else paired
    return np.asarray(terms[0], order="C")
