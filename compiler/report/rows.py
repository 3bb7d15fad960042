"""Products on coefficients, told as products on slots: what lies between the outputs is random and says nothing.

An answer in coefficients shows exactly the matrix product. So does one in which every feature has a ciphertext of its
own and every row of the matrix a slot; no op moves anything from slot to slot there, which is what counting unknown
numbers builds on.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from enclair.compiler.ir.graph import Array, Node, Value
from enclair.compiler.ir.layouts import Coefficients, Layout
from enclair.compiler.ir.ops.packed import (
    AddPlain,
    HideUnheld,
    LinearCombination,
    PolynomialCombination,
    SelectCiphers,
)
from enclair.compiler.ir.types import CipherType, Encoding, TensorType
from enclair.compiler.report.views import Known, View


def in_rows(view: View) -> View:
    """The view with a ciphertext for each feature, if its products are on coefficients; else as it is."""
    if not any(isinstance(node.op, PolynomialCombination) for node in view.nodes):
        return view
    return _Translation(view).run()


def by_feature(layout: Layout) -> Coefficients:
    """The rows of a matrix with one feature a ciphertext."""
    rows = prod(layout.shape[:-1])
    return Coefficients(layout.shape, rows, 1, 1, rows)


class _Translation:
    def __init__(self, view: View) -> None:
        self.view = view
        self.layouts: dict[str, Coefficients] = {}
        self.arrays: dict[str, Array] = {}

    def run(self) -> View:
        view = self.view
        nodes = tuple(self._node(node) for node in view.nodes)
        known = {name: self._known(known) for name, known in view.known.items()}
        answer = Value(view.answer.name, _slots(self.layouts[view.answer.name]))
        return replace(
            view, answer=answer, layout=by_feature(view.layout), nodes=nodes, arrays=self.arrays, known=known
        )  # fmt: skip

    def _node(self, node: Node) -> Node:
        layout = self._layout(node)
        self.layouts[node.out.name] = layout
        out = Value(node.out.name, _slots(layout))
        match node.op:
            case PolynomialCombination():
                weights = self._constant(node.args[1], self.view.arrays[node.args[1].name].T[None])
                return replace(node, op=LinearCombination(layout.count), args=self._combined(node, weights), out=out)
            case LinearCombination():
                factors = self.view.arrays[node.args[2].name]
                weights = self._constant(node.args[2], np.full((layout.count, 1, 1), factors.flat[0]))
                return replace(node, op=node.op, args=self._each(node, weights, layout.count), out=out)
            case AddPlain():
                added = self._constant(node.args[1], self.view.arrays[node.args[1].name])
                return replace(node, op=AddPlain(layout), args=(node.args[0], added), out=out)
            case HideUnheld() | SelectCiphers():
                every = self._table(f"{node.out.name}.every", np.arange(layout.count))
                return replace(node, op=SelectCiphers(), args=(node.args[0], every), out=out)
            case _:
                return replace(node, out=out)

    def _layout(self, node: Node) -> Coefficients:
        """Of the result: a product's own, an added constant's, or that of the argument."""
        match node.op:
            case PolynomialCombination():
                return by_feature(node.op.target)
            case AddPlain() | HideUnheld():
                return by_feature(node.op.layout)
            case _:
                return self.layouts[node.args[0].name]

    def _combined(self, node: Node, weights: Value) -> tuple[Value, ...]:
        """Arguments of the product in which every output takes every feature."""
        _, outputs, features = self.arrays[weights.name].shape
        gather = self._table(f"{node.out.name}.gather", np.arange(features)[None, None])
        scatter = self._table(f"{node.out.name}.scatter", np.arange(outputs)[None, :, None])
        return node.args[0], gather, weights, scatter

    def _each(self, node: Node, weights: Value, count: int) -> tuple[Value, ...]:
        """Arguments of the product of every ciphertext with a factor of its own."""
        every = self._table(f"{node.out.name}.every", np.arange(count)[:, None, None])
        return node.args[0], every, weights, every

    def _constant(self, value: Value, array: Array) -> Value:
        self.arrays[value.name] = array
        scale_bits = value.type.scale_bits if isinstance(value.type, TensorType) else None
        return Value(value.name, TensorType(array.shape, scale_bits))

    def _table(self, name: str, array: Array) -> Value:
        self.arrays[name] = array
        return Value(name, TensorType(array.shape, 0))

    def _known(self, known: Known) -> Known:
        """The elements by feature and row, whatever coefficients they are in."""
        count = int(known.elements.max(initial=-1)) + 1
        features = self._features(known, count)
        return replace(known, elements=np.arange(count, dtype=np.int32).reshape(-1, features).T.copy())

    def _features(self, known: Known, count: int) -> int:
        """How many elements of a known value are in one row."""
        for node in self.view.nodes:
            for arg in node.args:
                if self.view.known.get(arg.name) is known and isinstance(node.op, PolynomialCombination):
                    return node.op.source.shape[-1]
        return count


def _slots(layout: Layout) -> CipherType:
    return CipherType(layout.count, layout.slots, 0, Encoding.COEFFICIENTS)
