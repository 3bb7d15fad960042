from collections.abc import Callable

import pytest
import torch
from full_models.soap import Soap
from torch import nn

pytestmark = pytest.mark.torch


def regression(stretch: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Features that share a large mean, and what a line makes of them."""
    random = torch.Generator().manual_seed(0)
    features = stretch + torch.randn(256, 3, 1, 1, generator=random)
    slopes = torch.tensor([1.0, -2.0, 0.5]).reshape(3, 1, 1)
    return features, (features * slopes).sum(dim=1, keepdim=True) + 1


def fitted(stretch: float, steps: int, optimiser_of: Callable[[nn.Conv2d], Callable[[float], None]]) -> float:
    """The mean square error that is left."""
    torch.manual_seed(0)
    layer, (features, wanted) = nn.Conv2d(3, 1, 1), regression(stretch)
    step = optimiser_of(layer)
    for number in range(steps):
        layer.zero_grad()
        loss = ((layer(features) - wanted) ** 2).mean()
        loss.backward()
        step(0.1 * (1 - number / steps))
    return loss.item()


def soap(layer: nn.Conv2d) -> Callable[[float], None]:
    return Soap([layer]).step


def adam(layer: nn.Conv2d) -> Callable[[float], None]:
    optimiser = torch.optim.Adam(layer.parameters())

    def step(rate: float) -> None:
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()

    return step


def test_a_line_is_found():
    assert fitted(0.0, 200, soap) < 1e-3


def test_a_shared_mean_harms_it_less_than_adam():
    assert fitted(10.0, 200, soap) < 0.5 * fitted(10.0, 200, adam)


def test_the_first_step_is_as_large_as_the_rate():
    """In its basis every direction that has a gradient moves by the rate, as in Adam."""
    layer = nn.Conv2d(1, 1, 1)
    before = torch.cat([parameter.detach().flatten() for parameter in layer.parameters()])
    (layer(torch.ones(1, 1, 1, 1)).sum()).backward()
    Soap([layer]).step(0.01)
    after = torch.cat([parameter.detach().flatten() for parameter in layer.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.01, rel=1e-3)
