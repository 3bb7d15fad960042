"""Polynomial activations for PyTorch models that are to run in full mode.

    model = enclair.torch.polynomialise(model, samples, degree=2)
    enclair.torch.fine_tune(model, loader, torch.nn.functional.cross_entropy, epochs=3)
    enclair.compile(model, samples, mode="full", tolerance=1e-3)

An activation of degree 2 takes two levels, where ReLU by tolerance takes eight and more. What makes such models train
is that inputs of activations stay in the interval where the polynomial resembles what it replaced: ``range_penalty``
is a loss term for it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from enclair.compiler.approx.series import least_squares
from enclair.compiler.errors import CalibrationError, CompileError

ACTIVATIONS: tuple[Any, ...] = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Softsign,
)  # fmt: skip
"""Modules that ``polynomialise`` replaces."""
MAX_POOLS: tuple[Any, ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVERAGE_POOLS: dict[Any, Any] = {
    nn.MaxPool1d: nn.AvgPool1d,
    nn.MaxPool2d: nn.AvgPool2d,
    nn.MaxPool3d: nn.AvgPool3d,
}
SMALLEST_REACH = 1e-3


class TrainablePolynomial(nn.Module):  # type: ignore[misc]  # torch is Any to the type checker
    """sum_k a_k x^k with trainable coefficients, in the form that takes the fewest levels.

    Coefficients are kept for x over ``reach``, so that all are of one size and one learning rate does. In ONNX it is
    x (a_2 x + a_1) + a_0 for degree 2, and x x (a_3 x + a_2) + (a_1 x + a_0) for degree 3.

    Args:
        coefficients: a_0, a_1, ... of powers of x / reach; two to four of them.
        low, high: the interval in which inputs should stay.
    """

    def __init__(self, coefficients: Sequence[float], low: float, high: float) -> None:
        super().__init__()
        if not 2 <= len(coefficients) <= 4:
            raise CompileError(f"a trainable polynomial has degree 1 to 3, got {len(coefficients) - 1}")
        reach = max(abs(low), abs(high), SMALLEST_REACH)
        self.low, self.high = float(low), float(high)
        self.scaled = nn.Parameter(torch.tensor(list(coefficients), dtype=torch.float32))
        self.register_buffer("shrink", torch.tensor([reach**-power for power in range(len(coefficients))]))
        self.penalty: torch.Tensor | None = None

    @property
    def coefficients(self) -> torch.Tensor:
        """a_0, a_1, ... of powers of x itself."""
        return self.scaled * self.shrink

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The polynomial of each element. In training it notes how far x is outside of the interval."""
        if self.training:
            self.penalty = self._excess(x)
        a = self.coefficients.unbind()
        if len(a) == 4:
            return x * x * (a[3] * x + a[2]) + (a[1] * x + a[0])
        return x * (a[2] * x + a[1]) + a[0] if len(a) == 3 else a[1] * x + a[0]

    def extra_repr(self) -> str:
        """Degree and interval."""
        return f"degree={len(self.scaled) - 1}, low={self.low:.4g}, high={self.high:.4g}"

    def _excess(self, x: torch.Tensor) -> torch.Tensor:
        """Mean square of what is outside, over the interval's half width; the largest element counts as much again."""
        outside = torch.relu(x - self.high) + torch.relu(self.low - x)
        share = outside / max((self.high - self.low) / 2, SMALLEST_REACH)
        return (share**2).mean() + share.max() ** 2


def polynomialise(
    model: nn.Module,
    samples: Iterable[Any],
    degree: int = 2,
    *,
    margin: float = 0.25,
    average_pools: bool = True,
) -> nn.Module:
    """A copy of the model with trainable polynomials for activations.

    Each is the least-squares fit of the activation on the interval that its inputs reach on the samples, widened.
    The result needs fine-tuning (``fine_tune``, or a training loop with ``range_penalty`` in the loss).

    Args:
        model: with activations as modules (``nn.ReLU``), not as functions in ``forward``.
        samples: inputs: tensors, or tuples of them for several arguments.
        degree: 2 (two levels) or 3 (two levels, one product more).
        margin: by what share the intervals are widened.
        average_pools: also replace max pools by average pools of the same windows.

    Raises:
        CompileError: the degree is another, or the model has no activation modules.
        CalibrationError: there are no samples, or an activation is not reached by them, or not finite.
    """
    if degree not in (2, 3):
        raise CompileError(f"polynomialise makes polynomials of degree 2 or 3, got {degree}")
    made = copy.deepcopy(model)
    if not (activations := {m: name for name, m in made.named_modules() if isinstance(m, ACTIVATIONS)}):
        raise CompileError(
            "the model has no activation modules to replace; write nn.ReLU() in __init__ instead of F.relu in forward"
        )
    ranges = _ranges(made, activations, samples)
    new: dict[Any, nn.Module] = {old: _fitted(old, *_widened(ranges[old], margin), degree) for old in activations}
    if average_pools:
        new |= {pool: _average(pool, name) for name, pool in made.named_modules() if isinstance(pool, MAX_POOLS)}
    return _replaced(made, new)


