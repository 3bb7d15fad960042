"""Evaluation keys as residues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from enclair.runtime.limbs.compiled import Words


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationKeys:
    """Keys for products and rotations, each (digits, 2, limbs of Q, then of P, N), in OpenFHE's evaluation order.

    Part 0 of the sum of a polynomial's digits times a key is added to c0, part 1 to c1.

    Args:
        relinearisation: from s^2 to s; None where the program relinearises nothing.
        rotations: by steps. Steps r is for the rotation that brings slot i + r to slot i, the automorphism X -> X^g
            with g = 5^r modulo 2N; its key takes c1 of the ciphertext as it is, before the automorphism.
    """

    relinearisation: Words | None
    rotations: Mapping[int, Words]
