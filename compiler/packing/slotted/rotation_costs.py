"""What a server's operations on ciphertexts cost, and how to share rotations between baby and giant steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.int64]

REFERENCE_RING, REFERENCE_LIMBS = 16384, 8
"""What the default figures are for."""


@dataclass(frozen=True, slots=True)
class RotationCosts:
    """Milliseconds of one thread, for ciphertexts of one ring and ``limbs`` primes.

    Args:
        hoist: to decompose a ciphertext, once for all its baby steps.
        baby: a rotation of a decomposed ciphertext, in the extended basis.
        mod_down: from the extended basis, once a result.
        rotate: a rotation by itself; a giant step.
        plain: a product with a plaintext, added to a sum.
        multiply: a product of two ciphertexts, relinearised.
        add: a sum of two ciphertexts.
        client: to encode, encrypt, send and receive one ciphertext of the client's.
    """

    hoist: float = 1.5
    baby: float = 0.6
    mod_down: float = 0.8
    rotate: float = 3.0
    plain: float = 0.06
    multiply: float = 4.0
    add: float = 0.03
    client: float = 4.0

    def at(self, ring_dim: int, limbs: int) -> RotationCosts:
        """The figures, which are for a ring of 16384 and 8 limbs, scaled to another ring and limbs.

        Transforms grow as N log N, key switching with the square of the limbs, other work with the limbs.
        """
        size = ring_dim * np.log2(ring_dim) / (REFERENCE_RING * np.log2(REFERENCE_RING))
        ratio = limbs / REFERENCE_LIMBS
        switch, simple = float(size * ratio**1.6), float(size * ratio)
        return RotationCosts(
            self.hoist * switch,
            self.baby * switch,
            self.mod_down * simple,
            self.rotate * switch,
            self.plain * simple,
            self.multiply * switch,
            self.add * simple,
            self.client * simple,
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """How many operations a linear transform takes: hoisted inputs, baby and giant rotations, products, ModDowns."""

    hoists: int
    babies: int
    giants: int
    products: int
    mod_downs: int

    def milliseconds(self, costs: RotationCosts) -> float:
        """Estimated time."""
        return (
            self.hoists * costs.hoist
            + self.babies * costs.baby
            + self.giants * costs.rotate
            + self.products * costs.plain
            + self.mod_downs * costs.mod_down
        )


def count_steps(rows: Numbers, cols: Numbers, rotations: Numbers, baby_steps: int, slots: int) -> Steps:
    """The operations of a transform whose terms have these rows, columns and rotations, each triple once."""
    baby = rotations % baby_steps if baby_steps else rotations
    giant = (rotations - baby) // (baby_steps or 1)
    babies = _marked(cols, baby, baby_steps or slots)
    giants = _marked(rows, giant, -(-slots // (baby_steps or slots)) + 1)
    lifted = _marked(rows, (rotations > 0).astype(np.int64), 2)
    return Steps(
        int(babies.any(axis=1).sum()), int(babies.sum()), int(giants.sum()), rows.size, int(lifted.any(axis=1).sum())
    )  # fmt: skip


def _marked(which: Numbers, numbers: Numbers, extent: int) -> NDArray[np.bool_]:
    """Which numbers above 0 occur beside each index, (indices, extent)."""
    marked = np.zeros((int(which.max(initial=0)) + 1, extent), dtype=np.bool_)
    marked[which, numbers] = True
    marked[:, 0] = False
    return marked


def choose_baby_steps(
    rows: Numbers, cols: Numbers, rotations: Numbers, slots: int, costs: RotationCosts, strides: tuple[int, ...] = ()
) -> tuple[int, Steps]:
    """The cheapest number of baby steps: 0 (none), powers of two, and multiples of the given strides."""
    tried = {1 << k for k in range(slots.bit_length() - 1)}
    tried |= {stride << k for stride in strides for k in range(4) if 2 < stride << k < slots}
    best = count_steps(rows, cols, rotations, 0, slots)
    chosen = 0
    for baby_steps in sorted(tried):
        steps = count_steps(rows, cols, rotations, baby_steps, slots)
        if steps.milliseconds(costs) < best.milliseconds(costs) - 1e-12:
            chosen, best = baby_steps, steps
    return chosen, best
