"""Attackers that are trained: from features and pictures to pictures.

Targets and features are standardised by the caller. What is left open (how much to smooth, when to stop) is chosen on
the last quarter of the pairs given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Learner = Callable[[Matrix, Matrix, Matrix], Matrix]
"""From features (pairs, features), targets (pairs, pixels) and other features to what these are taken for."""

SMOOTHING = tuple(10.0**power for power in range(-4, 5))
HIDDEN, EPOCHS, BATCH, STEP = 64, 20, 16, 2e-3


def ridge(features: Matrix, targets: Matrix, others: Matrix) -> Matrix:
    """Linear least squares with a penalty, solved in the space of the pairs."""
    kept = len(features) * 3 // 4
    chosen = min(
        SMOOTHING,
        key=lambda penalty: _error(_ridge(features[:kept], targets[:kept], features[kept:], penalty), targets[kept:]),
    )
    return _ridge(features, targets, others, chosen)


def perceptron(features: Matrix, targets: Matrix, others: Matrix) -> Matrix:
    """One hidden layer of 64 ReLUs, trained with Adam, as it was after its best epoch."""
    kept, random = len(features) * 3 // 4, np.random.default_rng(0)
    net = _Perceptron(features.shape[1], targets.shape[1], random)
    best, result = np.inf, np.zeros((len(others), targets.shape[1]), np.float32)
    for _ in range(EPOCHS):
        for batch in np.array_split(random.permutation(kept), kept // BATCH):
            net.train(features[batch], targets[batch])
        error = _error(net(features[kept:]), targets[kept:])
        if error < best:
            best, result = error, net(others)
    return result


LEARNERS: Mapping[str, Learner] = {"ridge": ridge, "perceptron": perceptron}


class _Perceptron:
    """Weights, and Adam's moments of their gradients (Kingma and Ba, 2015)."""

    def __init__(self, inputs: int, outputs: int, random: np.random.Generator) -> None:
        sizes = ((inputs, HIDDEN), (HIDDEN,), (HIDDEN, outputs), (outputs,))
        self.weights = [np.zeros(size, np.float32) for size in sizes]
        self.weights[0] += (random.normal(size=sizes[0]) / np.sqrt(inputs)).astype(np.float32)
        self.first, self.second = ([np.zeros_like(w) for w in self.weights] for _ in range(2))
        self.steps = 0

    def __call__(self, x: Matrix) -> Matrix:
        inner, inner_bias, outer, outer_bias = self.weights
        return np.maximum(x @ inner + inner_bias, 0) @ outer + outer_bias

    def train(self, x: Matrix, y: Matrix) -> None:
        """One step down the gradient of the squared error."""
        inner, inner_bias, outer, outer_bias = self.weights
        hidden = np.maximum(x @ inner + inner_bias, 0)
        gap = (hidden @ outer + outer_bias - y) / len(x)
        back = (gap @ outer.T) * (hidden > 0)
        self._step([x.T @ back, back.sum(axis=0), hidden.T @ gap, gap.sum(axis=0)])

    def _step(self, gradients: list[Matrix]) -> None:
        self.steps += 1
        for i, gradient in enumerate(gradients):
            self.first[i] += 0.1 * (gradient - self.first[i])
            self.second[i] += 0.001 * (gradient**2 - self.second[i])
            scale = np.sqrt(self.second[i] / (1 - 0.999**self.steps)) + 1e-8
            self.weights[i] -= STEP * self.first[i] / (1 - 0.9**self.steps) / scale


def _ridge(features: Matrix, targets: Matrix, others: Matrix, penalty: float) -> Matrix:
    kernel = features @ features.T / features.shape[1]
    weights = np.linalg.solve(kernel + np.float32(penalty) * np.eye(len(kernel), dtype=np.float32), targets)
    result: Matrix = (others @ features.T / features.shape[1]) @ weights
    return result


def _error(found: Matrix, truth: Matrix) -> float:
    return float(((found - truth) ** 2).mean())