def range_penalty(model: nn.Module) -> torch.Tensor:
    """How far inputs of polynomials were outside of their intervals in the last training step: a term for the loss.

    Raises:
        CompileError: the model has no polynomials, or has not run in training mode.
    """
    polynomials = [m for m in model.modules() if isinstance(m, TrainablePolynomial)]
    found = [polynomial.penalty for polynomial in polynomials if polynomial.penalty is not None]
    if not found:
        raise CompileError(
            f"range_penalty needs a model that has run in training mode: it has {len(polynomials)} trainable"
            " polynomials, and none has seen an input; call model.train() and model(inputs) first"
        )
    return torch.stack(found).sum()


def fine_tune(
    model: nn.Module,
    loader: Iterable[tuple[Any, Any]],
    loss: Callable[[Any, Any], torch.Tensor],
    *,
    epochs: int = 1,
    learning_rate: float = 1e-3,
    penalty: float = 1.0,
    largest_gradient: float = 1.0,
) -> list[float]:
    """Train with Adam, a falling learning rate and the range penalty; the mean loss of each epoch, without the penalty.

    The model is changed in place, and left in evaluation mode.

    Args:
        model: from ``polynomialise``.
        loader: pairs of inputs (a tensor or a tuple) and targets; it is gone through once an epoch.
        loss: of outputs and targets.
        epochs: how often.
        learning_rate: at the start; it falls to nothing as a cosine.
        penalty: weight of ``range_penalty``.
        largest_gradient: norm at which gradients are cut.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(epochs, 1))
    model.train()
    history = []
    for _ in range(epochs):
        history.append(_epoch(model, loader, loss, optimiser, penalty, largest_gradient))
        schedule.step()
    model.eval()
    return history


def _epoch(
    model: nn.Module,
    loader: Iterable[tuple[Any, Any]],
    loss: Callable[[Any, Any], torch.Tensor],
    optimiser: torch.optim.Optimizer,
    penalty: float,
    largest_gradient: float,
) -> float:
    total, count = 0.0, 0
    for inputs, targets in loader:
        optimiser.zero_grad()
        value = loss(_called(model, inputs), targets)
        (value + penalty * range_penalty(model)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), largest_gradient)
        optimiser.step()
        total, count = total + float(value.detach()), count + 1
    return total / max(count, 1)


def _called(model: nn.Module, inputs: Any) -> Any:
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


def _ranges(model: nn.Module, activations: dict[Any, str], samples: Iterable[Any]) -> dict[Any, tuple[float, float]]:
    """What the inputs of each activation reach, over all of its uses."""
    seen: dict[Any, tuple[float, float]] = {}

    def observe(module: Any, args: tuple[torch.Tensor, ...]) -> None:
        low, high = float(args[0].min()), float(args[0].max())
        if not (torch.isfinite(args[0]).all()):
            raise CalibrationError(f"inputs of activation {activations[module]!r} are not finite on the samples")
        before = seen.get(module, (low, high))
        seen[module] = min(low, before[0]), max(high, before[1])

    hooks = [module.register_forward_pre_hook(observe) for module in activations]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for sample in samples:
                _called(model, sample)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    if missing := [name for module, name in activations.items() if module not in seen]:
        raise CalibrationError(
            f"no sample reaches the activations {', '.join(missing)}: give at least one sample, and take unused"
            " modules out of the model"
        )
    return seen


def _widened(range_: tuple[float, float], margin: float) -> tuple[float, float]:
    low, high = range_
    reach = max(margin * (high - low) / 2, SMALLEST_REACH)
    return low - reach, high + reach


def _fitted(activation: nn.Module, low: float, high: float, degree: int) -> TrainablePolynomial:
    """The least-squares polynomial of the activation, in powers of x over the larger end."""

    def function(x: Any) -> Any:
        with torch.no_grad():
            return (
                activation(torch.tensor(np.asarray(x), dtype=torch.float32).reshape(1, 1, -1)).double().numpy().ravel()
            )

    series = least_squares(function, degree, low, high)
    reach = max(abs(low), abs(high), SMALLEST_REACH)
    x = np.linspace(low, high, 4 * degree + 1, dtype=np.float64)
    powers = np.polynomial.polynomial.polyfit(x / reach, series(x), degree)
    return TrainablePolynomial(powers.tolist(), low, high)


def _average(pool: Any, name: str) -> nn.Module:
    """The average pool with the windows of a max pool."""
    if pool.dilation not in (1, (1,), (1, 1), (1, 1, 1)) or pool.return_indices:
        raise CompileError(
            f"max pool {name!r} has dilated windows or returns indices: no average pool does; replace it by hand,"
            " or give average_pools=False"
        )
    return AVERAGE_POOLS[type(pool)](pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)


def _replaced(model: nn.Module, new: dict[Any, nn.Module]) -> nn.Module:
    """Put the new modules where the old ones are, under every name that they have."""
    if model in new:
        return new[model]
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # noqa: SLF001  # named_children leaves out repeated ones
            if child in new:
                setattr(parent, name, new[child])
    return model
