"""A small program of full mode, made by hand: two uploads at different levels, rotations, a square, a bias."""

from __future__ import annotations

from functools import reduce

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.layouts import Replicated
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.ckks import AddPlainVectors, LinearTransform, MultiplyCiphers, PackReals, UnpackReals
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.shape import Concat, Slice
from enclair.compiler.ir.types import CkksType, RealSlotsType, TensorType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.program import InputSpec, Program, Round, exchange_of

TINY = CkksParameters(256, 2, 40, 50, 3, INSECURE)
TINY_SECURE = CkksParameters(8192, 2, 40, 50, 3)
ROTATIONS = np.array([0, 1, 5, 14])


def tiny_program(parameters: CkksParameters = TINY, seed: int = 0) -> Program:
    """out = (sum_r w_r * roll(x, -r))^2 + bias + y, elementwise, with x and y (1, slots) in [-1, 1]."""
    layout = _layout(parameters)
    prologue, server, last = _prologue(layout), _server(parameters, seed), _epilogue(layout)
    inputs = tuple(InputSpec(name, layout.shape, -1.0, 1.0) for name in ("x", "y"))
    rounds = (Round(server, last, exchange_of(server, prologue, last)),)
    return Program("tiny", parameters, inputs, ("out",), prologue, rounds, _reference(parameters, seed))


def tiny_outputs(x: Array, y: Array, seed: int = 0) -> Array:
    """What the program computes."""
    vectors, bias = _weights(x.size, seed)
    total = sum(vector * np.roll(x[0], -r) for vector, r in zip(vectors, ROTATIONS, strict=True))
    return (total**2 + bias + y[0])[None]


def tiny_inputs(parameters: CkksParameters = TINY, seed: int = 1) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-1, 1, (1, parameters.slots)) for name in ("x", "y")}


def _weights(slots: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, (len(ROTATIONS), slots)), rng.uniform(-1, 1, slots)


def _layout(parameters: CkksParameters) -> Replicated:
    """One ciphertext, slot i holds element i."""
    return Replicated((1, parameters.slots), parameters.slots, 1, parameters.slots)


def _prologue(layout: Replicated) -> Graph:
    b = Builder("prologue")
    packed = [b.add(PackReals(layout), b.input(name, TensorType(layout.shape)), name=f"{name}.packed") for name in "xy"]
    return b.build(packed)


def _server(parameters: CkksParameters, seed: int) -> Graph:
    b, (vectors, bias) = Builder("server"), _weights(parameters.slots, seed)
    x, y = (b.input(f"{name}.packed", CkksType(1, parameters.slots)) for name in "xy")
    zeros = np.zeros(len(ROTATIONS), dtype=np.int64)
    tables = [b.constant("t", table, 0) for table in (zeros, zeros, ROTATIONS, np.arange(len(ROTATIONS)))]
    weights = b.constant("w", np.ones(len(ROTATIONS)))
    sums = b.add(LinearTransform(1, baby_steps=4), x, *tables, weights, b.constant("v", vectors), name="sums")
    square = b.add(MultiplyCiphers(), sums, sums, name="square")
    shifted = b.add(AddPlainVectors(), square, b.constant("bias", bias[None]), name="shifted")
    return PlaceLevels(parameters)(b.build([b.add(AddCiphers(), shifted, y, name="total")]))


def _epilogue(layout: Replicated) -> Graph:
    b = Builder("client")
    seen = b.input("total", RealSlotsType(1, layout.slots))
    return b.build([b.add(UnpackReals(layout), seen, name="out")])


def _reference(parameters: CkksParameters, seed: int) -> Graph:
    b, (vectors, bias) = Builder("reference"), _weights(parameters.slots, seed)
    x, y = (b.input(name, TensorType(_layout(parameters).shape)) for name in "xy")
    terms = [
        b.add(Mul(), _rolled(b, x, int(steps)), b.constant("v", vector[None]))
        for vector, steps in zip(vectors, ROTATIONS, strict=True)
    ]
    sums = reduce(lambda one, other: b.add(Add(), one, other), terms)
    shifted = b.add(Add(), b.add(Mul(), sums, sums), b.constant("bias", bias[None]))
    return b.build([b.add(Add(), shifted, y, name="out")])


def _rolled(b: Builder, x: Value, steps: int) -> Value:
    size = x.type.shape[1]
    if not steps:
        return x
    parts = [b.add(Slice((0, first), (1, last), (1, 1)), x) for first, last in ((steps, size), (0, steps))]
    return b.add(Concat(1), *parts)
