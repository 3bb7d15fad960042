"""The same rounds with OpenFHE's own operations: what the sums alone would take.

A term of a sum is a product with a plaintext and an addition. Both are timed on the work's ring; the rest is
multiplication by the number of terms. Encoding weights is not counted, and all cores are taken to be used fully.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

import enclair
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.context import open_contexts
from measures.compiled import CLIENT

REPEATED = 200


@dataclass(frozen=True)
class Operations:
    """Milliseconds of one operation on one core."""

    multiply_ms: float
    add_ms: float

    def seconds(self, products: int, threads: int) -> float:
        """Of so many products and additions on so many cores."""
        return products * (self.multiply_ms + self.add_ms) / 1e3 / threads


def operations_for(folder: Path) -> Operations:
    """Measured on the ring of the program in a folder."""
    return measure(enclair.load_client(folder / CLIENT).parameters)


def measure(parameters: BfvParameters) -> Operations:
    """Medians of ``EvalMult`` by a constant and ``EvalAddInPlace``."""
    context = open_contexts(parameters)[0]
    scheme = context.scheme
    keys = scheme.KeyGen()
    plaintext = scheme.MakePackedPlaintext(np.full(parameters.ring_dim, 1234, dtype=np.int64))
    x, total = (scheme.Encrypt(keys.publicKey, plaintext) for _ in range(2))
    multiply, add = [], []
    for _ in range(REPEATED):
        start = time.perf_counter()
        product = scheme.EvalMult(x, plaintext)
        middle = time.perf_counter()
        scheme.EvalAddInPlace(total, product)
        multiply.append(middle - start)
        add.append(time.perf_counter() - middle)
    return Operations(1e3 * median(multiply), 1e3 * median(add))
