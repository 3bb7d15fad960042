"""A view with products on coefficients, told as one with products on slots.

What lies between the elements of an answer in coefficients is random and says nothing: it shows exactly the product. So
does a layout in which no op moves anything from slot to slot, which is what counting unknown numbers builds on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from enclair.compiler.ir.graph import Array, Node, Value
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.ciphers import SelectCiphers
from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.ir.ops.packed import AddPlain, HideUnheld, LinearCombination, PolynomialCombination
from enclair.compiler.ir.types import CipherType, TensorType
from enclair.compiler.report.views import Known, View


class Retelling:
    """Tells a view node by node. A subclass says what its products and its layouts become."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.layouts: dict[str, Layout] = {}
        self.arrays: dict[str, Array] = {}

    def slot_layout(self, layout: Layout) -> Layout:
        """The layout that stands for one in coefficients."""
        raise NotImplementedError(type(self).__name__)

    def product(self, node: Node) -> tuple[Value, ...]:
        """The arguments of the ``LinearCombination`` that stands for a product."""
        raise NotImplementedError(type(self).__name__)

    def known(self, name: str, known: Known) -> Known:
        """Which elements the slots of what the client knows hold."""
        raise NotImplementedError(type(self).__name__)

    def run(self) -> View:
        """The view, told on slots."""
        view = self.view
        nodes = tuple(self._node(node) for node in view.nodes)
        known = {name: self.known(name, known) for name, known in view.known.items()}
        answer = Value(view.answer.name, _slots(self.layouts[view.answer.name]))
        layout = self.slot_layout(view.layout)
        return replace(view, answer=answer, layout=layout, nodes=nodes, arrays=self.arrays, known=known)

    def _node(self, node: Node) -> Node:
        layout = self._layout(node)
        self.layouts[node.out.name] = layout
        out = Value(node.out.name, _slots(layout))
        match node.op:
            case PolynomialCombination() | PolynomialConvolution():
                return replace(node, op=LinearCombination(layout.count), args=self.product(node), out=out)
            case LinearCombination():
                factors = self.view.arrays[node.args[2].name]
                weights = self.constant(node.args[2], np.full((layout.count, 1, 1), factors.flat[0]))
                args = self._each(node, weights, layout.count)
                return replace(node, op=LinearCombination(layout.count), args=args, out=out)
            case AddPlain():
                added = self.constant(node.args[1], self.view.arrays[node.args[1].name])
                return replace(node, op=AddPlain(layout), args=(node.args[0], added), out=out)
            case HideUnheld() | SelectCiphers():
                every = self.table(f"{node.out.name}.every", np.arange(layout.count))
                return replace(node, op=SelectCiphers(), args=(node.args[0], every), out=out)
            case _:
                return replace(node, out=out)

    def _layout(self, node: Node) -> Layout:
        """Of the result: a product's own, an added constant's, or that of the argument."""
        match node.op:
            case PolynomialCombination() | PolynomialConvolution():
                return self.slot_layout(node.op.target)
            case AddPlain() | HideUnheld():
                return self.slot_layout(node.op.layout)
            case _:
                return self.layouts.get(node.args[0].name) or self.slot_layout(self.view.layout)

    def _each(self, node: Node, weights: Value, count: int) -> tuple[Value, ...]:
        """Arguments of the product of every ciphertext with a factor of its own."""
        every = self.table(f"{node.out.name}.every", np.arange(count)[:, None, None])
        return node.args[0], every, weights, every

    def combined(self, node: Node, weights: Array, gather: Array) -> tuple[Value, ...]:
        """Arguments of the product with weights (outputs, terms) of the ciphertexts ``gather`` (terms,)."""
        constant = self.constant(node.args[1], weights[None])
        scatter = self.table(f"{node.out.name}.scatter", np.arange(len(weights))[None, :, None])
        return node.args[0], self.table(f"{node.out.name}.gather", gather[None, None]), constant, scatter

    def constant(self, value: Value, array: Array) -> Value:
        """A constant of the view in another shape."""
        self.arrays[value.name] = array
        scale_bits = value.type.scale_bits if isinstance(value.type, TensorType) else None
        return Value(value.name, TensorType(array.shape, scale_bits))

    def table(self, name: str, array: Array) -> Value:
        """A table of numbers of ciphertexts."""
        self.arrays[name] = array
        return Value(name, TensorType(array.shape, 0))


def _slots(layout: Layout) -> CipherType:
    return CipherType(layout.count, layout.slots, 0)
