"""Products of matrices on coefficients, told as products on slots: a feature a ciphertext, a row a slot."""

from __future__ import annotations

from math import prod

import numpy as np

from enclair.compiler.ir.graph import Node, Value
from enclair.compiler.ir.layouts import Coefficients, Layout
from enclair.compiler.ir.ops.packed import PolynomialCombination
from enclair.compiler.report.retold import Retelling
from enclair.compiler.report.views import Known, View


def in_rows(view: View) -> View:
    """The view with a ciphertext for each feature, if its products are of matrices on coefficients; else as it is."""
    if not any(isinstance(node.op, PolynomialCombination) for node in view.nodes):
        return view
    return _InRows(view).run()


class _InRows(Retelling):
    def slot_layout(self, layout: Layout) -> Coefficients:
        """The rows of a matrix with one feature a ciphertext."""
        rows = prod(layout.shape[:-1])
        return Coefficients(layout.shape, rows, 1, 1, rows)

    def product(self, node: Node) -> tuple[Value, ...]:
        """Every output takes every feature."""
        weights = self.view.arrays[node.args[1].name]
        return self.combined(node, weights.T, np.arange(len(weights)))

    def known(self, name: str, known: Known) -> Known:
        """The elements by feature and row, whatever coefficients they are in."""
        count = int(known.elements.max(initial=-1)) + 1
        readers = [node for node in self.view.nodes if name in {arg.name for arg in node.args}]
        sources = [node.op.source for node in readers if isinstance(node.op, PolynomialCombination)]
        features = sources[0].shape[-1] if sources else self.view.layout.shape[-1]
        return Known(known.value, np.arange(count, dtype=np.int32).reshape(-1, features).T.copy())
