"""A model with what it is calibrated on and what it is run on."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from example_tools.encrypted import Job
from numpy.typing import NDArray

TOLERANCE = 1e-3
FULL_ALONE = ("max_rotation_keys", "max_ram")
"""Options that split mode does not take."""


@dataclass(frozen=True)
class Case:
    """A network and its data.

    Args:
        model: for ``enclair.compile``, with one input and one output.
        samples: to calibrate on, (count, ...).
        inputs: to run, (count, ...): none of them is a sample.
        labels: the classes of the inputs, where somebody knows them.
        options: further arguments of ``enclair.compile``.
    """

    model: Any
    samples: NDArray[np.float32]
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: {"tolerance": TOLERANCE})

    def first(self, count: int) -> Case:
        """The same with so many inputs at most."""
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, inputs=self.inputs[:count], labels=labels)

    def within(self, tolerance: float) -> Case:
        """The same with another tolerance."""
        return replace(self, options={**self.options, "tolerance": tolerance})

    def options_in(self, mode: str) -> dict[str, Any]:
        """The arguments of ``enclair.compile`` in a mode; full mode's own are left out in the other."""
        others = () if mode == "full" else FULL_ALONE
        return {"mode": mode, **{name: value for name, value in self.options.items() if name not in others}}

    def job(self, mode: str) -> Job:
        """To compile in a mode and to run; the input has the name that ``forward`` gives its first argument."""
        name = next(iter(inspect.signature(self.model.forward).parameters))
        return Job(self.model, {name: self.samples}, {name: self.inputs}, self.options_in(mode))


def right(outputs: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The part of the logits (count, classes) whose largest is that of the label."""
    return float((outputs.argmax(axis=1) == labels).mean())
