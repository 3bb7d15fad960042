"""A map between two layouts as a linear transform with baby and giant steps and sums of copies, and what it costs.

Some maps need no plaintext: those that copy and add up whole ciphertexts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from math import prod

import numpy as np

from enclair.compiler.ir.slot_layouts import Slotted
from enclair.compiler.packing.slotted.diagonals import Keys, Transform
from enclair.compiler.packing.slotted.maps import LinearMap
from enclair.compiler.packing.slotted.periods import Numbers, Source, periods
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts, Steps, choose_baby_steps


@dataclass(frozen=True, slots=True)
class Lowered:
    """How a map is computed: by a transform, or by adding up whole ciphertexts; then rotations add up copies.

    Args:
        transform: None where no plaintext is needed.
        baby_steps: of the transform.
        steps: of the transform.
        gathered: where there is no transform, the ciphertexts that each result is the sum of; None: the argument's.
        sums: rotations, each of which doubles the copies that are added up.
        milliseconds: estimated.
        sign: -1 where the result is to be subtracted instead of added.
    """

    transform: Transform | None
    baby_steps: int
    steps: Steps
    gathered: Numbers | None
    sums: tuple[int, ...]
    milliseconds: float
    sign: int = 1

    @property
    def multiplicity(self) -> int:
        """Of how many slots of the argument a slot without an element holds the sum, where there is no transform."""
        return self.sign * ((1 if self.gathered is None else self.gathered.shape[1]) << len(self.sums))


class Unheld(Enum):
    """What slots without an element hold."""

    ZERO = "zero"
    ALIKE = "all the same"
    GARBAGE = "anything"


NO_STEPS = Steps(0, 0, 0, 0, 0)
FREE = Lowered(None, 0, NO_STEPS, None, (), 0.0)


@dataclass
class Lowerings:
    """Lowers maps, and remembers what it found.

    Args:
        slots: of a ciphertext.
        costs: of the ring, for 8 limbs and others.
    """

    slots: int
    costs: RotationCosts
    _found: dict[tuple[int, Source, Slotted, RotationCosts, Unheld], Lowered | None] = field(default_factory=dict)
    _maps: list[LinearMap] = field(default_factory=list)
    _in_place: dict[tuple[int, Slotted], Slotted | None] = field(default_factory=dict)
    _keys: dict[tuple[int, Source, Slotted], tuple[Transform, Keys] | None] = field(default_factory=dict)

    def lower(
        self, map_: LinearMap, source: Source, target: Slotted, costs: RotationCosts, unheld: Unheld = Unheld.ALIKE
    ) -> Lowered | None:
        """The cheapest form; None where the layouts do not allow any."""
        if unheld is not Unheld.GARBAGE and isinstance(source, Slotted) and self.in_place(map_, source) == target:
            return FREE
        at = (id(map_), source, target, costs, unheld)
        if at not in self._found:
            self._maps.append(map_)  # keeps its id from being used again
            self._found[at] = self._negated(map_, source, target, costs, unheld) or self._lower(
                map_, source, target, costs, unheld
            )
        return self._found[at]

    def _negated(
        self, map_: LinearMap, source: Source, target: Slotted, costs: RotationCosts, unheld: Unheld
    ) -> Lowered | None:
        """What needs no plaintext but for its sign, to be subtracted."""
        if map_.weight != -1:
            return None
        opposite = self.lower(map_.times(-1.0), source, target, costs, unheld)
        return replace(opposite, sign=-1) if opposite is not None and opposite.transform is None else None

    def in_place(self, map_: LinearMap, source: Slotted) -> Slotted | None:
        """The layout that a value has already as its own reordering; None for other maps."""
        at = (id(map_), source)
        if at not in self._in_place:
            self._maps.append(map_)
            self._in_place[at] = _in_place(map_, source)
        return self._in_place[at]

    def _lower(
        self, map_: LinearMap, source: Source, target: Slotted, costs: RotationCosts, unheld: Unheld
    ) -> Lowered | None:
        if (found := self._transform(map_, source, target)) is None:
            return None
        transform, keys = found
        strides = tuple({abs(s) for axis in target.axes for _, s, _ in axis.digits} - {0, 1})
        baby_steps, steps = choose_baby_steps(keys.rows, keys.cols, keys.rotations, self.slots, costs, strides)
        sums = transform.periods.sums
        summing = len(sums) * target.count * (costs.rotate + costs.add)
        if isinstance(source, Slotted) and _needs_no_plaintext(map_, source, target, keys, unheld):
            gathered = _gathered(keys, target.count)
            adding = 0 if gathered is None else costs.add * gathered.size
            return Lowered(None, 0, NO_STEPS, gathered, sums, summing + adding)
        return Lowered(transform, baby_steps, steps, None, sums, steps.milliseconds(costs) + summing)

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


def _needs_no_plaintext(map_: LinearMap, source: Slotted, target: Slotted, keys: Keys, unheld: Unheld) -> bool:
    """Whether every slot of the results, before copies are added up, is a sum of the same slot of some ciphertexts.

    Every slot with an element must be used, and only those may be added to elements, unless the others hold zeros.
    """
    if unheld is Unheld.GARBAGE:
        return False
    terms = np.bincount(keys.rows, minlength=target.count)
    if keys.rotations.any() or map_.weight != 1 or np.unique(terms).size != 1 or terms[0] == 0:
        return False
    held = np.bincount(source.positions()[0], minlength=source.count)[keys.cols].sum()
    all_used = map_.nonzeros == held * max(1, target.period // source.period)
    added = int(terms[0]) * max(1, source.period // target.period)
    all_held = map_.nonzeros == prod(map_.shape_out) * added
    return bool(all_used and (all_held or unheld is Unheld.ZERO))


def _gathered(keys: Keys, count: int) -> Numbers | None:
    """The columns of each row, (count, columns); None where they are the rows themselves."""
    columns = keys.cols[np.argsort(keys.rows, kind="stable")].reshape(count, -1)
    return None if np.array_equal(columns, np.arange(count)[:, None]) else columns
