"""Which permutations must be one and the same, and which must be none at all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from networkx.utils import UnionFind


@dataclass(frozen=True, slots=True)
class Order:
    """The channels of a tensor stand in an order that the server chose.

    Args:
        axis: along which they lie.
        runs: permutation and number of channels, one after another (a Concat makes several).
    """

    axis: int
    runs: tuple[tuple[int, int], ...]


class Permutations:
    """Permutations by number. Some are found to be equal, some to be the identity, with the first reason found."""

    def __init__(self) -> None:
        self._numbers = count()
        self._equal: UnionFind[int] = UnionFind()
        self._reasons: list[tuple[int, str]] = []

    def new(self) -> int:
        """Another permutation."""
        return next(self._numbers)

    def unite(self, one: Order, other: Order) -> bool:
        """Note that the tensors stand in the same order; False where their runs do not fit together."""
        if [length for _, length in one.runs] != [length for _, length in other.runs]:
            return False
        for (left, _), (right, _) in zip(one.runs, other.runs, strict=True):
            self._equal.union(left, right)
        return True

    def forbid(self, order: Order, reason: str) -> None:
        """Note that the tensor must stand in its own order."""
        self._reasons += [(number, reason) for number, _ in order.runs]

    def plain(self, axis: int, extent: int, reason: str) -> Order:
        """The own order of a tensor that nobody permutes."""
        order = Order(axis, ((self.new(), extent),))
        self.forbid(order, reason)
        return order

    def named(self, runs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """The runs, equal permutations by equal numbers, and -1 for the identity."""
        return tuple((-1 if self.reason(number) else int(self._equal[number]), length) for number, length in runs)

    def reason(self, number: int) -> str:
        """Why a permutation must be the identity; empty where it need not."""
        root = self._equal[number]
        return next((reason for other, reason in self._reasons if self._equal[other] == root), "")
