"""The layouts worth trying for each value, given those of the values that it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from enclair.compiler.ir.slot_layouts import Skewed, Slotted
from enclair.compiler.packing.slotted.lowering import Lowerings
from enclair.compiler.packing.slotted.maps import LinearMap, Shape
from enclair.compiler.packing.slotted.periods import Source
from enclair.compiler.packing.slotted.placements import Grid, fresh_grids, is_image, strides_of, vector_layouts
from enclair.compiler.packing.slotted.product_sums import (
    SpreadAxes,
    Summed,
    kept_layouts,
    spread_axes,
    stacked_layouts,
    summed_layout,
)
from enclair.compiler.packing.slotted.steps import AffineStep, ProductStep, Step, WindowStep

Live: TypeAlias = Mapping[str, Source]
"""Layouts of values that are still read."""


@dataclass
class LayoutCandidates:
    """Proposes layouts.

    Args:
        steps: of the program.
        slots: of a ciphertext.
        images: shapes of tensors that are packed as images.
        lowerings: know which values are in place already.
    """

    steps: Sequence[Step]
    slots: int
    images: frozenset[Shape]
    lowerings: Lowerings
    grids: dict[Slotted, Grid] = field(default_factory=dict)
    _spreads: dict[tuple[str, Slotted], SpreadAxes | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        affine = [step for step in self.steps if isinstance(step, AffineStep)]
        self.clean = {s.out for s in affine if all(not m.reorders for _, m in s.terms)}
        products = [step for step in self.steps if isinstance(step, ProductStep) and step.sums > 1]
        self.stacked = {name: step for step in products for name in (step.left, step.right)}
        self.affine = {step.out: step for step in affine}

    def summed(self, layout: Slotted, step: ProductStep) -> Summed | None:
        """How a product is summed over its first axis."""
        return summed_layout(layout, step, padded=bool(self.clean & {step.left, step.right}))

    def for_input(self, shape: Shape, *, skewed: bool) -> Iterator[Source]:
        """Fresh layouts of what the client sends, and skewed copies of them."""
        for layout in dict.fromkeys(self.fresh(shape)):
            yield layout
            shift = 1
            while skewed and shift < layout.period < self.slots:
                yield Skewed(layout, shift)
                shift *= 2

    def for_result(self, live: Live, step: AffineStep | WindowStep) -> Iterator[Slotted]:
        """Layouts worth trying for the result of an affine step."""
        same = [layout for layout in live.values() if isinstance(layout, Slotted) and layout.shape == step.shape]
        if (reader := self.stacked.get(step.out)) is not None:
            layouts = [*same, *self._for_product(live, step, reader)]
            yield from (layout for layout in layouts if self.summed(layout, reader) is not None)
            return
        yield from same
        for name, map_ in step.terms:
            source = live[name]
            base = source.base if isinstance(source, Skewed) else source
            for target in self._derived(base, map_, step.shape):
                yield target
                width = self.slots if isinstance(source, Skewed) else base.period
                if width > target.period:
                    yield replace(target, period=width)
        if not step.terms:
            yield from self.fresh(step.shape)

    def same_grid(self, source: Slotted, target: Slotted) -> None:
        """Note that a layout is on the same raster as another."""
        if source in self.grids:
            self.grids.setdefault(target, self.grids[source])

    def fresh(self, shape: Shape) -> Iterator[Slotted]:
        """Layouts that owe nothing to others."""
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

    def _for_product(self, live: Live, step: AffineStep | WindowStep, reader: ProductStep) -> Iterator[Slotted]:
        """Layouts of an operand of a matrix product: axes where they are, or stacked anew."""
        operands = [self.affine.get(name) for name in (reader.left, reader.right)]
        sides = [self._spread(live, operand) for operand in operands if operand is not None]
        if len(sides) == 2 and sides[0] is not None and sides[1] is not None:
            yield from kept_layouts(step.shape, sides[0], sides[1])
        yield from stacked_layouts(step.shape, self.slots)

    def _spread(self, live: Live, operand: AffineStep) -> SpreadAxes | None:
        """Where the axes of an operand are in the value that it is spread from."""
        ((name, map_), *others) = operand.terms
        source = live.get(name)
        if others or not isinstance(source, Slotted):
            return None
        at = (operand.out, source)
        if at not in self._spreads:
            self._spreads[at] = spread_axes(map_, source)
        return self._spreads[at]

    def _derived(self, source: Slotted, map_: LinearMap, shape: Shape) -> Iterator[Slotted]:
        """Where the result may go given where the argument is."""
        if (in_place := self.lowerings.in_place(map_, source)) is not None:
            self.same_grid(source, in_place)
            yield in_place
        grid = self.grids.get(source)
        if grid is not None and self._is_image(shape) and (strides := strides_of(map_)) is not None:
            yield from self._on_grid(grid.strided(strides), shape)
        yield from self.fresh(shape)
