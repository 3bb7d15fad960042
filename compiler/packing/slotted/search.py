"""Choose a layout for every value: a search over the steps that keeps the cheapest layouts of what is still read.

For a chain this is a shortest path over the layouts of each value; where values join, states are the layouts of all
values that a later step reads, and only the ``width`` cheapest states are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import TypeAlias

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.slot_layouts import Slotted
from enclair.compiler.packing.slotted.depths import depths
from enclair.compiler.packing.slotted.layout_candidates import LayoutCandidates
from enclair.compiler.packing.slotted.lowering import Lowered, Lowerings, Unheld
from enclair.compiler.packing.slotted.maps import LinearMap, Shape, identity_map
from enclair.compiler.packing.slotted.periods import Source
from enclair.compiler.packing.slotted.placements import (
    strides_of,
)
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts
from enclair.compiler.packing.slotted.steps import AffineStep, PolynomialStep, ProductStep, Step, WindowStep, arguments
from enclair.compiler.packing.slotted.window_sums import window_sums

Layouts: TypeAlias = dict[str, Source]


@dataclass(frozen=True, slots=True)
class Choice:
    """The layout of a step's result, and for a product the operand that is brought to the other's layout."""

    layout: Source
    operands: Slotted | None = None


@dataclass(slots=True)
class _State:
    """Layouts of the values that are still read, what they cost, and how they came about."""

    live: Layouts
    milliseconds: float
    choices: tuple[tuple[str, Choice], ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The layouts of all values, and the layouts of products' operands."""

    layouts: Mapping[str, Source]
    operands: Mapping[str, Slotted]


