"""Choose a layout for every value: a search over the steps that keeps the cheapest layouts of what is still read.

For a chain this is a shortest path over the layouts of each value; where values join, states are the layouts of all
values that a later step reads, and only the ``width`` cheapest states are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import TypeAlias

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.slot_layouts import Skewed, Slotted
from enclair.compiler.packing.slotted.depths import arguments, depths
from enclair.compiler.packing.slotted.diagonals import Source
from enclair.compiler.packing.slotted.lowering import Lowered, Lowerings
from enclair.compiler.packing.slotted.maps import LinearMap, Shape, identity_map
from enclair.compiler.packing.slotted.placements import (
    Grid,
    fresh_grids,
    is_image,
    strides_of,
    vector_layouts,
)
from enclair.compiler.packing.slotted.product_sums import (
    SpreadAxes,
    Summed,
    kept_layouts,
    spread_axes,
    stacked_layouts,
    summed_layout,
)
from enclair.compiler.packing.slotted.regions import AffineStep, PolynomialStep, ProductStep, Step, WindowStep
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts
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
    """The layouts of all values, the layouts of products' operands, and the estimated time."""

    layouts: Mapping[str, Source]
    operands: Mapping[str, Slotted]
    milliseconds: float


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
    grids: dict[Slotted, Grid] = field(default_factory=dict)
    limits: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.lowerings = Lowerings(self.slots, self.costs)
        self.limits = depths(self.steps)
        self.windows = {step.out for step in self.steps if isinstance(step, WindowStep)}
        affine = [step for step in self.steps if isinstance(step, AffineStep)]
        self.clean = {s.out for s in affine if all(not m.reorders for _, m in s.terms)}
        products = [step for step in self.steps if isinstance(step, ProductStep) and step.sums > 1]
        self.stacked = {name: step for step in products for name in (step.left, step.right)}
        self.affine = {step.out: step for step in affine}
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
        return Chosen(layouts, operands, best.milliseconds)

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
            options = list(self._input_layouts(name, shape))
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

    def _input_layouts(self, name: str, shape: Shape) -> Iterator[Source]:
        """Fresh layouts, and skewed copies of them for a value that one affine step reads."""
        readers = [step for step in self.steps if name in arguments(step)]
        skewed = self.skews and len(readers) == 1 and isinstance(readers[0], AffineStep) and name not in self.outputs
        for layout in dict.fromkeys(self._fresh(shape)):
            yield layout
            shift = 1
            while skewed and shift < layout.period < self.slots:
                yield Skewed(layout, shift)
                shift *= 2

    def _fresh(self, shape: Shape) -> Iterator[Slotted]:
        found = []
        if self._is_image(shape):
            found = [layout for grid in dict.fromkeys(fresh_grids(shape)) for layout in self._on_grid(grid, shape)]
        yield from found or vector_layouts(shape, self.slots)

    def _is_image(self, shape: Shape) -> bool:
        return shape in self.images and is_image(shape)

    def _on_grid(self, grid: Grid, shape: Shape) -> Iterator[Slotted]:
        if (layout := grid.layout(shape, self.slots)) is not None:
            self.grids.setdefault(layout, grid)
            yield layout

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
            if source in self.grids and strides is not None:
                self.grids.setdefault(found.layout, self.grids[source].strided(strides))
            costs = self.costs_of(step)
            yield self._next(state, step, found.layout, found.rotations * source.count * (costs.rotate + costs.add))
        yield from self._after_affine(self._one_level_more(state, step), step)

    def _one_level_more(self, state: _State, step: Step) -> _State:
        """What came before works on one limb more."""
        limbs = self.limits.get(step.out, 0) + 1
        return replace(state, milliseconds=state.milliseconds * (1 + 1 / limbs) ** 1.6)

    def _after_affine(self, state: _State, step: AffineStep | WindowStep) -> Iterator[_State]:
        costs = self.costs_of(step)
        for target in dict.fromkeys(self._targets(state, step)):
            lowered = [self.lowered(name, map_, state.live[name], target, costs) for name, map_ in step.terms]
            if all(one is not None for one in lowered):
                spent = sum(one.milliseconds for one in lowered if one is not None)
                yield self._next(state, step, target, spent + costs.add * target.count)

    def lowered(
        self, name: str, map_: LinearMap, source: Source, target: Slotted, costs: RotationCosts
    ) -> Lowered | None:
        """A map of a value."""
        return self.lowerings.lower(map_, source, target, costs, clean=name not in self.windows)

    def _after_polynomial(self, state: _State, step: PolynomialStep) -> Iterator[_State]:
        source = state.live[step.argument]
        if isinstance(source, Slotted):
            target = source.viewed(step.shape)
            self._same_grid(source, target)
            products = max(1.0, 2 * sqrt(len(step.op.coefficients)) - 2)
            yield self._next(state, step, target, products * self.costs_of(step).multiply * target.count)

    def _after_product(self, state: _State, step: ProductStep) -> Iterator[_State]:
        left, right = state.live[step.left], state.live[step.right]
        costs = self.costs_of(step)
        for common in dict.fromkeys((left, right)):
            if not isinstance(common, Slotted) or (summed := self.summed(common, step)) is None:
                continue
            sources = ((step.left, left), (step.right, right))
            moves = [self.moved(name, source, common, costs) for name, source in sources]
            if any(move is None for move in moves):
                continue
            spent = sum(move.milliseconds for move in moves if move is not None) + costs.multiply * common.count
            spent += len(summed.rotations) * summed.layout.count * costs.rotate
            self._same_grid(common, summed.layout)
            yield self._next(state, step, summed.layout, spent, common)

    def summed(self, layout: Slotted, step: ProductStep) -> Summed | None:
        """How a product is summed over its first axis."""
        return summed_layout(layout, step, padded=bool(self.clean & {step.left, step.right}))

    def moved(self, name: str, source: Source, target: Slotted, costs: RotationCosts) -> Lowered | None:
        """How a value gets from its layout to another."""
        key = (name, source.shape, target.shape)
        if key not in self._moves:
            self._moves[key] = identity_map(source.shape, target.shape)
        return self.lowerings.lower(self._moves[key], source, target, costs)

    _spreads: dict[tuple[str, Slotted], SpreadAxes | None] = field(default_factory=dict)
    _moves: dict[tuple[str, Shape, Shape], LinearMap] = field(default_factory=dict)

    def _same_grid(self, source: Slotted, target: Slotted) -> None:
        if source in self.grids:
            self.grids.setdefault(target, self.grids[source])

    def _next(
        self, state: _State, step: Step, target: Slotted, spent: float, operands: Slotted | None = None
    ) -> _State:
        return _State(
            {**state.live, step.out: target},
            state.milliseconds + spent,
            (*state.choices, (step.out, Choice(target, operands))),
        )

    def _targets(self, state: _State, step: AffineStep | WindowStep) -> Iterator[Slotted]:
        """Layouts worth trying for the result of an affine step."""
        live = [layout for layout in state.live.values() if isinstance(layout, Slotted) and layout.shape == step.shape]
        if (reader := self.stacked.get(step.out)) is not None:
            layouts = [*live, *self._for_product(state, step, reader)]
            yield from (layout for layout in layouts if self.summed(layout, reader) is not None)
            return
        yield from live
        for name, map_ in step.terms:
            source = state.live[name]
            base = source.base if isinstance(source, Skewed) else source
            for target in self._derived(base, map_, step.shape):
                yield target
                width = self.slots if isinstance(source, Skewed) else base.period
                if width > target.period:
                    yield replace(target, period=width)
        if not step.terms:
            yield from self._fresh(step.shape)

    def _for_product(self, state: _State, step: AffineStep | WindowStep, reader: ProductStep) -> Iterator[Slotted]:
        """Layouts of an operand of a matrix product: axes where they are, or stacked anew."""
        operands = [self.affine.get(name) for name in (reader.left, reader.right)]
        sides = [self._spread(state, operand) for operand in operands if operand is not None]
        if len(sides) == 2 and sides[0] is not None and sides[1] is not None:
            yield from kept_layouts(step.shape, sides[0], sides[1])
        yield from stacked_layouts(step.shape, self.slots)

    def _spread(self, state: _State, operand: AffineStep) -> SpreadAxes | None:
        """Where the axes of an operand are in the value that it is spread from."""
        ((name, map_), *others) = operand.terms
        source = state.live.get(name)
        if others or not isinstance(source, Slotted):
            return None
        at = (operand.out, source)
        if at not in self._spreads:
            self._spreads[at] = spread_axes(map_, source)
        return self._spreads[at]

    def _derived(self, source: Slotted, map_: LinearMap, shape: Shape) -> Iterator[Slotted]:
        """Where the result may go given where the argument is."""
        if (in_place := self.lowerings.in_place(map_, source)) is not None:
            self._same_grid(source, in_place)
            yield in_place
        grid = self.grids.get(source)
        if grid is not None and self._is_image(shape) and (strides := strides_of(map_)) is not None:
            yield from self._on_grid(grid.strided(strides), shape)
        yield from self._fresh(shape)
