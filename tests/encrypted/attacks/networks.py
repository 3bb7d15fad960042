"""The networks that are attacked."""

from __future__ import annotations

from contextlib import nullcontext
from unittest.mock import patch

import numpy as np

from enclair import compiler
from enclair.compiler import SplitOptions
from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.elementwise import Add
from enclair.compiler.ir.ops.linear import Conv
from enclair.compiler.ir.types import TensorType
from enclair.compiler.program import Program

FILTERS, KERNEL = 96, 5
BITS = 12


def red_cnn_head(extent: int, *, pad: int = 0, outputs: int = 4, kernel: int = 3, on_tiles: bool = False) -> Program:
    """The first layer of RED-CNN (96 filters of 5x5, with biases), ReLU, and a second convolution.

    Weights are drawn as PyTorch draws them, uniform within 1 / sqrt(fan in).

    Args:
        extent: of the square image.
        pad: zeros around it; RED-CNN has none.
        outputs, kernel: of the second convolution, which keeps the size.
        on_tiles: as large images are packed: a weight multiplies whole ciphertexts.
    """
    random = np.random.default_rng(0)
    builder = Builder("red_cnn_head")
    x = builder.input("x", TensorType((1, 1, extent, extent)))
    hidden = builder.add(Relu(), _convolution(builder, random, x, (FILTERS, 1, KERNEL, KERNEL), pad))
    y = _convolution(builder, random, hidden, (outputs, FILTERS, kernel, kernel), kernel // 2)
    rasters = patch("enclair.compiler.packing.candidates.raster_blockings", return_value=[])
    with rasters if on_tiles else nullcontext():
        return _compiled(builder.build([y]), extent)


def pixel_map(extent: int) -> Program:
    """A map of each pixel alone, which needs one ciphertext an image: what is attacked is the upload."""
    random = np.random.default_rng(0)
    builder = Builder("pixel_map")
    x = builder.input("x", TensorType((1, 1, extent, extent)))
    return _compiled(builder.build([_convolution(builder, random, x, (1, 1, 1, 1), 0)]), extent)


def layer(program: Program, number: int) -> tuple[Array, Array]:
    """Weights and biases of a convolution in fixed point, which a client does not have."""
    nodes = [n for n in program.fixed.nodes if len(n.args) == 2 and program.fixed.is_constant(n.args[1])]
    weights, biases = (program.fixed.constant(node.args[1]) for node in nodes[2 * number : 2 * number + 2])
    return weights, biases.reshape(-1)


def noise_image(extent: int, seed: int) -> dict[str, Array]:
    """An input in general position."""
    return {"x": np.random.default_rng(seed).uniform(-1, 1, (1, 1, extent, extent))}


def _convolution(
    builder: Builder, random: np.random.Generator, x: Value, shape: tuple[int, int, int, int], pad: int
) -> Value:
    bound = 1 / np.sqrt(np.prod(shape[1:]))
    op = Conv((1, 1), (pad,) * 4, (1, 1), 1)
    y = builder.add(op, x, builder.constant("w", random.uniform(-bound, bound, shape)))
    return builder.add(Add(), y, builder.constant("b", random.uniform(-bound, bound, (shape[0], 1, 1))))


def _compiled(graph: Graph, extent: int) -> Program:
    options = SplitOptions(activation_bits=BITS, weight_bits=BITS, input_ranges={"x": (-1.0, 1.0)})
    return compiler.compile(graph, [noise_image(extent, seed) for seed in range(3)], options=options)
