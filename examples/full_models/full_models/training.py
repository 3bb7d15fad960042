"""Train a classifier: Adam with a cosine schedule, seconds on one core, the same weights from the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from full_models.digits import Digits


@dataclass(frozen=True)
class Schedule:
    """``epochs`` of batches in random order; the rate falls from ``rate`` to nothing. ``decay`` is of the weights.

    ``smoothing`` of the labels keeps the logits small: what counts under encryption is the error beside their range.
    ``penalty`` is the weight of what ReLUs are given beyond ``reach``: their polynomials' errors grow with the range.
    """

    epochs: int = 12
    batch: int = 64
    rate: float = 2e-3
    decay: float = 1e-2
    smoothing: float = 0.1
    seed: int = 0
    penalty: float = 0.0
    reach: float = 3.0


SCHEDULES = {"square": Schedule(), "relu": Schedule(penalty=1.0)}
"""By the name of the activation."""


def train(model: nn.Module, digits: Digits, schedule: Schedule) -> nn.Module:
    """Train a model whose weights are drawn here first, on one thread: sums do not depend on the machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train(model, digits, schedule)
    finally:
        torch.set_num_threads(threads)


def _train(model: nn.Module, digits: Digits, schedule: Schedule) -> nn.Module:
    torch.manual_seed(schedule.seed)
    for module in model.modules():
        _draw(module)
    steps = schedule.epochs * (len(digits) // schedule.batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=schedule.rate, weight_decay=schedule.decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    model.train()
    with _rectified(model) as given:
        for images, labels in _batches(digits, schedule):
            given.clear()
            optimiser.zero_grad()
            loss = cross_entropy(model(images), labels, label_smoothing=schedule.smoothing)
            (loss + schedule.penalty * sum(_excess(x, schedule.reach) for x in given)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            cosine.step()
    return model.eval()


@contextmanager
def _rectified(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list to which every ReLU adds what it is given."""
    given: list[Tensor] = []
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    hooks = [relu.register_forward_pre_hook(lambda _, args: given.append(args[0])) for relu in relus]
    try:
        yield given
    finally:
        for hook in hooks:
            hook.remove()


def _excess(x: Tensor, reach: float) -> Tensor:
    """Mean square of what is beyond, over the reach; the largest element counts as much again."""
    share = torch.relu(x.abs() - reach) / reach
    return (share**2).mean() + share.max() ** 2


def _draw(module: Any) -> None:
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()


def _batches(digits: Digits, schedule: Schedule) -> Iterator[tuple[Tensor, Tensor]]:
    random = np.random.default_rng(schedule.seed)
    for _ in range(schedule.epochs):
        order = random.permutation(len(digits))
        for first in range(0, len(order) - schedule.batch + 1, schedule.batch):
            chosen = order[first : first + schedule.batch]
            yield torch.from_numpy(digits.images[chosen]), torch.from_numpy(digits.labels[chosen])


def accuracy(model: nn.Module, digits: Digits) -> float:
    """The part of the digits that a model classifies right."""
    with torch.no_grad():
        logits = model(torch.from_numpy(digits.images))
    return float((logits.argmax(1).numpy() == digits.labels).mean())
