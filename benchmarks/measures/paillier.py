"""The same network with Paillier, one ciphertext a pixel, as Yang et al. released it.

The client encrypts every value that a layer takes, the server multiplies by encoded weights and adds, the client
decrypts every value that a layer makes. Part of one layer is run; the whole network is an extrapolation by its numbers
of encryptions, products and decryptions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from phe import paillier
from phe.util import HAVE_GMP

import enclair
from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.types import TensorType
from measures.compiled import PROGRAM
from measures.timing import timed

KEY_BITS = 2048
PATCH, KERNEL = 5, 3
"""Pixels across the patch that is run, and the kernel: nine results, 81 products."""


@dataclass(frozen=True)
class Layers:
    """What the layers with weights of a network take, make, and multiply."""

    taken: int
    made: int
    products: int


@dataclass(frozen=True)
class Costs:
    """Seconds of one encryption, one product with its addition, one decryption, on one core."""

    encrypt: float
    multiply_add: float
    decrypt: float

    def seconds(self, layers: Layers, threads: int) -> float:
        """Of a network on so many cores."""
        work = layers.taken * self.encrypt + layers.products * self.multiply_add + layers.made * self.decrypt
        return work / threads


def extrapolate(folder: Path, threads: int) -> dict[str, Any]:
    """Measure, and extrapolate to the program in a folder."""
    layers, costs = count(enclair.load(folder / PROGRAM).fixed), measure()
    facts = {"key_bits": KEY_BITS, "gmp": bool(HAVE_GMP), **asdict(layers), "seconds_each": asdict(costs)}
    return {**facts, "seconds": costs.seconds(layers, threads)}


def count(fixed: Graph) -> Layers:
    """Elements and products of all layers with weights."""
    found = [_layer(fixed, node) for node in fixed.nodes if _has_weights(fixed, node)]
    return Layers(*(sum(column) for column in zip(*found, strict=True)))


def _has_weights(fixed: Graph, node: Node) -> bool:
    return isinstance(node.op, Conv | ConvTranspose | MatMul) and fixed.is_constant(node.args[1])


def _layer(fixed: Graph, node: Node) -> tuple[int, int, int]:
    taken, made = _size(node.args[0].type), _size(node.out.type)
    weights = fixed.constant(node.args[1])
    if isinstance(node.op, MatMul):
        return taken, made, made * weights.shape[-2]
    each = weights[0].size
    return taken, made, (made if isinstance(node.op, Conv) else taken) * each


def _size(type_: Any) -> int:
    return prod(type_.shape) if isinstance(type_, TensorType) else 0


def measure() -> Costs:
    """Run the first results of a convolution on a small patch."""
    public, private = paillier.generate_paillier_keypair(n_length=KEY_BITS)
    draw = np.random.default_rng(0)
    pixels, weights = draw.random(PATCH**2).tolist(), draw.normal(size=KERNEL**2).tolist()
    encrypting, image = timed(lambda: [public.encrypt(pixel) for pixel in pixels])
    positions = [(i, j) for i in range(PATCH - KERNEL + 1) for j in range(PATCH - KERNEL + 1)]
    summing, results = timed(lambda: [_window_sum(image, weights, i, j) for i, j in positions])
    decrypting, values = timed(lambda: [private.decrypt(result) for result in results])
    _check(values, pixels, weights, positions)
    products = len(positions) * len(weights)
    return Costs(encrypting / len(pixels), summing / products, decrypting / len(values))


def _window_sum(image: list[Any], weights: list[float], i: int, j: int) -> Any:
    window = [image[(i + a) * PATCH + j + b] for a in range(KERNEL) for b in range(KERNEL)]
    return sum((x * w for x, w in zip(window[1:], weights[1:], strict=True)), window[0] * weights[0])


def _check(values: list[float], pixels: list[float], weights: list[float], positions: list[tuple[int, int]]) -> None:
    image, kernel = np.reshape(pixels, (PATCH, PATCH)), np.reshape(weights, (KERNEL, KERNEL))
    expected = [float((image[i : i + KERNEL, j : j + KERNEL] * kernel).sum()) for i, j in positions]
    np.testing.assert_allclose(values, expected, rtol=1e-9)
