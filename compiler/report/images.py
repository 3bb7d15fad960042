"""Convolutions on coefficients, told as convolutions on tiles: a slot is a pixel of the result.

A ciphertext is then what one position of the kernel's window reads of one channel, and pixels outside of the image are
known to be zero.
"""

from __future__ import annotations

import numpy as np

from enclair.compiler.ir.graph import Node, Value
from enclair.compiler.ir.layouts import Axes, Layout, Raster, Tiles, Viewed
from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.report.retold import Retelling
from enclair.compiler.report.views import Known, View

AXES = Axes(0, 1, 2, 3)


def on_tiles(view: View) -> View:
    """The view with a slot for each pixel of the result, if its products are convolutions; else as it is."""
    if not any(isinstance(node.op, PolynomialConvolution) for node in view.nodes):
        return view
    return _OnTiles(view).run()


class _OnTiles(Retelling):
    def slot_layout(self, layout: Layout) -> Layout:
        """A pixel of a result, the only one of its tile."""
        if isinstance(layout, Viewed):
            return Viewed(self.slot_layout(layout.base), layout.shape)
        batch, _, height, width = layout.shape
        slots = batch * height * width
        return Tiles(layout.shape, AXES, (height, width), (1, 1), (0, 0), (1, 1), slots)

    def product(self, node: Node) -> tuple[Value, ...]:
        """Every result takes every pixel of every channel's window."""
        weights = self.view.arrays[node.args[1].name]
        op, tiles = node.op, self._window(node.args[0].name)
        if not isinstance(op, PolynomialConvolution):
            raise TypeError(f"{op} is no convolution")
        rows, columns = op.reach((weights.shape[2], weights.shape[3]))
        terms = op.by_output(weights)
        gather = tiles.cipher(np.arange(terms.shape[1])[:, None], rows, columns)
        return self.combined(node, terms.reshape(len(terms), -1), gather.reshape(-1))

    def known(self, name: str, known: Known) -> Known:
        """What a window holds of an image that is sent, or the pixels of a result that was decrypted before."""
        if self._readers(name):
            return Known(known.value, self._window(name).index().astype(np.int32))
        batch, channels = self._result().shape[:2]
        pixels = known.elements[known.elements >= 0].reshape(batch, channels, -1)
        return Known(known.value, pixels.swapaxes(0, 1).reshape(channels, -1))

    def _window(self, name: str) -> Tiles:
        """The source of convolutions: as many tiles as the result has pixels, with all that their taps reach."""
        readers = self._readers(name)
        reaches = [op.reach(self._kernel(node)) for node, op in readers]
        low, high = (
            tuple(int(choose(choose(reach[axis]) for reach in reaches)) for axis in (0, 1)) for choose in (min, max)
        )
        source, target = readers[0][1].source, readers[0][1].target
        batch, _, height, width = target.shape
        stop = high[0] + 1, high[1] + 1
        slots = batch * height * width
        return Tiles(source.shape, AXES, (height, width), target.step, (low[0], low[1]), stop, slots)

    def _kernel(self, node: Node) -> tuple[int, int]:
        *_, rows, columns = self.view.arrays[node.args[1].name].shape
        return rows, columns

    def _readers(self, name: str) -> list[tuple[Node, PolynomialConvolution]]:
        """The convolutions of a value."""
        convolutions = [(n, n.op) for n in self.view.nodes if isinstance(n.op, PolynomialConvolution)]
        return [(node, op) for node, op in convolutions if node.args[0].name == name]

    def _result(self) -> Raster:
        """The layout of what the convolutions make: one for all, for they are joined."""
        return next(node.op.target for node in self.view.nodes if isinstance(node.op, PolynomialConvolution))
