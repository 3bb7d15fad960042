"""A small program of two rounds, made by hand: a kept value, a second upload, a client stage that saturates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enclair.compiler.ir.graph import Array, Builder, Graph, Value
from enclair.compiler.ir.layouts import Replicated
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.fixed import Dequantise, Quantise, Requantise
from enclair.compiler.ir.ops.packed import AddPlain, LinearCombination, Pack, Unpack
from enclair.compiler.ir.types import CipherType, SlotsType, TensorType
from enclair.compiler.parameters import INSECURE, BfvParameters, choose_plaintext_moduli
from enclair.compiler.program import InputSpec, Program, Round, exchange_of

SMALL = BfvParameters(64, 2, 60, choose_plaintext_moduli(2**39, 64, 60), security=INSECURE)
SMALL_CRT = BfvParameters(64, 2, 60, choose_plaintext_moduli(2**55, 64, 60), security=INSECURE)
SECURE_4096 = BfvParameters(4096, 2, 54, choose_plaintext_moduli(2**38, 4096, 54))
SECURE_8192 = BfvParameters(8192, 2, 60, choose_plaintext_moduli(2**43, 8192, 60))

BITS = 6
ROWS = np.arange(4)[None, :, None]
FEATURES = np.arange(8)[None, None]


@dataclass(frozen=True)
class Weights:
    """Of the two layers, as integers of scale 2^BITS, and the bias of the first, of scale 2^(2 BITS)."""

    first: Array
    bias: Array
    second: Array


def draw_weights(seed: int) -> Weights:
    rng = np.random.default_rng(seed)
    return Weights(rng.integers(-64, 65, (4, 8)), rng.integers(-4096, 4097, (1, 4)), rng.integers(-64, 65, (4, 4)))


def tiny_program(parameters: BfvParameters = SMALL, seed: int = 0) -> Program:
    """out = second @ relu6(first @ x + bias) + (first @ x + bias), with x (1, 8) in [-1, 1]."""
    weights, slots = draw_weights(seed), parameters.slots
    prologue, x = _prologue(slots)
    first, hidden = _first_server(weights, x)
    stage, relu = _client_stage(hidden, slots)
    second, total = _second_server(weights, relu, hidden)
    last = _epilogue(total, slots)
    rounds = (
        Round(first, stage, exchange_of(first, prologue, stage)),
        Round(second, last, exchange_of(second, stage, last)),
    )
    return Program("tiny", parameters, (InputSpec("x", (1, 8), -1.0, 1.0),), ("out",), prologue, rounds, prologue)


def tiny_reference(x: Array, seed: int = 0) -> Array:
    """What the program must give, bit for bit."""
    weights, hidden = draw_weights(seed), tiny_hidden(x, seed)
    relu = np.clip(np.rint(hidden / 2**BITS).astype(np.int64), 0, 200)
    return (relu @ weights.second.T + hidden) / 2 ** (2 * BITS)


def tiny_hidden(x: Array, seed: int = 0) -> Array:
    """What the client sees after the first round."""
    weights = draw_weights(seed)
    return np.rint(x * 2**BITS).astype(np.int64) @ weights.first.T + weights.bias


def _prologue(slots: int) -> tuple[Graph, Value]:
    builder = Builder("prologue")
    x = builder.input("x", TensorType((1, 8)))
    rounded = builder.add(Quantise(BITS, -64, 64), x, name="x.rounded")
    packed = builder.add(Pack(Replicated((1, 8), 1, 1, slots)), rounded, name="x.packed")
    return builder.build([packed]), packed


def _first_server(weights: Weights, x: Value) -> tuple[Graph, Value]:
    builder = Builder("server.1")
    ciphers = builder.input(x.name, _encrypted(x))
    sums = _linear(builder, ciphers, FEATURES, weights.first)
    bias = builder.constant("bias", weights.bias, 2 * BITS)
    out = builder.add(AddPlain(Replicated((1, 4), 1, 1, x.type.slots)), sums, bias, name="hidden")
    return builder.build([out]), out


def _second_server(weights: Weights, relu: Value, hidden: Value) -> tuple[Graph, Value]:
    builder = Builder("server.2")
    ciphers = builder.input(relu.name, _encrypted(relu))
    kept = builder.input(hidden.name, hidden.type)
    sums = _linear(builder, ciphers, FEATURES[..., :4], weights.second)
    total = builder.add(AddCiphers(), sums, kept, name="total")
    return builder.build([total]), total


def _linear(builder: Builder, x: Value, gather: Array, weights: Array) -> Value:
    tables = (
        builder.constant("gather", gather, 0),
        builder.constant("weights", weights[None], BITS),
        builder.constant("scatter", ROWS, 0),
    )
    return builder.add(LinearCombination(4), x, *tables)


def _client_stage(hidden: Value, slots: int) -> tuple[Graph, Value]:
    builder = Builder("client.1")
    layout = Replicated((1, 4), 1, 1, slots)
    seen = builder.input(hidden.name, SlotsType(4, slots, 2 * BITS))
    tensor = builder.add(Unpack(layout), seen)
    relu = builder.add(Requantise(BITS, 0, 200), tensor, name="relu")
    packed = builder.add(Pack(layout), relu, name="relu.packed")
    return builder.build([packed]), packed


def _epilogue(total: Value, slots: int) -> Graph:
    builder = Builder("client.2")
    seen = builder.input(total.name, SlotsType(4, slots, 2 * BITS))
    tensor = builder.add(Unpack(Replicated((1, 4), 1, 1, slots)), seen)
    return builder.build([builder.add(Dequantise(2 * BITS), tensor, name="out")])


def _encrypted(value: Value) -> CipherType:
    type_ = value.type
    return CipherType(type_.count, type_.slots, type_.scale_bits)
