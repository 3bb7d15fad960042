"""Linear equations modulo a prime, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.object_]
"""Python integers."""


def solve_modular(matrix: Numbers, right: Numbers, prime: int) -> Numbers:
    """The solution (n, columns) of ``matrix @ solution = right`` modulo a prime; matrix (n, n), right (n, columns).

    Gaussian elimination; residues that are random make a matrix singular with a probability of about 1 / prime.

    Raises:
        ZeroDivisionError: the matrix is singular.
    """
    work = np.hstack([matrix, right]).astype(object) % prime
    for column in range(len(matrix)):
        rows = np.flatnonzero(work[column:, column])
        if not rows.size:
            raise ZeroDivisionError(f"the matrix is singular modulo {prime}: take other equations")
        work[[column, column + rows[0]]] = work[[column + rows[0], column]]
        work[column] = work[column] * pow(int(work[column, column]), -1, prime) % prime
        factors = work[:, column].copy()
        factors[column] = 0
        work = (work - factors[:, None] * work[column]) % prime
    return work[:, len(matrix) :]
