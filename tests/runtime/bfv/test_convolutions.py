"""Convolutions of encrypted images on coefficients equal those of the images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.runtime.programs import SECURE_4096, SMALL, SMALL_CRT

from enclair.compiler.ir.layouts import Raster
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose
from enclair.compiler.ir.ops.packed import HideUnheld
from enclair.compiler.ir.slots import pack, unpack
from enclair.compiler.ir.types import Encoding
from enclair.compiler.parameters import BfvParameters, choose_plaintext_moduli
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.keys import generate_keys
from enclair.runtime.executor import apply

FORM, ONES = Encoding.COEFFICIENTS, (1, 1)
MIDDLE = replace(SMALL, ring_dim=1024, plaintext_moduli=choose_plaintext_moduli(2**38, 1024, 60))
SIX = Raster((2, 3, 6, 6), 7, ONES, 64)


@dataclass(frozen=True)
class Case:
    """A convolution, its packed form, and the shape of its weights."""

    op: Conv | ConvTranspose
    packed: PolynomialConvolution
    weights: tuple[int, ...]


def same(source: Raster, outputs: int, stride: int = 1) -> Case:
    """A kernel of 3x3 with zeros around the image."""
    batch, channels, height, width = source.shape
    shape = batch, outputs, -(-height // stride), -(-width // stride)
    target = Raster(shape, source.pitch, (stride, stride), source.slots)
    op = Conv((stride, stride), (1,) * 4, ONES, 1)
    return Case(op, PolynomialConvolution(source, target, ONES, ONES, False), (outputs, channels, 3, 3))


def transposed(source: Raster, outputs: int) -> Case:
    """The transpose of a convolution with a kernel of 2x3."""
    batch, channels, height, width = source.shape
    target = Raster((batch, outputs, height + 1, width + 2), source.pitch, ONES, source.slots)
    op = ConvTranspose(ONES, (0,) * 4, ONES, 1, (0, 0))
    return Case(op, PolynomialConvolution(source, target, (0, 0), ONES, True), (channels, outputs, 2, 3))


CASES: dict[str, tuple[BfvParameters, Case]] = {
    "same": (SMALL, same(SIX, 2)),
    "stride": (SMALL, same(SIX, 2, 2)),
    "transposed": (SMALL, transposed(Raster((1, 2, 5, 5), 8, ONES, 64), 3)),
    "two moduli": (SMALL_CRT, same(SIX, 2)),
    "1024": (MIDDLE, same(Raster((1, 5, 20, 20), 22, ONES, 1024), 4)),
    "4096": (SECURE_4096, transposed(Raster((1, 2, 60, 60), 62, ONES, 4096), 3)),
}


@pytest.mark.parametrize(("parameters", "case"), CASES.values(), ids=list(CASES))
def test_an_encrypted_image_is_convolved(parameters: BfvParameters, case: Case) -> None:
    rng, packed = np.random.default_rng(0), case.packed
    x, weights = rng.integers(-512, 513, packed.source.shape), rng.integers(-128, 129, case.weights)
    keys = generate_keys(parameters)
    server = BfvEvaluator(parameters, keys.public_key())
    ops: tuple[tuple[Op, list[np.ndarray]], ...] = ((packed, [weights]), (HideUnheld(packed.target), []))  # type: ignore[type-arg]
    ciphers = server.load(keys.encrypt(pack(packed.source, x), FORM), packed.source.count)
    for op, constants in ops:
        ciphers = apply(op, [ciphers, *constants], server)
    answer = keys.decrypt(server.answer(ciphers), packed.target.count, FORM)
    np.testing.assert_array_equal(unpack(packed.target, answer), case.op.evaluate(x, weights))
    between = answer[packed.target.index() < 0]
    assert np.unique(between).size == between.size
