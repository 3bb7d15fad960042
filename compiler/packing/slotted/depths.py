"""How many levels lie between each value and the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2

from enclair.compiler.packing.slotted.steps import PolynomialStep, ProductStep, Step, WindowStep, arguments


def levels_of(step: Step) -> int:
    """The levels that a step spends: one for plaintexts or a product, the depth of a polynomial's best tree."""
    if isinstance(step, PolynomialStep):
        return max(1, ceil(log2(len(step.op.coefficients))))
    if isinstance(step, ProductStep):
        return 1
    if isinstance(step, WindowStep):
        return 0
    return 0 if all(map_.is_identity for _, map_ in step.terms) else 1


def depths(steps: Sequence[Step]) -> dict[str, int]:
    """Levels that each value must still have."""
    found: dict[str, int] = {}
    for step in reversed(steps):
        below = found.setdefault(step.out, 0) + levels_of(step)
        for name in arguments(step):
            found[name] = max(found.get(name, 0), below)
    return found
