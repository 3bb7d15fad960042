"""A map between two layouts as a linear transform with baby and giant steps and sums of copies, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from enclair.compiler.ir.slot_layouts import Slotted
from enclair.compiler.packing.slotted.diagonals import Keys, Source, Transform, periods
from enclair.compiler.packing.slotted.maps import LinearMap
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts, Steps, choose_baby_steps


@dataclass(frozen=True, slots=True)
class Lowered:
    """How a map is computed: nothing at all (``transform`` None), or a transform and rotations that add up copies."""

    transform: Transform | None
    baby_steps: int
    steps: Steps
    sums: tuple[int, ...]
    milliseconds: float


FREE = Lowered(None, 0, Steps(0, 0, 0, 0, 0), (), 0.0)


@dataclass
class Lowerings:
    """Lowers maps, and remembers what it found.

    Args:
        slots: of a ciphertext.
        costs: of the ring, for 8 limbs and others.
    """

    slots: int
    costs: RotationCosts
    _found: dict[tuple[int, Source, Slotted, RotationCosts, bool], Lowered | None] = field(default_factory=dict)
    _maps: list[LinearMap] = field(default_factory=list)
    _in_place: dict[tuple[int, Slotted], Slotted | None] = field(default_factory=dict)
    _keys: dict[tuple[int, Source, Slotted], tuple[Transform, Keys] | None] = field(default_factory=dict)

    def lower(
        self, map_: LinearMap, source: Source, target: Slotted, costs: RotationCosts, *, clean: bool = True
    ) -> Lowered | None:
        """The cheapest form; None where the layouts do not allow any. Only what is ``clean`` is passed on as it is."""
        if clean and isinstance(source, Slotted) and self.in_place(map_, source) == target:
            return FREE
        at = (id(map_), source, target, costs, clean)
        if at not in self._found:
            self._maps.append(map_)  # keeps its id from being used again
            self._found[at] = self._lower(map_, source, target, costs, clean=clean)
        return self._found[at]

    def in_place(self, map_: LinearMap, source: Slotted) -> Slotted | None:
        """The layout that a value has already as its own reordering; None for other maps."""
        at = (id(map_), source)
        if at not in self._in_place:
            self._maps.append(map_)
            self._in_place[at] = _in_place(map_, source)
        return self._in_place[at]

    def _lower(
        self, map_: LinearMap, source: Source, target: Slotted, costs: RotationCosts, *, clean: bool
    ) -> Lowered | None:
        if (found := self._transform(map_, source, target)) is None:
            return None
        transform, keys = found
        strides = tuple({abs(s) for axis in target.axes for _, s, _ in axis.digits} - {0, 1})
        baby_steps, steps = choose_baby_steps(keys.rows, keys.cols, keys.rotations, self.slots, costs, strides)
        sums = transform.periods.sums
        summing = len(sums) * target.count * (costs.rotate + costs.add)
        if clean and isinstance(source, Slotted) and _stays(map_, source, target, keys):
            return Lowered(None, 0, Steps(0, 0, 0, 0, 0), sums, summing)
        total = steps.milliseconds(costs) + summing
        return Lowered(transform, baby_steps, steps, sums, total)

    def _transform(self, map_: LinearMap, source: Source, target: Slotted) -> tuple[Transform, Keys] | None:
        at = (id(map_), source, target)
        if at not in self._keys:
            found = periods(source, target)
            transform = None if found is None else Transform(map_, source, target, found)
            self._keys[at] = None if transform is None else (transform, transform.keys())
        return self._keys[at]


def _in_place(map_: LinearMap, source: Slotted) -> Slotted | None:
    if map_.is_identity:
        return source.viewed(map_.shape_out)
    new = map_.new_positions()
    return None if new is None else source.reordered(map_.shape_in, map_.shape_out, new)


def _stays(map_: LinearMap, source: Slotted, target: Slotted, keys: Keys) -> bool:
    """Whether every slot of the result, before copies are added up, holds what the same slot of the argument does.

    Then no plaintext is needed. Slots without an element must be the same too, so that none is added to a result.
    """
    in_place = np.array_equal(keys.rows, keys.cols) and not keys.rotations.any() and keys.rows.size == target.count
    if not in_place or map_.weight != 1 or source.count != target.count:
        return False
    elements_in, elements_out = prod(map_.shape_in), prod(map_.shape_out)
    same_density = elements_in * target.period == elements_out * source.period
    return same_density and map_.nonzeros == max(elements_in, elements_out)