@dataclass
class Search:
    """Finds layouts.

    Args:
        steps: of the program.
        inputs: shapes of what the client sends.
        outputs: names of what it gets.
        slots: of a ciphertext.
        costs: of the ring at 8 limbs.
        images: shapes of tensors that are packed as images.
        width: states kept after each step.
        skews: whether the client may send skewed copies.
    """

    steps: Sequence[Step]
    inputs: Mapping[str, Shape]
    outputs: tuple[str, ...]
    slots: int
    costs: RotationCosts
    images: frozenset[Shape] = frozenset()
    width: int = 12
    skews: bool = True
    lowerings: Lowerings = field(init=False)
    limits: dict[str, int] = field(init=False)
    _moves: dict[tuple[str, Shape, Shape], LinearMap] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lowerings = Lowerings(self.slots, self.costs)
        self.limits = depths(self.steps)
        self.unheld = unheld_slots(self.inputs, self.steps)
        self.layouts = LayoutCandidates(self.steps, self.slots, self.images, self.lowerings)
        self.last_read = {name: number for number, step in enumerate(self.steps) for name in arguments(step)}

    def run(self) -> Chosen:
        """The cheapest layouts found.

        Raises:
            PackingError: a step has no layout.
        """
        states = self._with_inputs()
        for number, step in enumerate(self.steps):
            found = [state for old in states for state in self._after(old, step)]
            if not found:
                raise PackingError(step.out, f"has no layout in ciphertexts of {self.slots} slots: take a larger ring")
            states = self._kept(found, number)
        best = min(states, key=lambda state: state.milliseconds)
        layouts = {name: choice.layout for name, choice in best.choices}
        operands = {name: choice.operands for name, choice in best.choices if choice.operands is not None}
        return Chosen(layouts, operands)

    def costs_of(self, step: Step) -> RotationCosts:
        """Costs at the limbs that the arguments of a step have at least."""
        below = max(self.limits.get(name, 0) for name in arguments(step)) if arguments(step) else 0
        return self.costs.at(2 * self.slots, below + 1)

    def _kept(self, states: list[_State], number: int) -> list[_State]:
        """The cheapest state for each assignment of layouts to what is still read; ``width`` of them."""
        best: dict[tuple[tuple[str, Source], ...], _State] = {}
        for state in states:
            live = {
                name: layout
                for name, layout in state.live.items()
                if self.last_read.get(name, -1) > number or name in self.outputs
            }
            key = tuple(sorted(live.items(), key=lambda item: item[0]))
            if key not in best or state.milliseconds < best[key].milliseconds:
                best[key] = _State(live, state.milliseconds, state.choices)
        return sorted(best.values(), key=lambda state: state.milliseconds)[: self.width]

    def _with_inputs(self) -> list[_State]:
        states = [_State({}, 0.0, ())]
        for name, shape in self.inputs.items():
            options = list(self.layouts.for_input(shape, skewed=self._may_be_skewed(name)))
            if not options:
                raise PackingError(name, f"has no layout in ciphertexts of {self.slots} slots: take a larger ring")
            costs = self.costs.at(2 * self.slots, self.limits.get(name, 0) + 1)
            states = [
                _State(
                    {**state.live, name: layout},
                    state.milliseconds + costs.client * layout.count,
                    (*state.choices, (name, Choice(layout))),
                )
                for state in states
                for layout in options
            ]
        return states

    def _may_be_skewed(self, name: str) -> bool:
        """Whether one affine step alone reads the only input: it meets each diagonal of a skewed copy once."""
        readers = [step for step in self.steps if name in arguments(step)]
        alone = len(readers) == 1 and isinstance(readers[0], AffineStep) and name not in self.outputs
        return self.skews and alone and len(self.inputs) == 1

    def _after(self, state: _State, step: Step) -> Iterator[_State]:
        if isinstance(step, AffineStep):
            yield from self._after_affine(state, step)
        elif isinstance(step, PolynomialStep):
            yield from self._after_polynomial(state, step)
        elif isinstance(step, WindowStep):
            yield from self._after_window(state, step)
        else:
            yield from self._after_product(state, step)

    def _after_window(self, state: _State, step: WindowStep) -> Iterator[_State]:
        source = state.live[step.argument]
        if isinstance(source, Slotted) and (found := window_sums(step.map, source)) is not None:
            strides = strides_of(step.map)
            if source in self.layouts.grids and strides is not None:
                self.layouts.grids.setdefault(found.layout, self.layouts.grids[source].strided(strides))
            costs = self.costs_of(step)
            yield self._next(state, step, found.layout, found.rotations * source.count * (costs.rotate + costs.add))
        yield from self._after_affine(self._one_level_more(state, step), step)

    def _one_level_more(self, state: _State, step: Step) -> _State:
        """What came before works on one limb more."""
        limbs = self.limits.get(step.out, 0) + 1
        return replace(state, milliseconds=state.milliseconds * (1 + 1 / limbs) ** 1.6)

    def _after_affine(self, state: _State, step: AffineStep | WindowStep) -> Iterator[_State]:
        costs = self.costs_of(step)
        for target in dict.fromkeys(self.layouts.for_result(state.live, step)):
            lowered = [self.lowered(name, map_, state.live[name], target, costs) for name, map_ in step.terms]
            if all(one is not None for one in lowered):
                spent = sum(one.milliseconds for one in lowered if one is not None)
                yield self._next(state, step, target, spent + costs.add * target.count)

    def lowered(
        self, name: str, map_: LinearMap, source: Source, target: Slotted, costs: RotationCosts
    ) -> Lowered | None:
        """A map of a value."""
        return self.lowerings.lower(map_, source, target, costs, self.unheld[name])

    def _after_polynomial(self, state: _State, step: PolynomialStep) -> Iterator[_State]:
        source = state.live[step.argument]
        if isinstance(source, Slotted):
            target = source.viewed(step.shape)
            self.layouts.same_grid(source, target)
            products = max(1.0, 2 * sqrt(len(step.op.coefficients)) - 2)
            yield self._next(state, step, target, products * self.costs_of(step).multiply * target.count)

    def _after_product(self, state: _State, step: ProductStep) -> Iterator[_State]:
        left, right = state.live[step.left], state.live[step.right]
        costs = self.costs_of(step)
        for common in dict.fromkeys((left, right)):
            if not isinstance(common, Slotted) or (summed := self.layouts.summed(common, step)) is None:
                continue
            sources = ((step.left, left), (step.right, right))
            moves = [self.moved(name, source, common, costs) for name, source in sources]
            if any(move is None for move in moves):
                continue
            spent = sum(move.milliseconds for move in moves if move is not None) + costs.multiply * common.count
            spent += len(summed.rotations) * summed.layout.count * costs.rotate
            self.layouts.same_grid(common, summed.layout)
            yield self._next(state, step, summed.layout, spent, common)

    def moved(self, name: str, source: Source, target: Slotted, costs: RotationCosts) -> Lowered | None:
        """How a value gets from its layout to another."""
        key = (name, source.shape, target.shape)
        if key not in self._moves:
            self._moves[key] = identity_map(source.shape, target.shape)
        return self.lowerings.lower(self._moves[key], source, target, costs, self.unheld[name])

    def _next(
        self, state: _State, step: Step, target: Slotted, spent: float, operands: Slotted | None = None
    ) -> _State:
        return _State(
            {**state.live, step.out: target},
            state.milliseconds + spent,
            (*state.choices, (step.out, Choice(target, operands))),
        )


def unheld_slots(inputs: Iterable[str], steps: Sequence[Step]) -> dict[str, Unheld]:
    """What slots without an element hold, in whatever layout."""
    found = dict.fromkeys(inputs, Unheld.ZERO)
    for step in steps:
        before = [found[name] for name in arguments(step)]
        if isinstance(step, WindowStep):
            found[step.out] = Unheld.GARBAGE
        elif isinstance(step, ProductStep):
            found[step.out] = Unheld.ZERO if Unheld.ZERO in before else Unheld.ALIKE
        elif isinstance(step, AffineStep):
            passed = [kind for kind in before if kind is Unheld.ALIKE]
            found[step.out] = Unheld.ALIKE if passed else Unheld.ZERO
        else:
            found[step.out] = Unheld.ALIKE
    return found
