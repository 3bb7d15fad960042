"""Layouts of reals in slots that rotations can work with: mixed-radix positions, periods, and copies made by clients.

As in ``layouts`` a layout is its ``index()``. These say more: the position of an element is a sum over the axes of the
tensor, so that linear maps that are products over axes stay so on slots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.layouts import Index
from enclair.compiler.ir.ops.base import register_struct

Digit: TypeAlias = tuple[int, int, int]
"""(extent, slots, ciphertexts): one step of a digit goes that many slots and ciphertexts on."""
Positions: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Ciphertext and slot of each step of an axis, both (extent,)."""


@register_struct
@dataclass(frozen=True, slots=True)
class SlotAxis:
    """``extent`` steps, ``element`` apart in the flat tensor; mixed-radix ``digits``, the most significant first.

    The product of the digits' extents may exceed ``extent``: the last positions are not used.
    """

    extent: int
    element: int
    digits: tuple[Digit, ...]

    def positions(self) -> Positions:
        """Where each step is."""
        ciphers, slots = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        for extent, slot_step, cipher_step in self.digits:
            steps = np.arange(extent)
            ciphers = np.add.outer(ciphers, steps * cipher_step).reshape(-1)
            slots = np.add.outer(slots, steps * slot_step).reshape(-1)
        return ciphers[: self.extent], slots[: self.extent]

    def split(self, inner: int) -> tuple[SlotAxis, SlotAxis] | None:
        """The axis as one of ``extent / inner`` steps and one of ``inner`` steps; None where its digits forbid it."""
        if self.extent % inner:
            return None
        outer, left = list(self.digits), inner
        low: list[Digit] = []
        while left > 1:
            extent, slot_step, cipher_step = outer.pop()
            if left % extent == 0:
                low.insert(0, (extent, slot_step, cipher_step))
                left //= extent
            elif extent % left == 0 or not outer:
                low.insert(0, (left, slot_step, cipher_step))
                outer.append((-(-extent // left), slot_step * left, cipher_step * left))
                left = 1
            else:
                return None
        return (
            SlotAxis(self.extent // inner, self.element * inner, tuple(outer)),
            SlotAxis(inner, self.element, tuple(low)),
        )


@register_struct
@dataclass(frozen=True, slots=True)
class Slotted:
    """Elements at sums of positions along axes, ``offset`` slots on, modulo ``period``, repeated every ``period``.

    The axes enumerate the flat tensor; they are kept in C order, without those of one step. ``period`` divides
    ``slots``.
    """

    shape: tuple[int, ...]
    axes: tuple[SlotAxis, ...]
    offset: int
    period: int
    slots: int

    def __post_init__(self) -> None:
        kept = sorted((axis for axis in self.axes if axis.extent > 1), key=lambda axis: -axis.element)
        object.__setattr__(self, "axes", tuple(kept))

    @property
    def partial(self) -> bool:
        """Slots of one element are copies."""
        return False

    @property
    def count(self) -> int:
        """Ciphertexts up to the last that holds an element."""
        return 1 + sum(int(axis.positions()[0].max()) for axis in self.axes)

    def index(self) -> Index:
        """See ``Layout``."""
        ciphers, slots = self.positions()
        index = np.full((self.count, self.period), -1, dtype=np.int64)
        index[ciphers, slots % self.period] = np.arange(ciphers.size)
        return np.tile(index, self.slots // self.period)

    def positions(self) -> Positions:
        """Ciphertext and slot (before the modulus) of every element in flat order."""
        groups = self.along((prod(self.shape),))
        if groups is None or groups[0][0].size != prod(self.shape):
            raise ValueError(f"the axes {self.axes} do not enumerate a tensor of shape {self.shape}")
        return groups[0]

    def along(self, split: tuple[int, ...]) -> list[Positions] | None:
        """Positions along each group of a split of the flat tensor, to be added; None where axes straddle groups.

        The offset is in the first group's.
        """
        refined = self.refined(split)
        if refined is None:
            return None
        groups = []
        stride = prod(split)
        for extent in split:
            above, stride = stride, stride // extent
            inside = [axis for axis in refined if stride <= axis.element < above]
            groups.append(_joined(sorted(inside, key=lambda axis: -axis.element)))
        groups[0] = (groups[0][0], groups[0][1] + self.offset)
        return groups

    def refined(self, split: tuple[int, ...]) -> list[SlotAxis] | None:
        """Axes of which none straddles two groups of a split; None where digits forbid it."""
        cuts = [prod(split[i:]) for i in range(1, len(split)) if prod(split[i:]) > 1]
        refined = [axis for axis in self.axes if axis.extent > 1]
        for cut in cuts:
            parts: list[SlotAxis] = []
            for axis in refined:
                if not axis.element < cut < axis.element * axis.extent:
                    parts.append(axis)
                    continue
                halves = axis.split(cut // axis.element) if cut % axis.element == 0 else None
                if halves is None:
                    return None
                parts.extend(halves)
            refined = parts
        return refined

    def viewed(self, shape: tuple[int, ...]) -> Slotted:
        """The same ciphertexts under another shape of the same flat order."""
        return replace(self, shape=shape)

    def reordered(self, shape_in: tuple[int, ...], shape: tuple[int, ...], new: NDArray[np.int64]) -> Slotted | None:
        """The same ciphertexts as the tensor of ``shape`` that has element i at flat position new[i].

        None where that moves no axis of ``shape_in`` as a whole.
        """
        if (refined := self.refined(shape_in)) is None:
            return None
        total = np.zeros(1, dtype=np.int64)
        axes = []
        for axis in sorted(refined, key=lambda axis: -axis.element):
            element = int(new[axis.element])
            axes.append(replace(axis, element=element))
            total = np.add.outer(total, np.arange(axis.extent) * element).reshape(-1)
        return replace(self, shape=shape, axes=tuple(axes)) if np.array_equal(total, new) else None


def _joined(axes: list[SlotAxis]) -> Positions:
    """Positions of the steps of several axes together, the first the most significant."""
    ciphers, slots = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for axis in axes:
        more_ciphers, more_slots = axis.positions()
        ciphers = np.add.outer(ciphers, more_ciphers).reshape(-1)
        slots = np.add.outer(slots, more_slots).reshape(-1)
    return ciphers, slots


@register_struct
@dataclass(frozen=True, slots=True)
class Skewed:
    """What a client may encode of a ``base``: copy q of the period is rotated q ``shift`` slots further.

    Each copy then meets other diagonals of a matrix at the same rotation.
    """

    base: Slotted
    shift: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.base.shape

    @property
    def slots(self) -> int:
        """Slots of a ciphertext."""
        return self.base.slots

    @property
    def count(self) -> int:
        """Number of ciphertexts."""
        return self.base.count

    @property
    def partial(self) -> bool:
        """Slots of one element are copies."""
        return False

    def index(self) -> Index:
        """See ``Layout``."""
        period = self.base.period
        one = self.base.index()[:, :period]
        copies = [np.roll(one, -q * self.shift, axis=1) for q in range(self.slots // period)]
        return np.concatenate(copies, axis=1)


@register_struct
@dataclass(frozen=True, slots=True)
class Rotated:
    """Copies of the ciphertexts of a ``base`` that the client rotated: number k has slot i + steps[k] in slot i."""

    base: Slotted | Skewed
    steps: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.base.shape

    @property
    def slots(self) -> int:
        """Slots of a ciphertext."""
        return self.base.slots

    @property
    def count(self) -> int:
        """The base's ciphertexts for each step."""
        return self.base.count * len(self.steps)

    @property
    def partial(self) -> bool:
        """Slots of one element are copies."""
        return False

    def index(self) -> Index:
        """See ``Layout``."""
        base = self.base.index()
        return np.concatenate([np.roll(base, -step, axis=1) for step in self.steps])
