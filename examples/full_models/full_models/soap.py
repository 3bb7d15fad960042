"""SOAP: Adam in the eigenbasis of Shampoo's preconditioners (Vyas et al., 2024, arXiv:2409.11321).

Gradients of polynomial networks are badly conditioned: features that are squares share a large mean. Networks of a few
thousand weights learn in one tenth of Adam's steps with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

DECAY = 0.95
"""Of all running means."""
BASIS_STEPS = 10
"""The bases are renewed every so many steps, and in each of the first."""
EPSILON = 1e-8


@dataclass(slots=True)
class _Layer:
    """A convolution as one matrix (out, in x height x width + 1), its bias the last column; and its running means."""

    convolution: nn.Conv2d
    mean: Tensor
    square: Tensor
    left: Tensor
    right: Tensor
    bases: tuple[Tensor, Tensor] = field(init=False)

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> _Layer:
        rows, columns = convolution.weight.shape[0], convolution.weight[0].numel() + 1
        shapes = (rows, columns), (rows, columns), (rows, rows), (columns, columns)
        return cls(convolution, *(torch.zeros(shape) for shape in shapes))

    def gradient(self) -> Tensor:
        """Of weight and bias."""
        weight, bias = self.convolution.weight.grad, self.convolution.bias.grad
        return torch.cat([weight.flatten(1), bias[:, None]], dim=1)

    def move(self, by: Tensor) -> None:
        """Add to weight and bias."""
        self.convolution.weight += by[:, :-1].reshape(self.convolution.weight.shape)
        self.convolution.bias += by[:, -1]


class Soap:
    """Steps for convolutions with biases; their gradients must have been computed."""

    def __init__(self, convolutions: Iterable[nn.Conv2d]) -> None:
        self._layers = [_Layer.of(convolution) for convolution in convolutions]
        self._steps = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move all weights; ``rate`` is the size of a step, as Adam's."""
        self._steps += 1
        for layer in self._layers:
            layer.move(-rate * self._direction(layer, layer.gradient()))

    def _direction(self, layer: _Layer, gradient: Tensor) -> Tensor:
        layer.mean.lerp_(gradient, 1 - DECAY)
        layer.left.lerp_(gradient @ gradient.T, 1 - DECAY)
        layer.right.lerp_(gradient.T @ gradient, 1 - DECAY)
        if self._steps <= BASIS_STEPS or self._steps % BASIS_STEPS == 1:
            layer.bases = _eigenbasis(layer.left), _eigenbasis(layer.right)
        left, right = layer.bases
        layer.square.lerp_((left.T @ gradient @ right) ** 2, 1 - DECAY)
        started = 1 - DECAY**self._steps
        mean, square = (left.T @ layer.mean @ right) / started, layer.square / started
        return left @ (mean / (square.sqrt() + EPSILON)) @ right.T


def _eigenbasis(symmetric: Tensor) -> Tensor:
    return torch.linalg.eigh(symmetric.double())[1].float()
