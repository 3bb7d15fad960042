"""Between sets of primes: digits and ModUp, ModDown and rescaling.

The residues of c modulo the sources s give c = sum_i y_i S/s_i - v S with y_i = c (S/s_i)^-1 mod s_i, centred, and
v = round(sum_i y_i / s_i): c is centred modulo S, but for values next to S/2, where the other neighbour may come out,
as good a representative. (Halevi, Polyakov and Shoup, CT-RSA 2019.)
"""

from __future__ import annotations

import numpy as np

from enclair.runtime.limbs.compiled import FLOAT, INT, Floats, Integers, compiled, read, write
from enclair.runtime.rns.lanes import MAGIC, centred, full, load, multiply_add, product, store
from enclair.runtime.rns.transforms import backward, forward

FEW = 6
"""Products modulo a prime that are added up before a reduction."""


@compiled(write(FLOAT, 2), read(FLOAT, 1))
def _estimate(scaled: Floats, inverses: Floats) -> None:
    """The last row of scaled (sources + 1, N): v, from the y in the others."""
    sources, size, magic = inverses.size, scaled.shape[1], full(MAGIC)
    for j in range(0, size, 8):
        v = full(0.0)
        for i in range(sources):
            v = multiply_add(load(scaled, i * size + j), full(inverses[i]), v)
        store(scaled, sources * size + j, (v + magic) - magic)


@compiled(read(FLOAT, 2), INT, read(FLOAT, 2), INT, FLOAT, write(FLOAT, 1))
def _convert(scaled: Floats, sources: int, factors: Floats, row: int, prime: float, out: Floats) -> None:
    """Out (N,): coefficients modulo ``prime``, that of ``row``, from the y and v (sources + 1, N)."""
    size, p, n = scaled.shape[1], full(prime), full(-1.0 / prime)
    if sources == 1:
        for j in range(0, size, 8):
            store(out, j, centred(load(scaled, j), p, n))
    else:
        for j in range(0, size, 8):
            total = product(load(scaled, sources * size + j), full(-factors[sources, row]), p, n)
            for i in range(sources):
                total = total + product(load(scaled, i * size + j), full(factors[i, row]), p, n)
                if i % FEW == FEW - 1:
                    total = centred(total, p, n)
            store(out, j, centred(total, p, n))


@compiled(
    read(FLOAT, 2), INT, INT, read(INT, 1), read(FLOAT, 1), read(FLOAT, 1), read(FLOAT, 2),
    read(FLOAT, 4), read(FLOAT, 1), write(FLOAT, 2), write(FLOAT, 2),
)  # fmt: skip
def raise_digit(
    x: Floats,
    begin: int,
    end: int,
    rows: Integers,
    scales: Floats,
    inverses: Floats,
    factors: Floats,
    tables: Floats,
    moduli: Floats,
    scaled: Floats,
    out: Floats,
) -> None:
    """ModUp: x modulo the primes of rows ``begin`` to ``end``, centred, modulo the primes of ``rows``.

    Args:
        x: (limbs, N) values.
        begin: first row of the digit.
        end: row after its last.
        rows: of ``out``; the first rows are those of x.
        scales: of the digit's ``Conversion``, as the next two.
        inverses: likewise.
        factors: likewise.
        tables: of the ring.
        moduli: of the ring.
        scaled: (sources + 1, N) to work in.
        out: (len(rows), N) values.
    """
    for i in range(begin, end):
        scaled[i - begin] = x[i]
        backward(scaled[i - begin], tables[i], scales[i - begin], moduli[i])
    _estimate(scaled, inverses)
    for k in range(rows.size):
        row = rows[k]
        if begin <= row < end:
            out[k] = x[row]
        else:
            _convert(scaled, scales.size, factors, row, moduli[row], out[k])
            forward(out[k], tables[row], moduli[row])


@compiled(
    read(FLOAT, 2), read(INT, 1), read(FLOAT, 1), read(FLOAT, 1), read(FLOAT, 2), read(FLOAT, 1),
    read(FLOAT, 4), read(FLOAT, 1), write(FLOAT, 2), write(FLOAT, 2),
)  # fmt: skip
def divide(
    x: Floats,
    rows: Integers,
    scales: Floats,
    inverses: Floats,
    factors: Floats,
    quotients: Floats,
    tables: Floats,
    moduli: Floats,
    scaled: Floats,
    out: Floats,
) -> None:
    """ModDown and rescaling: x divided by the product S of its last primes, rounded to the nearest integer.

    Args:
        x: (len(rows), N) values.
        rows: of x.
        scales: (sources,), of the ``Conversion`` of the last rows, as the next three.
        inverses: likewise.
        factors: likewise.
        quotients: likewise.
        tables: of the ring.
        moduli: of the ring.
        scaled: (sources + 1, N) to work in.
        out: (rows that are kept, N) values.
    """
    kept, size = out.shape
    for i in range(scales.size):
        row = rows[kept + i]
        scaled[i] = x[kept + i]
        backward(scaled[i], tables[row], scales[i], moduli[row])
    _estimate(scaled, inverses)
    for k in range(kept):
        row = rows[k]
        p, n, factor = full(moduli[row]), full(-1.0 / moduli[row]), full(quotients[row])
        _convert(scaled, scales.size, factors, row, moduli[row], out[k])
        forward(out[k], tables[row], moduli[row])
        for j in range(k * size, (k + 1) * size, 8):
            store(out, j, centred(product(load(x, j) - load(out, j), factor, p, n), p, n))


def scratch(sources: int, ring_dim: int) -> Floats:
    """What ``raise_digit`` and ``divide`` work in."""
    return np.empty((sources + 1, ring_dim))
