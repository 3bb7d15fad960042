"""PyTorch modules for the tests; torch is imported when they are made."""

from __future__ import annotations

from typing import Any


def residual_network() -> Any:
    """Convolutions, batch normalisation, a skip, pools and a linear layer."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)
            )
            self.skip = nn.Conv2d(3, 8, 1, bias=False)
            self.norm = nn.BatchNorm2d(8)
            self.pool = nn.MaxPool2d(2)
            self.head = nn.Linear(8, 5)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            both = self.norm(self.pool(self.body(image) + self.skip(image)).relu())
            return self.head(nn.functional.adaptive_avg_pool2d(both, 1).flatten(1))

    torch.manual_seed(0)
    module = Residual()
    module(torch.randn(4, 3, 16, 16))  # gives the running statistics values of their own
    return module


def pair() -> Any:
    """left - 2 right."""
    import torch

    class Pair(torch.nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return left - 2 * right

    return Pair()
