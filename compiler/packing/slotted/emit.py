"""Write the PACKED graph of chosen layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    EvaluatePolynomial,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    RotateSlots,
)
from enclair.compiler.ir.ops.polynomial import Polynomial, chebyshev_sum
from enclair.compiler.ir.slot_layouts import Slotted
from enclair.compiler.ir.types import CkksType
from enclair.compiler.packing.slotted.diagonals import Diagonals
from enclair.compiler.packing.slotted.lowering import Lowered
from enclair.compiler.packing.slotted.periods import Numbers, Source
from enclair.compiler.packing.slotted.search import Chosen, Search
from enclair.compiler.packing.slotted.steps import AffineStep, PolynomialStep, ProductStep, Step, WindowStep
from enclair.compiler.packing.slotted.window_sums import window_sums


@dataclass(frozen=True, slots=True)
class Emitted:
    """A value on the server: its ciphertexts, its layout, and what slots without an element hold."""

    cipher: Value
    layout: Source
    unheld: float


@dataclass
class Emitter:
    """Writes the steps one by one.

    Args:
        search: what found the layouts.
        chosen: the layouts.
    """

    search: Search
    chosen: Chosen
    builder: Builder
    values: dict[str, Emitted] = field(default_factory=dict)

    def run(self, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
        """The server's graph."""
        for name in inputs:
            layout = self.chosen.layouts[name]
            cipher = self.builder.input(upload_name(name), CkksType(layout.count, layout.slots))
            self.values[name] = Emitted(cipher, layout, 0.0)
        for step in self.search.steps:
            self.values[step.out] = self._emit(step)
        return self.builder.build([self._own(name) for name in outputs])

    def _own(self, name: str) -> Value:
        """The ciphertexts of an output; an input that is returned gets a node, so that it has a name of its own."""
        value = self.values[name]
        if value.cipher in self.builder.inputs:
            every = self.builder.constant("every", np.arange(value.layout.count), 0)
            return self.builder.add(SelectCiphers(), value.cipher, every)
        return value.cipher

    def _emit(self, step: Step) -> Emitted:
        if isinstance(step, AffineStep):
            return self._affine(step)
        if isinstance(step, PolynomialStep):
            return self._polynomial(step)
        return self._window(step) if isinstance(step, WindowStep) else self._product(step)

    def _window(self, step: WindowStep) -> Emitted:
        x = self.values[step.argument]
        found = window_sums(step.map, x.layout) if isinstance(x.layout, Slotted) else None
        if found is None or found.layout != self.chosen.layouts[step.out]:
            return self._affine(step)
        total = self._rotated_sums(x.cipher, found.doubled)
        for distances in found.added:
            rotated = [self.builder.add(RotateSlots(steps), total) for steps in distances]
            total = self._summed([total, *rotated])
        return Emitted(total, found.layout, 0.0)

    def _affine(self, step: AffineStep | WindowStep) -> Emitted:
        target = self.chosen.layouts[step.out]
        if not isinstance(target, Slotted):
            raise TypeError(f"{step.out} has a layout that only a client can make: {target}")
        costs = self.search.costs_of(step)
        parts = [
            (self.search.lowered(name, map_, self.values[name].layout, target, costs), self.values[name])
            for name, map_ in step.terms
        ]
        lowered = sorted(((one, value) for one, value in parts if one is not None), key=_by_sums)
        total: Value | None = None
        for (sums, minus), group in groupby(lowered, key=_by_sums):
            part = self._summed([self._transform(one, value, step.origin) for one, value in group])
            part = self._rotated_sums(part, sums)
            total = self._joined(total, part, negative=minus)
        unheld = sum(value.unheld * one.multiplicity for one, value in lowered if one.transform is None)
        if total is None:
            raise TypeError(f"{step.out} is a constant")
        return Emitted(self._biased(total, step.bias, target), target, unheld)

    def _joined(self, total: Value | None, part: Value, *, negative: bool) -> Value:
        """The total so far plus or minus a part."""
        if total is not None:
            return self.builder.add(SubtractCiphers() if negative else AddCiphers(), total, part)
        if not negative:
            return part
        return self.builder.add(MultiplyPlain(), part, self.builder.constant("minus", np.array([[-1.0]])))

    def _biased(self, value: Value, bias: Array | None, layout: Slotted) -> Value:
        if bias is None or not np.any(bias):
            return value
        vectors = self.builder.constant("bias", spread_reals(layout, bias))
        return self.builder.add(AddPlainVectors(), value, vectors)

    def _transform(self, lowered: Lowered, value: Emitted, origin: str) -> Value:
        if lowered.transform is None:
            return value.cipher if lowered.gathered is None else self._gathered(value.cipher, lowered.gathered)
        tables = lowered.transform.diagonals()
        return self._linear(value.cipher, tables, lowered.transform.target.count, lowered.baby_steps, origin)

    def _gathered(self, x: Value, columns: Numbers) -> Value:
        """Sums of whole ciphertexts."""
        tables = [self.builder.constant("select", column, 0) for column in columns.T]
        return self._summed([self.builder.add(SelectCiphers(), x, table) for table in tables])

    def _linear(self, x: Value, tables: Diagonals, outputs: int, baby_steps: int, origin: str) -> Value:
        integers = {"rows": tables.rows, "cols": tables.cols, "rotations": tables.rotations, "which": tables.which}
        names = [self.builder.constant(name, table, 0) for name, table in integers.items()]
        reals = [self.builder.constant("weights", tables.weights), self.builder.constant("vectors", tables.vectors)]
        return self.builder.add(LinearTransform(outputs, baby_steps), x, *names, *reals, origin=origin)

    def _summed(self, values: list[Value]) -> Value:
        total = values[0]
        for value in values[1:]:
            total = self.builder.add(AddCiphers(), total, value)
        return total

    def _rotated_sums(self, value: Value, rotations: Sequence[int]) -> Value:
        for steps in rotations:
            value = self.builder.add(AddCiphers(), value, self.builder.add(RotateSlots(steps), value))
        return value

    def _polynomial(self, step: PolynomialStep) -> Emitted:
        x, op = self.values[step.argument], step.op
        target = self.chosen.layouts[step.out]
        cipher = self._filled(x, op)
        made = self.builder.add(EvaluatePolynomial(op.coefficients, op.low, op.high), cipher, origin=step.origin)
        at = x.unheld if op.low <= x.unheld <= op.high else (op.low + op.high) / 2
        unheld = float(chebyshev_sum(op.coefficients, op.low, op.high, np.array(at)))
        return Emitted(made, target, unheld)

    def _filled(self, x: Emitted, op: Polynomial) -> Value:
        """Slots without an element brought into the interval where the polynomial is small."""
        held = x.layout.index() >= 0
        if op.low <= x.unheld <= op.high or held.all():
            return x.cipher
        fill = (op.low + op.high) / 2 - x.unheld
        return self.builder.add(AddPlainVectors(), x.cipher, self.builder.constant("fill", np.where(held, 0.0, fill)))

    def _product(self, step: ProductStep) -> Emitted:
        common = self.chosen.operands[step.out]
        costs = self.search.costs_of(step)
        operands = []
        for name in (step.left, step.right):
            value = self.values[name]
            lowered = self.search.moved(name, value.layout, common, costs)
            if lowered is None:
                raise TypeError(f"{name} has no way from {value.layout} to {common}")
            moved = self._rotated_sums(self._transform(lowered, value, step.origin), lowered.sums)
            unheld = value.unheld * lowered.multiplicity if lowered.transform is None else 0.0
            operands.append(Emitted(moved, common, unheld))
        made = self.builder.add(MultiplyCiphers(), operands[0].cipher, operands[1].cipher, origin=step.origin)
        summed = self.search.layouts.summed(common, step)
        if summed is None:
            raise TypeError(f"{step.out} cannot be summed in {common}")
        made = self._rotated_sums(self._over_ciphers(made, summed.ciphers), summed.rotations)
        return Emitted(made, summed.layout, step.sums * operands[0].unheld * operands[1].unheld)

    def _over_ciphers(self, value: Value, count: int) -> Value:
        """The sum of ``count`` equal parts of an array of ciphertexts, by halves."""
        total = value.type.count if isinstance(value.type, CkksType) else 0
        each = total // count
        while count > 1:
            half = count // 2
            parts = [self._select(value, start * each, (start + half) * each) for start in (0, half)]
            joined = self.builder.add(AddCiphers(), parts[0], parts[1])
            if count % 2:
                rest = self._select(value, 2 * half * each, count * each)
                first = self._select(joined, 0, each)
                first = self.builder.add(AddCiphers(), first, rest)
                joined = first if half == 1 else self._concat(first, self._select(joined, each, half * each))
            value, count = joined, half
        return value

    def _concat(self, first: Value, second: Value) -> Value:
        return self.builder.add(ConcatCiphers(), first, second)

    def _select(self, value: Value, start: int, stop: int) -> Value:
        table = self.builder.constant("select", np.arange(start, stop), 0)
        return self.builder.add(SelectCiphers(), value, table)


def _by_sums(part: tuple[Lowered, Emitted]) -> tuple[tuple[int, ...], bool]:
    """Parts whose copies are added up by the same rotations stand together, those to be subtracted last."""
    return part[0].sums, part[0].sign < 0


def upload_name(name: str) -> str:
    """Name of the ciphertexts of a value that the client sends."""
    return f"{name}.up"


def spread_reals(layout: Layout, tensor: Array) -> Array:
    """Slot vectors that hold a tensor in every copy, and 0 elsewhere."""
    index = layout.index()
    flat = np.asarray(tensor, dtype=np.float64).reshape(-1)
    return np.where(index >= 0, flat[np.maximum(index, 0)], 0.0)
