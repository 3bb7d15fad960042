"""Normalisations, as inference computes them, on reals. Sums run in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir import exact_math
from enclair.compiler.ir.ops.base import Op, register
from enclair.compiler.ir.ops.rules import broadcast, check_axes, reals, require
from enclair.compiler.ir.types import TensorType, Type


def _check_channels(op: Op, x: TensorType, parameters: tuple[TensorType, ...]) -> None:
    """Check that x is [N, C, ...] and that each parameter is [C]."""
    name = type(op).__name__
    require(len(x.shape) >= 2, f"{name} needs [N, C, ...], got {x}")
    wrong = [str(parameter) for parameter in parameters if parameter.shape != (x.shape[1],)]
    require(not wrong, f"{name} needs parameters of shape {x.shape[1]} for {x}, got {' and '.join(wrong)}")


def _per_channel(parameter: NDArray[Any], rank: int) -> NDArray[Any]:
    """[C] -> [C, 1, ..., 1], to broadcast against [N, C, ...]."""
    return parameter.reshape(-1, *(1,) * (rank - 2))


def _standardised(x: NDArray[Any], epsilon: float) -> NDArray[Any]:
    """Each row of a matrix: (x - mean) / sqrt(variance + epsilon)."""
    count = float(x.shape[1])
    centred = x - exact_math.ordered_sum(x, 1)[:, None] / count
    variance = exact_math.ordered_sum(centred * centred, 1)[:, None] / count
    return np.asarray(centred / np.sqrt(variance + epsilon))


@register
@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """(x - mean) / sqrt(var + epsilon) * scale + bias per channel; arguments x [N, C, ...], scale, bias, mean, var."""

    epsilon: float

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        x, *parameters = reals(self, args, 5)
        _check_channels(self, x, tuple(parameters))
        return x

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """The affine map of each channel."""
        x = args[0]
        scale, bias, mean, var = (_per_channel(parameter, x.ndim) for parameter in args[1:])
        return np.asarray((x - mean) / np.sqrt(var + self.epsilon) * scale + bias)


@register
@dataclass(frozen=True, slots=True)
class LayerNormalization(Op):
    """Standardise over the axes from ``axis`` on, then gamma and beta; arguments x, gamma, beta (Ba et al., 2016)."""

    axis: int
    epsilon: float

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        x, gamma, beta = reals(self, args, 3)
        check_axes(self, (self.axis,), x)
        common = broadcast(self, x.shape, gamma.shape, beta.shape)
        require(common == x.shape, f"LayerNormalization needs parameters that broadcast to {x}, got {gamma} and {beta}")
        return x

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Standardise, scale and shift."""
        x, gamma, beta = args
        rows = x.reshape(int(np.prod(x.shape[: self.axis], dtype=np.int64)), -1)
        return np.asarray(_standardised(rows, self.epsilon).reshape(x.shape) * gamma + beta)


@register
@dataclass(frozen=True, slots=True)
class GroupNorm(Op):
    """Standardise groups of channels of x [N, C, ...], then gamma [C] and beta [C] (Wu and He, 2018).

    As many groups as channels is instance normalisation.
    """

    groups: int
    epsilon: float

    def result_type(self, *args: Type) -> TensorType:
        """The type of x."""
        x, gamma, beta = reals(self, args, 3)
        _check_channels(self, x, (gamma, beta))
        fits = self.groups >= 1 and x.shape[1] % self.groups == 0
        require(fits, f"GroupNorm cannot share the {x.shape[1]} channels of {x} among {self.groups} groups")
        return x

    def evaluate(self, *args: NDArray[Any]) -> NDArray[Any]:
        """Standardise, scale and shift."""
        x, gamma, beta = args
        normal = _standardised(x.reshape(x.shape[0] * self.groups, -1), self.epsilon).reshape(x.shape)
        return np.asarray(normal * _per_channel(gamma, x.ndim) + _per_channel(beta, x.ndim))
