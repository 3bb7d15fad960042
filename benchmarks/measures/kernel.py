"""The server's sums alone: a 3 x 3 convolution on ciphertexts in memory, beside a square product of float64 matrices.

A slot is a tile of 8 x 8 pixels, a ciphertext one position of one channel, as in the programs for 512 x 512 pixels and
N = 4096. The work is counted in multiply-adds of digits: residues and weights are cut so that sums in float64 are
exact, and each pair of a residue's digit and a weight's digit is one product.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.parameters import BfvParameters, choose_plaintext_moduli
from enclair.runtime.backends.evaluators import make_evaluator
from enclair.runtime.backends.key_holders import make_key_holder
from measures.openfhe_operations import measure as measure_openfhe
from measures.timing import median_seconds, peak_memory

RING_DIM, LIMBS, PRIME_BITS = 4096, 2, 54
TILE, KERNEL, WEIGHT_BITS, ACTIVATION_BITS = 8, 3, 12, 12
SQUARE = 4096
FLOAT64_BITS = 53

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """The arguments of ``Evaluator.linear_combination``."""

    count: int
    gather: Integers
    weights: Integers
    scatter: Integers
    outputs: int

    @property
    def terms(self) -> int:
        """Products of a ciphertext and a weight."""
        return int(np.count_nonzero(self.weights)) * self.gather.shape[1]


def measure(runs: int, threads: int, channels: int) -> dict[str, Any]:
    """All figures of the kernel; 64 ``channels`` at 512 x 512 pixels are the work in full."""
    sums = convolution(channels)
    parameters = parameters_for(sums)
    keys = make_key_holder("bfv", parameters)
    evaluator = make_evaluator("bfv", parameters, keys.public_key())
    x = evaluator.load(keys.encrypt(random_values(sums.count)), sums.count)
    seconds = median_seconds(lambda: combine(evaluator, x, sums), runs)
    memory, openfhe = peak_memory(), measure_openfhe(parameters)
    return {
        "channels": channels,
        "terms": sums.terms,
        "seconds": seconds,
        "digit_products": (products := digit_products(sums)),
        "multiply_adds": (work := 2 * LIMBS * RING_DIM * sums.terms * products),
        "rate": work / seconds,
        "square_rate": (square := square_rate(runs)),
        "part_of_square_rate": work / seconds / square,
        "openfhe_ms": asdict(openfhe),
        "openfhe_seconds": (theirs := openfhe.seconds(sums.terms, threads)),
        "times_faster_than_openfhe": theirs / seconds,
        "peak_memory": memory,
    }


def combine(evaluator: Any, x: Any, sums: Sums) -> Any:
    """The call that is timed: from input limbs in memory to reduced output limbs."""
    return evaluator.linear_combination(x, sums.gather, sums.weights, sums.scatter, sums.outputs)


def convolution(channels: int) -> Sums:
    """The sums of a convolution from ``channels`` to as many."""
    edge, taps = TILE + KERNEL - 1, [(i, j) for i in range(KERNEL) for j in range(KERNEL)]
    read = [c * edge**2 + i * edge + j for c in range(channels) for i, j in taps]
    pixels = np.array([i * edge + j for i in range(TILE) for j in range(TILE)])
    largest = 2 ** (WEIGHT_BITS - 1) - 1
    weights = np.random.default_rng(0).integers(-largest, largest + 1, (1, channels, len(read)))
    scatter = np.arange(channels * TILE**2).reshape(1, channels, -1)
    gather = pixels[None, :, None] + np.array(read)[None, None]
    return Sums(channels * edge**2, gather, weights, scatter, channels * TILE**2)


def parameters_for(sums: Sums) -> BfvParameters:
    """A ring whose plaintext modulus holds the sums."""
    largest = int(np.abs(sums.weights).sum(axis=2).max()) << (ACTIVATION_BITS - 1)
    moduli = choose_plaintext_moduli(largest, RING_DIM, PRIME_BITS)
    return BfvParameters(RING_DIM, LIMBS, PRIME_BITS, moduli)


def random_values(count: int) -> Integers:
    """Activations for so many ciphertexts, (count, slots)."""
    largest = 2 ** (ACTIVATION_BITS - 1)
    return np.random.default_rng(1).integers(-largest, largest, (count, RING_DIM))


def digit_products(sums: Sums) -> int:
    """The fewest products of digits with which float64 sums are exact: signed digits of a and b bits, sums of K
    products below 2^(a - 1 + b - 1) K.
    """
    room = FLOAT64_BITS + 2 - ceil(log2(sums.gather.shape[2]))
    splits = range(1, room)
    return min(ceil(PRIME_BITS / a) * ceil(WEIGHT_BITS / (room - a)) for a in splits)


def square_rate(runs: int) -> float:
    """Multiply-adds a second of a square product of float64 matrices."""
    a, b = np.random.default_rng(2).random((2, SQUARE, SQUARE))
    return SQUARE**3 / median_seconds(lambda: a @ b, max(runs, 3))
