"""Activations that ciphertexts can compute exactly: polynomials of degrees 2 and 4."""

from __future__ import annotations

from torch import Tensor, nn


class Square(nn.Module):
    """``x * x``: one product of ciphertexts, one level."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * x


class Quartic(nn.Module):
    """``(x^2 - 1)^2 - 5/4 x``: two squares, two levels.

    On -1..1, turned over and made smaller it is near ReLU: ``relu(x)`` is ``FACTOR * quartic(x) + OFFSET`` within
    ``ERROR``. Factor and offset are for the next linear layer to take.
    """

    SLOPE = -1.25
    FACTOR = -0.4
    OFFSET = 0.46
    ERROR = 0.0601

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        near = x * x - 1.0
        return near * near + self.SLOPE * x


ACTIVATIONS: dict[str, type[nn.Module]] = {"square": Square, "relu": nn.ReLU}
"""By the name that stands in a model's name."""
