"""The server's sums alone: a 3x3 convolution of 64 to 64 channels on a 512x512 image, from limbs to reduced limbs.

Beside it, in the same run and turn by turn: a square float64 product on the same cores, and OpenFHE's own operations,
a product with a constant plaintext and an addition per weight (encoding not counted; a sample is timed and scaled up).
The rate counts the multiply-adds of the digits that the kernel chose.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from enclair.compiler.parameters import BfvParameters, choose_plaintext_moduli
from enclair.runtime.backends.bfv.context import open_contexts
from enclair.runtime.limbs import sums, workers
from enclair.runtime.limbs.digits import choose_scheme, cut_residues, cut_weights, recombine
from measures.timing import peak_memory

TILE, TAPS = 8, 9
PARAMETERS = BfvParameters(4096, 2, 54, choose_plaintext_moduli(2**34, 4096, 54))
WEIGHT_BITS = 12
SQUARE = 4096
OPENFHE_TERMS = 400


def measure(runs: int, threads: int, channels: int) -> dict[str, Any]:
    """Seconds (medians) and rates; the kernel and the square product take turns, for other work comes and goes."""
    rng = np.random.default_rng(0)
    x, gather, weights, scatter = convolution(rng, channels)
    left, right = rng.standard_normal((2, SQUARE, SQUARE))
    outputs, taps = channels * TILE**2, channels * TAPS

    def convolve() -> object:
        return sums.linear_combination(x, gather, [weights], scatter, outputs, PARAMETERS.primes)

    with threadpool_limits(limits=threads, user_api="blas"):
        turns = [(*both_seconds(convolve), *both_seconds(lambda: left @ right)) for _ in range(runs)]
    kernel, core_seconds, square, square_core = (statistics.median(times) for times in zip(*turns, strict=True))
    scheme = choose_scheme(PARAMETERS.primes[0], row_sum(weights), taps, int(np.abs(weights).max()))
    terms = outputs * taps
    multiply_adds = terms * 2 * PARAMETERS.limbs * PARAMETERS.ring_dim * scheme.products
    openfhe = openfhe_term(x) * terms
    rate, square_rate = 2e-9 * multiply_adds / kernel, 2e-9 * SQUARE**3 / square
    return {
        "channels": channels,
        "threads": threads,
        "terms": terms,
        "kernel_seconds": kernel,
        "kernel_core_seconds": core_seconds,
        "digit_products": scheme.products,
        "kernel_gflops": rate,
        "square_gflops": square_rate,
        "share_of_square": rate / square_rate,
        "share_by_core_seconds": multiply_adds / core_seconds / (SQUARE**3 / square_core),
        "openfhe_core_seconds": openfhe,
        "times_openfhe_core_for_core": openfhe / core_seconds,
        "core_seconds_by_part": parts(x, gather, weights),
        "peak_memory": peak_memory(),
    }


def convolution(rng: np.random.Generator, channels: int) -> tuple[Any, Any, Any, Any]:
    """Limbs of the uploads, and the tables of the sums: every tile of 8x8 has a halo of 1."""
    side = TILE + 2
    primes = np.array(PARAMETERS.primes, dtype=np.uint64)[:, None]
    shape = (channels * side**2, 1, 2, PARAMETERS.limbs, PARAMETERS.ring_dim)
    x = rng.integers(0, primes, shape, dtype=np.uint64)
    numbers = np.arange(channels * side**2).reshape(channels, side, side)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, (3, 3), (1, 2))
    gather = np.ascontiguousarray(windows.transpose(1, 2, 0, 3, 4)).reshape(1, TILE**2, channels * TAPS)
    largest = 2 ** (WEIGHT_BITS - 1)
    weights = rng.integers(-largest, largest, (1, channels, channels * TAPS))
    return x, gather, weights, np.arange(channels * TILE**2).reshape(1, channels, TILE**2)


def parts(x: Any, gather: Any, weights: Any) -> dict[str, float]:
    """Core seconds of converting, multiplying and recombining, from one position on one limb, one thread."""
    prime, n = PARAMETERS.primes[0], 448
    _, channels, taps = weights.shape
    scheme = choose_scheme(prime, row_sum(weights), taps, int(np.abs(weights).max()))
    cut, digits, cols = scheme.residues, cut_weights(weights[0], scheme.weights), gather[0, 0]
    b, c = np.empty((taps, cut.count * n)), np.empty((channels, cut.count * n))
    out, rows = np.zeros((channels, 1, n), dtype=np.uint64), np.arange(channels)
    flat = sums.rows_of(x)
    steps: dict[str, Callable[[int], object]] = {
        "convert": lambda i: cut_residues(flat, i % 4, cols, 0, n, prime, cut.count, cut.bits, b),
        "multiply": lambda _: np.matmul(digits, b, out=c),
        "recombine": lambda _: recombine(c, n, scheme.terms, prime, False, rows, 0, 0, out),
    }
    blocks = TILE**2 * 2 * PARAMETERS.limbs * PARAMETERS.ring_dim / n
    with workers.one_blas_thread():
        return {
            name: blocks * statistics.median(seconds(lambda f=step, i=i: f(i), time.thread_time) for i in range(40))
            for name, step in steps.items()
        }


def openfhe_term(x: Any) -> float:
    """Seconds of one product and one addition, one thread."""
    (context,) = open_contexts(PARAMETERS)
    ciphers = [context.read_ciphertext(limbs[0], b"0" * 32) for limbs in x[:8]]
    weight, total = context.encode_constant(1234), ciphers[0]
    times = []
    for i in range(OPENFHE_TERMS):
        start = time.thread_time()
        context.scheme.EvalAddInPlace(total, context.scheme.EvalMult(ciphers[i % 7 + 1], weight))
        times.append(time.thread_time() - start)
    return statistics.median(times)


def row_sum(weights: Any) -> int:
    """The largest sum of magnitudes of a result's weights."""
    return int(np.abs(weights).sum(axis=2).max())


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long it takes."""
    start = clock()
    work()
    return clock() - start


def both_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long it takes, and the seconds of all cores together."""
    cores = time.process_time()
    wall = seconds(work)
    return wall, time.process_time() - cores
