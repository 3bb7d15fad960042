"""The inner product of digits and a key, in the basis of Q and the special primes."""

from __future__ import annotations

from numba import types

from enclair.runtime.limbs.compiled import FLOAT, INT, Floats, Integers, compiled, read, write
from enclair.runtime.rns.elementwise import Places
from enclair.runtime.rns.lanes import centred, full, gather, load, product, store


@compiled(
    read(FLOAT, 3), read(FLOAT, 4), read(INT, 1), read(FLOAT, 1), read(types.int32, 1), read(FLOAT, 2),
    write(FLOAT, 1), write(FLOAT, 3),
)  # fmt: skip
def switch_key(
    digits: Floats,
    key: Floats,
    rows: Integers,
    moduli: Floats,
    places: Places,
    addend: Floats,
    work: Floats,
    out: Floats,
) -> None:
    """Out (2, rows, N): permuted((addend, 0) + sum_d digits[d] key[d]).

    Args:
        digits: (digits, rows, N).
        key: (at least digits, 2, rows of the ring, N).
        rows: of the digits.
        moduli: of the ring.
        places: (N,) value i of the result is value places[i] of the sums; empty for none.
        addend: (at most rows, N): P c_0 modulo the primes of Q, or no row.
        work: (2 N,) to work in.
        out: (2, rows, N).
    """
    count, limbs, size = digits.shape
    every = key.shape[2]
    for r in range(limbs):
        row = rows[r]
        p, n = full(moduli[row]), full(-1.0 / moduli[row])
        for j in range(0, size, 8):
            sum0, sum1 = full(0.0), full(0.0)
            if r < addend.shape[0]:
                sum0 = load(addend, r * size + j)
            for d in range(count):
                digit = load(digits, (d * limbs + r) * size + j)
                place = (d * 2 * every + row) * size + j
                sum0 += product(digit, load(key, place), p, n)
                sum1 += product(digit, load(key, place + every * size), p, n)
                if d & 3 == 3:
                    sum0, sum1 = centred(sum0, p, n), centred(sum1, p, n)
            store(work, j, centred(sum0, p, n))
            store(work, size + j, centred(sum1, p, n))
        for part in range(2):
            start = (part * limbs + r) * size
            if places.size == 0:
                for j in range(0, size, 8):
                    store(out, start + j, load(work, part * size + j))
            else:
                for j in range(0, size, 8):
                    store(out, start + j, gather(work, part * size, places, j))
