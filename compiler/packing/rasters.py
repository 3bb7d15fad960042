"""Convolutions on coefficients: an image that fits takes one ciphertext a channel, however large the kernel.

Pixels lie in coefficients row by row, and a kernel is a polynomial with a coefficient for each tap
(``PolynomialConvolution``). Tiles take a ciphertext for every pixel that a tile's taps read. What a row leaves free up
to the next stands in for padding, so the pitch is as small as the taps allow. Weights grow the noise by their sum
alone, and what lies between the outputs is hidden from the client.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Array, Builder, Graph, Node
from enclair.compiler.ir.layouts import Layout, Raster, Viewed
from enclair.compiler.ir.ops.convolution import PolynomialConvolution, reads_wrongly
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose
from enclair.compiler.ir.ops.packed import HideUnheld
from enclair.compiler.packing.products import products_of
from enclair.compiler.packing.tiles import Packed, shape_of
from enclair.compiler.planner.costs import StageCost, products_of_chunks, transforms_of


@dataclass(frozen=True, slots=True)
class RasterBlocking:
    """How many coefficients a row of pixels takes."""

    pitch: int
    slots: int

    @property
    def name(self) -> str:
        """For reports."""
        return f"coefficients, rows of {self.pitch}"

    def source(self, shape: tuple[int, ...]) -> Raster:
        """Pixels side by side."""
        return Raster(shape, self.pitch, (1, 1), self.slots)

    def target(self, node: Node) -> Raster:
        """Pixels as far apart as the convolution's strides."""
        return self.convolution(node).target

    def work(self, node: Node) -> StageCost:
        """A polynomial for each pair of channels."""
        op = self.convolution(node)
        return StageCost(polynomial_products=products_of_chunks(op), transforms=transforms_of(op))

    def product(self, builder: Builder, node: Node, x: Packed, weights: Array, scale_bits: int) -> Packed:
        """All channels of the result at once."""
        op, constant = self.convolution(node), builder.constant("weights", weights, scale_bits)
        return Packed(builder.add(op, x.cipher, constant), op.target, True)

    def convolution(self, node: Node) -> PolynomialConvolution:
        """The packed form of a convolution, or of the transpose of one with stride 1, of images."""
        op, source = node.op, self.source(shape_of(node.args[0]))
        if not isinstance(op, Conv | ConvTranspose):
            raise PackingError(node.out.name, f"{type(op).__name__} is no convolution")
        step = op.strides[0], op.strides[1]
        target = Raster(shape_of(node.out), self.pitch, step, self.slots)
        pads, dilations = (op.pads[0], op.pads[1]), (op.dilations[0], op.dilations[1])
        return PolynomialConvolution(source, target, pads, dilations, isinstance(op, ConvTranspose))

    def finished(self, builder: Builder, result: Packed) -> Packed:
        """Without the sums that lie between the pixels."""
        return Packed(builder.add(HideUnheld(result.layout), result.cipher), result.layout, result.clean)

    def reshaped(self, layout: Layout, shape: tuple[int, ...]) -> Layout:
        """The same coefficients."""
        return Viewed(layout, shape)


def raster_blockings(graph: Graph, slots: int) -> Iterator[RasterBlocking]:
    """The smallest pitch that serves all convolutions of a part; none if the images do not fit or have no raster."""
    nodes = products_of(graph)
    if not all(map(_has_raster, nodes)):
        return
    widths = [_width(node) for node in nodes]
    most = max(width + 2 * _reach(node) for width, node in zip(widths, nodes, strict=True))
    for pitch in range(max(widths), most + 1):
        blocking = RasterBlocking(pitch, slots)
        if all(_serves(blocking, node) for node in nodes):
            yield blocking
            return


def _has_raster(node: Node) -> bool:
    """Whether a convolution is of images, in one group, and does not spread them."""
    op = node.op
    if not isinstance(op, Conv | ConvTranspose) or op.groups != 1 or len(shape_of(node.out)) != 4:
        return False
    return isinstance(op, Conv) or op.strides == (1, 1)


def _width(node: Node) -> int:
    """Coefficients of the longest row, of the argument or the result."""
    source, target = shape_of(node.args[0])[3], shape_of(node.out)[3]
    strides = node.op.strides if isinstance(node.op, Conv | ConvTranspose) else (1, 1)
    return max(source, (target - 1) * strides[1] + 1)


def _reach(node: Node) -> int:
    """How many columns a kernel covers or looks beyond a row, at most."""
    op, taps = node.op, shape_of(node.args[1])[3]
    if not isinstance(op, Conv | ConvTranspose):
        return 0
    return op.dilations[1] * (taps - 1) + max(op.pads)


def _serves(blocking: RasterBlocking, node: Node) -> bool:
    """Whether the images fit, and every tap finds its pixel, or nothing where there is none."""
    op, kernel = blocking.convolution(node), shape_of(node.args[1])[2:]
    fits = op.source.reach <= blocking.slots and op.target.reach <= blocking.slots
    return fits and not reads_wrongly(op, (kernel[0], kernel[1]))
