"""A model with what it is calibrated on and what it is run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3


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
        return Case(self.model, self.samples, self.inputs[:count], labels, self.options)


def right(outputs: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The part of the logits (count, classes) whose largest is that of the label."""
    return float((outputs.argmax(axis=1) == labels).mean())
