"""OpenFHE's own operations, the yardstick of the kernel: one product and one addition per weight.

OpenFHE lifts a plaintext to [0, t), so a factor -1 would grow the noise by t - 1: magnitudes are multiplied, signs are
subtractions. A ciphertext is a tuple, one for each plaintext modulus.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openfhe

from enclair.compiler.ir.ops.packed import terms
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.context import Context, open_contexts
from enclair.runtime.backends.bfv.ring import constant
from enclair.runtime.backends.frames import Limbs
from enclair.runtime.backends.integers import centred
from enclair.runtime.backends.interface import Integers

TAG = b"0" * 32


def each(parameters: BfvParameters, x: Limbs, work: Any) -> Limbs:
    """Do ``work(context, ciphertexts)`` under each plaintext modulus, on batches (count, moduli, 2, limbs, N)."""
    parts = []
    for number, context in enumerate(open_contexts(parameters)):
        results = work(context, [context.read_ciphertext(limbs[number], TAG) for limbs in x])
        parts.append(np.stack([context.write_ciphertext(result) for result in results]))
    return np.stack(parts, axis=1)


def linear_combination(
    context: Context, x: list[Any], gather: Integers, weights: Integers, scatter: Integers, outputs: int
) -> list[Any]:
    rows, cols, values = terms(gather, centred(weights, context.plaintext_modulus), scatter)
    sums = [constant(context, 0) for _ in range(outputs)]
    for row, col, value in zip(rows.tolist(), cols.tolist(), values.tolist(), strict=True):
        product = context.scheme.EvalMult(x[col], context.encode_constant(abs(value)))
        operate = context.scheme.EvalSub if value < 0 else context.scheme.EvalAdd
        sums[row] = operate(sums[row], product)
    return sums


def slot_combination(
    context: Context, x: list[Any], rows: Integers, cols: Integers, vectors: Integers, outputs: int
) -> list[Any]:
    sums = [constant(context, 0) for _ in range(outputs)]
    for row, col, vector in zip(rows.tolist(), cols.tolist(), vectors, strict=True):
        plaintext = context.encode(centred(vector, context.plaintext_modulus))
        sums[row] = context.scheme.EvalAdd(sums[row], context.scheme.EvalMult(x[col], plaintext))
    return sums


def polynomial_combination(context: Context, x: list[Any], weights: Integers, chunks: int) -> list[Any]:
    """Products with packed coefficients, for plaintext moduli below 2^32; magnitudes times, signs subtracted."""
    outputs, inputs, blocks = weights.shape
    sums = [constant(context, 0) for _ in range(chunks * outputs)]
    for chunk, o, k in np.ndindex(chunks, outputs, inputs):
        factor = np.zeros(context.ring_dim, dtype=np.int64)
        factor[:: context.ring_dim // blocks] = centred(weights[o, k], context.plaintext_modulus)
        for sign, operate in ((1, context.scheme.EvalAdd), (-1, context.scheme.EvalSub)):
            plaintext = context.scheme.MakeCoefPackedPlaintext(np.maximum(sign * factor, 0).tolist())
            ciphertext = x[chunk * inputs + k]
            ciphertext.SetEncodingType(openfhe.PlaintextEncodings.COEF_PACKED_ENCODING)
            row = chunk * outputs + o
            sums[row].SetEncodingType(openfhe.PlaintextEncodings.COEF_PACKED_ENCODING)
            sums[row] = operate(sums[row], context.scheme.EvalMult(ciphertext, plaintext))
    return sums


def add_vectors(context: Context, x: list[Any], vectors: Integers) -> list[Any]:
    full = np.broadcast_to(centred(vectors, context.plaintext_modulus), (len(x), context.ring_dim))
    return [
        context.scheme.EvalAdd(ciphertext, context.encode(np.ascontiguousarray(vector))) if vector.any() else ciphertext
        for ciphertext, vector in zip(x, full, strict=True)
    ]


def add(context: Context, x: list[Any], y: list[Any]) -> list[Any]:
    return [context.scheme.EvalAdd(left, right) for left, right in zip(x, y, strict=True)]


def subtract(context: Context, x: list[Any], y: list[Any]) -> list[Any]:
    return [context.scheme.EvalSub(left, right) for left, right in zip(x, y, strict=True)]


def drop_primes(context: Context, limbs: Limbs) -> Limbs:
    """Residues (2, N) modulo the first prime of a ciphertext (2, limbs, N), by ``Compress``."""
    return context.write_answer(context.scheme.Compress(context.read_ciphertext(limbs, TAG), 1))[:, 0]
